import numpy as np
import pytest
import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets import backends
from napari_cellseg.nets.backends import (
    BACKENDS,
    autocast,
    keep_freed_memory,
    pick_device,
    pick_precision,
    prepare,
    run_device,
)

WINDOWS = np.random.default_rng(0).normal(size=(3, 2, 32, 48)).astype(np.float32)
AVAILABLE = [name for name, backend in BACKENDS.items() if not backend.missing()]


@pytest.fixture
def no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("backend", ["auto", *AVAILABLE])
def test_probabilities(backend, model):
    forward = prepare(model, backend=backend, device="cpu", precision="float32")
    result = forward(WINDOWS)
    assert result.shape == (3, model.spec.outputs, 32, 48)
    assert result.dtype == np.float32
    assert result.min() >= 0
    np.testing.assert_allclose(result.sum(1), 1, atol=1e-5)
    with torch.no_grad():
        expected = model.net(torch.from_numpy(WINDOWS)).softmax(1).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("backend", AVAILABLE)
def test_other_sizes_and_layouts_and_types(backend, model):
    forward = prepare(model, backend=backend, device="cpu", precision="float32")
    whole = forward(WINDOWS)
    np.testing.assert_allclose(forward(WINDOWS[1:2]), whole[1:2], atol=1e-5)
    np.testing.assert_array_equal(forward(np.asfortranarray(WINDOWS)), whole)
    np.testing.assert_array_equal(forward(WINDOWS.astype(np.float64)), whole)
    assert forward(WINDOWS[:, :, :8, :8]).shape == (3, model.spec.outputs, 8, 8)


def test_half_precision_is_near(model):
    exact = prepare(model, device="cpu", precision="float32")(WINDOWS)
    rough = prepare(model, device="cpu", precision="bfloat16")(WINDOWS)
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, exact, atol=0.05)


def test_the_answer_is_the_callers_own(model):
    forward = prepare(model, device="cpu", precision="float32")
    first = forward(WINDOWS)
    kept = first.copy()
    forward(-WINDOWS)
    first[0] += 0
    np.testing.assert_array_equal(first, kept)


def test_unknown_backend(model):
    with pytest.raises(CellsegError, match="unknown backend 'abacus'; expected one of auto, torch"):
        prepare(model, backend="abacus")


def test_backend_that_is_missing(model, monkeypatch):
    absent = backends.Backend(lambda *_: None, lambda: "abacus is not installed", "beads")
    monkeypatch.setitem(BACKENDS, "abacus", absent)
    with pytest.raises(CellsegError, match="backend abacus cannot be used: abacus is not installed"):
        prepare(model, backend="abacus")
    assert prepare(model, device="cpu")(WINDOWS[:1]).shape[0] == 1


@pytest.mark.usefixtures("no_accelerator")
def test_devices_without_an_accelerator(model):
    assert pick_device() == pick_device("cpu") == "cpu"
    for device in ("cuda", "cuda:1"):
        with pytest.raises(CellsegError) as raised:
            pick_device(device)
        assert str(raised.value) == (
            f"device '{device}' is not available; expected one of: auto, cpu; "
            "install a torch build with CUDA and the NVIDIA driver, or use --device cpu"
        )
    with pytest.raises(CellsegError, match="device 'mps' is not available; expected one of: auto, cpu"):
        pick_device("mps")
    with pytest.raises(CellsegError, match="device 'abacus' is not available"):
        pick_device("abacus")
    with pytest.raises(CellsegError, match="cuda"):
        prepare(model, device="cuda")


def test_the_fastest_device_is_picked(monkeypatch, no_accelerator):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == "cuda"
    assert pick_device("cpu") == "cpu"


def test_a_backend_of_the_processor_stays_there(monkeypatch, no_accelerator):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert run_device("openvino", "auto") == "cpu"
    assert run_device("openvino", "mps") == run_device("torch", "auto") == run_device("auto", "auto") == "mps"


def test_precision(monkeypatch):
    assert pick_precision("bfloat16", "cpu") == "bfloat16"
    assert pick_precision("float32", "cuda") == "float32"
    assert pick_precision("auto", "mps") == "float32"
    for fast, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(backends, "fast_in_bfloat16", lambda fast=fast: fast)
        assert pick_precision("auto", "cpu") == expected
    for supported, expected in ((True, "bfloat16"), (False, "float16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported: supported)
        assert pick_precision("auto", "cuda:0") == expected


def test_autocast():
    a = torch.ones(4, 4)
    with autocast("cpu", "float32"):
        assert (a @ a).dtype == torch.float32
    with autocast("cpu", "bfloat16"):
        assert (a @ a).dtype == torch.bfloat16
    assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize("name", BACKENDS)
def test_described(name):
    assert BACKENDS[name].description


def test_keeping_memory_is_safe_to_ask_for_twice_and_where_there_is_no_glibc(monkeypatch):
    keep_freed_memory()
    keep_freed_memory()
    monkeypatch.setattr("sys.platform", "win32")
    keep_freed_memory.__wrapped__()
