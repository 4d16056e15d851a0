"""OpenVINO gives what torch gives, is converted once, and is refused where it differs."""

import json
import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets import backends, openvino
from napari_cellseg.nets.backends import BACKENDS, Backend, fastest_backend, prepare
from napari_cellseg.nets.model import ModelSpec, load_model, new_model, save_model
from napari_cellseg.nets.model_cache import NAME, cache_folder, note_fact, read_facts
from napari_cellseg.nets.openvino import NETWORK, likely_bytes, likely_precision, prepare_openvino, probe
from napari_cellseg.nets.segmenters import ARCHITECTURES

WINDOW = np.random.default_rng(0).normal(size=(1, 2, 64, 96)).astype(np.float32)


def never(*_):
    raise AssertionError("worked out once more")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(openvino, "_kept", {})


@pytest.fixture
def saved(model_file):
    return load_model(model_file)


@pytest.mark.parametrize("name", ["unet-light", "unet-nested", "pspnet"])
def test_architectures_give_what_torch_gives(name):
    entry = ARCHITECTURES[name]
    torch.manual_seed(0)
    spec = ModelSpec(
        name,
        "resnet18" if entry.has_encoder else "",
        Classes.of("a"),
        stride=32,
        options=entry.completed({}),
    )
    model = new_model(spec)
    window = np.random.default_rng(1).normal(size=(1, 1, 96, 160)).astype(np.float32)
    found = prepare(model, backend="openvino", precision="float32")(window)
    with torch.no_grad():
        expected = model.net.eval()(torch.from_numpy(window)).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_network_of_one_size(tmp_path):
    spec = ModelSpec(
        "unet", "resnet18", Classes.of("a"), input_px=64, options={"depth": 3, "width": 4}, stride=8
    )
    model = new_model(spec)
    assert probe(model).shape == (1, 1, 64, 64)
    found = prepare_openvino(model, "cpu", "float32")(WINDOW[:, :1, :, :64])
    assert found.shape == (1, 2, 64, 64)


def test_it_is_converted_once(saved, monkeypatch):
    first = prepare_openvino(saved, "auto", "float32")(WINDOW)
    folder = cache_folder(saved)
    assert folder.parent == saved.path.parent / NAME
    assert "openvino" in next(folder.glob(f"*/{NETWORK}")).parent.name
    monkeypatch.setattr(openvino, "_kept", {})
    monkeypatch.setattr(openvino, "convert", never)
    monkeypatch.setattr(openvino, "probe", never)
    np.testing.assert_array_equal(prepare_openvino(saved, "auto", "float32")(WINDOW), first)


def test_a_changed_model_is_converted_anew(saved, spec, model):
    prepare_openvino(saved, "auto", "float32")
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.add_(0.1)
    other = load_model(save_model(saved.path, spec, model.net))
    with torch.no_grad():
        expected = other.net(torch.from_numpy(WINDOW)).softmax(1).numpy()
    np.testing.assert_allclose(prepare_openvino(other, "auto", "float32")(WINDOW), expected, atol=1e-4)


@pytest.mark.parametrize("ruin", ["", "<net"])
def test_a_damaged_conversion_is_made_anew(saved, ruin):
    first = prepare_openvino(saved, "auto", "float32")(WINDOW)
    openvino._kept.clear()
    (network,) = cache_folder(saved).glob(f"*/{NETWORK}")
    network.write_text(ruin)
    (cache_folder(saved) / "facts.json").write_text(ruin)
    np.testing.assert_array_equal(prepare_openvino(saved, "auto", "float32")(WINDOW), first)
    assert len(network.read_text()) > 100


def test_a_folder_that_cannot_be_written(saved, tmp_path, monkeypatch):
    (saved.path.parent / NAME).write_text("a file in its place")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    prepare_openvino(saved, "auto", "float32")
    assert cache_folder(saved).is_relative_to(tmp_path / "home")
    (tmp_path / "home2").write_text("nor here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home2"))
    assert cache_folder(saved) is None
    assert prepare_openvino(saved, "auto", "float32")(WINDOW).shape == (1, 3, 64, 96)


def test_other_labels_than_those_of_torch_are_refused(saved, monkeypatch):
    compiled = openvino._Compiled.__call__
    monkeypatch.setattr(openvino._Compiled, "__call__", lambda self, x: compiled(self, x)[:, ::-1])
    with pytest.raises(
        CellsegError, match=r"differ from those of torch on .*%.*at most 0\.1%.*--backend torch"
    ):
        prepare(saved, backend="openvino", precision="float32")
    monkeypatch.setattr(openvino._Compiled, "__call__", compiled)
    with pytest.raises(CellsegError, match="differ"):  # noted
        prepare(saved, backend="openvino", precision="float32")
    assert fastest_backend(saved, device="cpu", precision="float32") == "torch"


def test_a_format_with_other_labels_gives_way_to_the_exact_one(saved, monkeypatch):
    monkeypatch.setattr(openvino, "precisions", lambda: ["bfloat16", "float32"])
    monkeypatch.setattr(
        openvino, "_differing", lambda model, forward, folder, name: 0.5 * (name != "float32")
    )
    for asked in ("auto", "bfloat16"):
        assert prepare_openvino(saved, "cpu", asked)._precision == "float32"


def test_the_format_is_known_before_it_runs(saved, monkeypatch):
    monkeypatch.setattr(openvino, "precisions", lambda: ["bfloat16", "float32"])
    assert likely_precision(saved, "cpu", "auto") == "float32"  # never tried
    for differing, expected in ((0.01, "float32"), (0.0005, "bfloat16")):
        note_fact(cache_folder(saved), openvino._fact("differs", "bfloat16"), differing)
        assert likely_precision(saved, "cpu", "auto") == expected
        assert likely_precision(saved, "cpu", "float32") == "float32"
    eight = replace(saved, spec=replace(saved.spec, int8=True))
    assert likely_precision(eight, "cpu", "auto") == "int8"


def test_what_it_holds_is_known_once_it_ran(saved):
    assert likely_bytes(saved, "cpu", "float32", 100.0) == pytest.approx(115)
    prepare_openvino(saved, "cpu", "float32")
    held = likely_bytes(saved, "cpu", "float32", 100.0)
    assert held == read_facts(cache_folder(saved))[openvino._fact(openvino.HELD, "float32")]
    assert held != pytest.approx(115)
    never_saved = replace(saved, path=None, sha256="")
    assert likely_bytes(never_saved, "cpu", "float32", 100.0) == pytest.approx(115)


def test_what_cannot_be_converted(saved):
    class Odd(torch.nn.Module):
        def forward(self, pictures):
            raise RuntimeError("no such operation\nand more")

    level = logging.getLogger().level
    with pytest.raises(CellsegError, match=r"cannot convert unet \(.*; use --backend torch"):
        prepare(replace(saved, net=Odd()), backend="openvino")
    assert logging.getLogger().level == level


def test_an_operation_that_is_not_known_there(saved):
    class Odd(torch.nn.Module):
        def forward(self, pictures):
            return torch.linalg.svd(pictures).U

    level = logging.getLogger().level
    with pytest.raises(CellsegError, match="cannot convert"):
        prepare(replace(saved, net=Odd()), backend="openvino")
    assert logging.getLogger().level == level  # the library leaves it at ERROR


def test_nothing_is_reported_over_the_network():
    lines = [
        "from napari_cellseg.nets.openvino import load_openvino",
        "load_openvino()",
        "from openvino.tools.ovc import convert_impl",
        "print(convert_impl.tm.__name__)",
    ]
    # a process of its own: other tests import the package as it is
    answer = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True, text=True
    )
    assert answer.stdout.strip().endswith("telemetry_stub")


@pytest.mark.parametrize(
    ("options", "says"),
    [({"device": "cuda"}, "on 'cuda'"), ({"precision": "float16"}, "precision float16 with OpenVINO")],
)
def test_what_it_does_not_do(saved, options, says):
    with pytest.raises(CellsegError, match=says):
        prepare_openvino(saved, options.get("device", "auto"), options.get("precision", "auto"))


class TestFastest:
    @pytest.fixture(autouse=True)
    def two(self, monkeypatch):
        self.calls = []

        def seconds(model, name, precision):
            self.calls.append(name)
            return {"torch": 2.0, "quick": 1.0}[name]

        monkeypatch.setattr(backends, "_seconds", seconds)
        monkeypatch.setattr(backends, "_asked_px", {})
        monkeypatch.setattr(backends, "_measured", {})
        monkeypatch.delitem(BACKENDS, "openvino")
        monkeypatch.setitem(BACKENDS, "quick", Backend(BACKENDS["torch"].prepare, str, "quick"))

    def test_is_measured_once_and_remembered(self, saved, monkeypatch):
        assert fastest_backend(saved, device="cpu", precision="auto") == "quick"
        assert self.calls == ["torch", "quick"]
        monkeypatch.setattr(backends, "_measured", {})  # as in another process
        assert fastest_backend(saved, device="cpu", precision="auto") == "quick"
        assert self.calls == ["torch", "quick"]
        (noted,) = read_facts(cache_folder(saved)).values()
        assert noted == {"torch": 2.0, "quick": 1.0}

    def test_little_work_measures_nothing_until_it_adds_up(self, saved):
        for _ in range(3):
            assert fastest_backend(saved, device="cpu", precision="auto", work_px=1e6) == "torch"
        assert self.calls == []
        assert fastest_backend(saved, device="cpu", precision="auto", work_px=1e6) == "quick"

    def test_one_that_refuses_is_not_taken(self, saved, monkeypatch):
        monkeypatch.setattr(
            backends, "_seconds", lambda model, name, precision: 1.0 if name == "torch" else None
        )
        assert fastest_backend(saved, device="cpu", precision="auto") == "torch"

    def test_a_model_without_a_file_runs_in_torch(self, model):
        assert fastest_backend(model, device="cpu", precision="auto") == "torch"
        assert self.calls == []


def test_speed_is_measured(saved, monkeypatch):
    monkeypatch.setattr(backends, "_measured", {})
    assert 0 < backends._seconds(saved, "torch", "float32") < 60
    assert fastest_backend(saved, device="cpu", precision="float32") in BACKENDS
    noted = json.loads((cache_folder(saved) / "facts.json").read_text())
    assert any(key.startswith("seconds in float32 on ") for key in noted)
