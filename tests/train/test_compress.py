"""Models made smaller, judged on what was held out; nothing is left of one that lost too much."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets import int8
from napari_cellseg.nets.backends import prepare
from napari_cellseg.nets.model import load_model, save_model
from napari_cellseg.nets.openvino import convert, load_openvino
from napari_cellseg.settings import CompressSettings, TrainSettings
from napari_cellseg.train import compress as module
from napari_cellseg.train.compress import Compressed, compress, find_run, run_of_files
from napari_cellseg.train.records import Epoch
from napari_cellseg.train.run import Source, prepare_run, read_settings
from napari_cellseg.train.segment import train

from .conftest import TINY, squares

EASY = {"architecture": "unet-light", "depth": 2, "width": 16, "epochs": 4, "steps": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a model with its run beside it."""
    folder = tmp_path_factory.mktemp("trained")
    sources = []
    for number, name in enumerate("ab"):
        image, labels = squares(number)
        tifffile.imwrite(folder / f"{name}.tif", image, photometric="minisblack")
        tifffile.imwrite(folder / f"{name}_labels.tif", labels)
        sources.append(Source(name, f"../{name}.tif", f"../{name}_labels.tif"))
    run = prepare_run(folder / "m.run", Classes.of("square"), sources, TrainSettings.checked(TINY | EASY))
    finished = list(train(run))[-1]
    shutil.copy(run / finished.model, folder / "m.safetensors")
    return load_model(folder / "m.safetensors")


@pytest.fixture(autouse=True)
def few_windows(monkeypatch):
    monkeypatch.setattr(module, "CALIBRATION_WINDOWS", 8)
    monkeypatch.setattr(module, "TIMED_RUNS", 1)


def in_floats(model, folder):
    """Return OpenVINO's files of the network as it is: quantising takes seconds."""
    load_openvino().save_model(convert(model), folder / "n.xml")
    return (folder / "n.xml").read_bytes(), (folder / "n.bin").read_bytes()


def squeezed(model, out, **settings):
    return list(compress(model, out, find_run(model), settings=CompressSettings(**settings)))


def test_pruned_trained_on_and_judged(trained, tmp_path):
    out = tmp_path / "thin.safetensors"
    *records, last = squeezed(trained, out, prune=0.5, epochs=3, max_loss=1)
    assert [r.epoch for r in records if isinstance(r, Epoch)] == [1, 2, 3]
    assert isinstance(last, Compressed)
    assert last.kept
    assert last.after.megabytes < last.before.megabytes
    assert last.before.score == pytest.approx(trained.spec.provenance["validation_dice"], abs=0.01)
    assert last.after.score > 0.5
    thin = load_model(out)
    assert thin.net.down[0].both[0].out_channels == 8
    assert thin.spec.provenance["compressed"] == {
        "parent": "m.safetensors",
        "parent_sha256": trained.sha256,
        "int8": False,
        "prune": 0.5,
    }
    assert find_run(thin) == tmp_path / "thin.run"
    assert read_settings(tmp_path / "thin.run").epochs == 3
    assert all(
        entry["path"].startswith("/")
        for entry in json.loads((tmp_path / "thin.run/data.json").read_text())["images"]
    )


def test_training_begins_with_the_pruned_weights(trained, tmp_path):
    """A rate of nothing keeps them."""
    settings = {"prune": 0.5, "epochs": 1, "max_loss": 1}
    run = tmp_path / "still"
    data = module._data_of(find_run(trained))
    still = read_settings(find_run(trained)).model_copy(update={"learning_rate": 1e-12, "epochs": 1})
    module.write_run(run, data, still)
    thin = module.prune(trained, settings["prune"])
    save_model(run / module.START, thin.spec, thin.net)
    best = load_model(next(r for r in list(train(run))[::-1] if hasattr(r, "model")).model)
    assert best.spec.widths == thin.spec.widths
    np.testing.assert_allclose(
        best.net.head.weight.detach().numpy(), thin.net.head.weight.detach().numpy(), atol=1e-6
    )


def test_in_8_bits(trained, tmp_path):
    out = tmp_path / "int8.safetensors"
    (last,) = squeezed(trained, out, int8=True, max_loss=0.05)
    assert last.loss == last.before.score - last.after.score
    small = load_model(out)
    assert small.spec.int8
    assert small.spec.halo_px == trained.spec.halo_px
    window = np.random.default_rng(0).normal(size=(1, 1, 64, 96)).astype(np.float32)
    exact, floats, bits = (
        prepare(one, backend=backend, device="cpu", precision=precision)(window)
        for one, backend, precision in [
            (trained, "torch", "float32"),
            (small, "torch", "float32"),
            (small, "openvino", "auto"),
        ]
    )
    np.testing.assert_allclose(floats, exact, atol=0.01)  # half precision in the file
    assert 1e-4 < np.abs(bits - exact).mean() < 0.05
    assert (
        prepare(small, backend="openvino", device="cpu", precision="float32")(window) == bits
    ).mean() < 0.5
    with pytest.raises(CellsegError, match="8 bits already"):
        list(compress(small, tmp_path / "a.safetensors", tmp_path, settings=CompressSettings(prune=0.5)))


@pytest.mark.parametrize("settings", [{"int8": True}, {"prune": 0.5, "epochs": 1}])
def test_one_that_lost_too_much_leaves_nothing(settings, trained, tmp_path, tmp_path_factory, monkeypatch):
    scores = iter([0.9, 0.8] * 2)
    monkeypatch.setattr(module._HeldOut, "score", lambda self, forward: next(scores))
    monkeypatch.setattr(
        int8, "_quantised", lambda model, windows: in_floats(model, tmp_path_factory.mktemp("x"))
    )
    steps = compress(
        trained, tmp_path / "m.safetensors", find_run(trained), settings=CompressSettings(**settings)
    )
    found = next(record for record in steps if isinstance(record, Compressed))
    assert not found.kept
    with pytest.raises(CellsegError, match=r"falls by 0\.1000; expected at most 0\.005; give --keep-anyway"):
        next(steps)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert squeezed(trained, tmp_path / "m.safetensors", keep_anyway=True, **settings)[-1].kept
    assert (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "name", "says"),
    [
        ({}, "x.safetensors", "neither --int8 nor --prune"),
        ({"int8": True, "prune": 0.5}, "x.safetensors", "prune first"),
        ({"int8": True}, "x.onnx", "ends in .safetensors"),
        ({"int8": True}, "there.safetensors", "--overwrite"),
    ],
)
def test_wrong_requests(settings, name, says, trained, tmp_path):
    (tmp_path / "there.safetensors").write_text("somebody's")
    with pytest.raises(CellsegError, match=says):
        squeezed(trained, tmp_path / name, **settings)
    assert (tmp_path / "there.safetensors").read_text() == "somebody's"


def test_the_model_itself_is_not_replaced(trained):
    with pytest.raises(CellsegError, match="the model itself"):
        list(
            compress(
                trained, trained.path, find_run(trained), settings=CompressSettings(int8=True), overwrite=True
            )
        )


@pytest.mark.parametrize(("name", "value"), [("classes", Classes.of("circle")), ("pixel_nm", 0.5)])
def test_a_run_of_another_model(name, value, trained, tmp_path):
    other = replace(trained, spec=replace(trained.spec, **{name: value}))
    with pytest.raises(CellsegError, match=f"other {name} than the model"):
        squeezed(other, tmp_path / "m.safetensors", int8=True)


def test_without_its_run_it_takes_files(trained, tmp_path):
    alone = load_model(shutil.copy(trained.path, tmp_path / "alone.safetensors"))
    with pytest.raises(CellsegError, match="give --run DIR, or --images and --masks"):
        find_run(alone)
    folder = trained.path.parent
    for name in "ab":
        labels = tifffile.imread(folder / f"{name}_labels.tif")
        tifffile.imwrite(tmp_path / f"{name}_mask.tif", np.uint8(255) * (labels == 2))
    images, masks = [str(folder / "[ab].tif")], [str(tmp_path / "*_mask.tif")]
    run_of_files(tmp_path / "run", alone, images, masks)
    assert read_settings(tmp_path / "run") == read_settings(find_run(trained))
    at_its_own = replace(alone, spec=replace(alone.spec, pixel_nm=0.5))
    run_of_files(tmp_path / "scaled", at_its_own, images, masks)
    assert read_settings(tmp_path / "scaled").pixel_nm == 0.5
    untold = replace(alone, spec=replace(alone.spec, provenance={}))
    with pytest.raises(CellsegError, match="does not say how it was trained"):
        run_of_files(tmp_path / "other", untold, images, masks)


def test_what_is_not_installed_is_named(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "missing", lambda: "nncf missing")
    with pytest.raises(CellsegError, match="--int8: nncf missing"):
        squeezed(trained, tmp_path / "m.safetensors", int8=True)
