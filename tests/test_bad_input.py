"""Every kind of bad input: one clear line, exit code 2 (1 when one of many), nothing lost."""

import errno
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from napari_cellseg.cli import main
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, new_model, save_model

RNG = np.random.default_rng(0)
NOISE = RNG.normal(100, 10, (64, 80)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model for one channel, never trained."""
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    spec = ModelSpec(
        "unet", "resnet18", Classes.of("cell"), stride=8, halo_px=8, options={"depth": 3, "width": 4}
    )
    return save_model(path, spec, new_model(spec).net)


@pytest.fixture
def good(tmp_path) -> Path:
    path = tmp_path / "good.tif"
    tifffile.imwrite(path, NOISE)
    return path


def cut(path: Path, share: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def missing(folder: Path) -> Path:
    return folder / "gone.tif"


def empty(folder: Path) -> Path:
    path = folder / "empty.tif"
    path.touch()
    return path


def truncated_tiff(folder: Path) -> Path:
    path = folder / "cut.tif"
    tifffile.imwrite(path, NOISE, rowsperstrip=8)
    cut(path)
    return path


def truncated_mrc(folder: Path) -> Path:
    path = folder / "cut.mrc"
    with mrcfile.new(path) as file:
        file.set_data(NOISE)
    cut(path)
    return path


def truncated_zarr(folder: Path) -> Path:
    path = folder / "cut.ome.zarr"
    group = zarr.create_group(path, zarr_format=3)
    group.create_array("0", data=NOISE, chunks=(32, 32))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    for chunk in (path / "0" / "c").rglob("*"):
        if chunk.is_file():
            cut(chunk)
    return path


def no_image(folder: Path) -> Path:
    path = folder / "notes.tif"
    path.write_text("these are notes and no image\n" * 20)
    return path


def three_channels(folder: Path) -> Path:
    path = folder / "rgb.tif"
    tifffile.imwrite(path, RNG.integers(0, 255, (64, 80, 3), np.uint8), photometric="rgb")
    return path


BAD_IMAGES = (missing, empty, truncated_tiff, truncated_mrc, truncated_zarr, no_image, three_channels)


def complaint(capsys) -> str:
    """The line on stderr that starts with the program's name; there is one, and no traceback."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("napari-cellseg: ")]
    assert len(lines) == 1, err
    return lines[0]


@pytest.mark.parametrize("make", BAD_IMAGES)
def test_segment_of_one_bad_image_is_2(make: Callable[[Path], Path], model, tmp_path, capsys):
    bad = make(tmp_path)
    code = main(["segment", str(model), str(bad), "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert code == 2
    assert bad.name in complaint(capsys)
    assert not (tmp_path / "out" / f"{bad.stem}_labels.tif").exists()


@pytest.mark.parametrize("make", BAD_IMAGES)
def test_segment_of_one_bad_image_among_many_is_1(make, model, good, tmp_path, capsys):
    bad, out = make(tmp_path), tmp_path / "out"
    code = main(["segment", str(model), str(bad), str(good), "--out", str(out), "--device", "cpu"])
    assert code == 1
    assert bad.name in complaint(capsys)
    assert tifffile.imread(out / "good_labels.tif").shape == NOISE.shape


def nan_image() -> np.ndarray:
    image = NOISE.copy()
    image[10:30, 10:30] = np.nan
    return image


def wild() -> np.ndarray:
    image = RNG.integers(900, 1100, (64, 80)).astype(np.uint16)
    image[::9, ::7] = 65535
    return image


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(nan_image(), id="some nan"),
        pytest.param(np.full((64, 80), np.nan, np.float32), id="all nan"),
        pytest.param(np.full((64, 80), 7, np.uint16), id="constant"),
        pytest.param(np.ones((1, 1), np.float32), id="1 x 1"),
        pytest.param(wild(), id="wild 16 bit"),
    ],
)
def test_odd_pixels_are_segmented_all_the_same(pixels, model, tmp_path):
    path, out = tmp_path / "odd.tif", tmp_path / "out"
    tifffile.imwrite(path, pixels)
    assert main(["segment", str(model), str(path), "--out", str(out), "--device", "cpu"]) == 0
    labels = tifffile.imread(out / "odd_labels.tif")
    assert labels.size == pixels.size
    assert set(np.unique(labels)) <= {1, 2}


def damaged(kind: str, model: Path, folder: Path) -> Path:
    path = folder / ("foreign.pt" if kind == "pickle" else "damaged.safetensors")
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    elif kind == "random":
        path.write_bytes(RNG.bytes(1000))
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        shutil.copy(model, path)
        cut(path)
    elif kind == "foreign":
        import torch
        from safetensors.torch import save_file

        save_file({"weight": torch.zeros(3)}, path)
    return path


@pytest.mark.parametrize("kind", ["pickle", "random", "empty", "truncated", "foreign", "missing"])
@pytest.mark.parametrize("command", ["segment", "info"])
def test_a_model_that_is_none(kind, command, model, good, tmp_path, capsys):
    path = damaged(kind, model, tmp_path)
    out = tmp_path / "out"
    arguments = [str(path)] if command == "info" else [str(path), str(good), "--out", str(out)]
    assert main([command, *arguments]) == 2
    assert path.name in complaint(capsys)
    assert not out.exists()


def test_a_damaged_imagej_file_is_one_line_in_all(tmp_path):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, NOISE, imagej=True)
    cut(path)
    code = f"import sys; from napari_cellseg.cli import main; sys.exit(main(['info', {str(path)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "cut.tif: truncated" in line


def mask(kind: str) -> np.ndarray:
    plane = np.zeros(NOISE.shape, np.uint8)
    plane[10:40, 10:60] = 255
    return {
        "other size": plane[:32],
        "one class": 0 * plane,
        "colour": RNG.integers(0, 255, (64, 80, 3), np.uint8),
    }[kind]


@pytest.mark.parametrize("kind", ["other size", "one class", "colour"])
def test_training_with_a_wrong_mask(kind, good, tmp_path, capsys):
    tifffile.imwrite(tmp_path / "good_mask.tif", mask(kind))
    model = tmp_path / "m.safetensors"
    assert main(["train", str(model), "--images", str(good), "--masks", str(tmp_path / "good_mask.tif")]) == 2
    assert complaint(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.tif", "good_mask.tif"]


@pytest.mark.parametrize("make", [missing, empty, truncated_tiff, truncated_mrc, truncated_zarr, no_image])
def test_training_with_a_bad_image(make, tmp_path, capsys):
    bad = make(tmp_path)
    truth = tmp_path / f"{bad.name.split('.')[0]}_mask.png"
    tifffile.imwrite(
        truth.with_suffix(".tif"), np.pad(np.full((30, 40), 255, np.uint8), ((10, 24), (20, 20)))
    )
    model = tmp_path / "m.safetensors"
    arguments = ["--images", str(bad), "--masks", str(truth.with_suffix(".tif")), "--no-pretrained"]
    assert main(["train", str(model), *arguments, "--window-px", "32", "--depth", "3"]) == 2
    assert bad.name in complaint(capsys)
    assert not model.exists()


def test_masks_that_cannot_be_paired_are_listed(good, tmp_path, capsys):
    other = tmp_path / "other_mask.tif"
    tifffile.imwrite(other, np.zeros(NOISE.shape, np.uint8))
    model = tmp_path / "m.safetensors"
    assert main(["train", str(model), "--images", str(good), "--masks", str(other)]) == 2
    assert "good" in complaint(capsys)


def test_a_full_disk_is_one_line_and_leaves_earlier_outputs(model, good, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "good_labels.tif").write_bytes(b"earlier")

    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_cellseg.predict.label_tiff.tifffile.imwrite", full)
    command = ["segment", str(model), str(good), "--out", str(out), "--device", "cpu"]
    assert main(command) == 2  # exists
    assert "good_labels.tif" in complaint(capsys)
    assert (out / "good_labels.tif").read_bytes() == b"earlier"
    other = tmp_path / "other"
    assert main([*command[:-3], str(other), "--device", "cpu"]) == 2
    assert "full" in complaint(capsys)
    assert not list(other.glob("*.tif"))


def test_a_full_disk_while_evaluating(good, tmp_path, capsys, monkeypatch):
    plane = np.ones(NOISE.shape, np.uint8)
    plane[5:9] = 2
    tifffile.imwrite(tmp_path / "a_labels.tif", plane)

    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    labels, out = str(tmp_path / "a_labels.tif"), tmp_path / "scores.json"
    assert main(["evaluate", labels, labels, "--out", str(out)]) == 2
    assert "full" in complaint(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_labels.tif", "good.tif"]


def test_an_out_that_is_a_file(model, good, tmp_path, capsys):
    out = tmp_path / "out"
    out.write_text("mine")
    assert main(["segment", str(model), str(good), "--out", str(out), "--device", "cpu"]) == 2
    assert "out" in complaint(capsys)
    assert out.read_text() == "mine"


def test_an_interrupted_write_leaves_no_half_file_and_is_resumed(model, good, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    command = ["segment", str(model), str(good), "--out", str(out), "--device", "cpu"]

    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("napari_cellseg.predict.label_tiff.tifffile.imwrite", interrupted)
        assert main(command) == 130
    assert "--resume" in complaint(capsys)
    assert not (out / "good_labels.tif").exists()
    assert main([*command, "--resume"]) == 0
    assert tifffile.imread(out / "good_labels.tif").shape == NOISE.shape


def test_a_run_folder_with_damaged_settings(tmp_path, capsys):
    run = tmp_path / "m.run"
    run.mkdir()
    (run / "settings.json").write_text("{")
    (run / "data.json").write_text("{}")
    assert main(["train", "--run", str(run)]) == 2
    assert "settings.json" in complaint(capsys)
    assert main(["info", str(run)]) == 2
    assert "settings.json" in complaint(capsys)


def test_a_foreign_folder_in_place_of_the_run_is_kept(good, tmp_path, capsys):
    foreign = tmp_path / "m.run"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("all of it")
    plane = np.zeros(NOISE.shape, np.uint8)
    plane[10:40, 10:60] = 255
    tifffile.imwrite(tmp_path / "good_mask.tif", plane)
    arguments = ["--images", str(good), "--masks", str(tmp_path / "good_mask.tif"), "--overwrite"]
    assert main(["train", str(tmp_path / "m.safetensors"), *arguments]) == 2
    assert "m.run" in complaint(capsys)
    assert (foreign / "thesis.txt").read_text() == "all of it"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--architecture", "unett"], "unet-light"),
        (["--encoder", "resnet19"], "resnet18"),
        (["--loss", "dise"], "dice+ce"),
        (["--window-px", "250"], "a multiple of 32"),
        (["--left-out", "noise"], "no class 'noise'"),
        (["--architecture", "unet-vanilla", "--deep-supervision"], "deep_supervision"),
        (["--prepare", "resize", "--shrink", "2"], "one of them"),
    ],
)
def test_a_mistake_in_the_settings_leaves_no_run(good, tmp_path, capsys, flags, says):
    plane = np.zeros(NOISE.shape, np.uint8)
    plane[10:40, 10:60] = 255
    tifffile.imwrite(tmp_path / "good_mask.tif", plane)
    files = ["--images", str(good), "--masks", str(tmp_path / "good_mask.tif")]
    assert main(["train", str(tmp_path / "m.safetensors"), *files, *flags]) == 2
    assert says in complaint(capsys)
    assert not (tmp_path / "m.run").exists()


def test_json_figures_are_plain_numbers(good, capsys):
    assert main(["info", str(good), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["shape"] == [64, 80]
