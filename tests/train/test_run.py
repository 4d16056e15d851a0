import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.label_planes import write_plane
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train import run as run_module
from napari_cellseg.train.run import (
    Source,
    prepare_run,
    read_annotations,
    read_settings,
    spec_for,
    stop_file,
    write_environment,
)

IMAGE = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
LABELS = np.ones((20, 30), np.uint8)
LABELS[5:9, 5:20] = 2
CLASSES = Classes.of("filament")


@pytest.fixture
def prepare(tmp_path):
    """Return a function that prepares a run of one image, with what is given in place of the usual."""
    tifffile.imwrite(tmp_path / "mic.tif", IMAGE)
    write_plane(tmp_path / "mic.zarr", LABELS, {})
    usual = Source("mic", str(tmp_path / "mic.tif"), str(tmp_path / "mic.zarr"))

    def prepare(**changes):
        return prepare_run(tmp_path / "run", CLASSES, [replace(usual, **changes)], TrainSettings(epochs=7))

    return prepare


def error_of(action, *arguments):
    with pytest.raises(CellsegError) as raised:
        action(*arguments)
    line = str(raised.value)
    assert "\n" not in line
    return line


def test_what_was_prepared_is_read(prepare):
    run = prepare(pixel_nm=0.25, name="nice name")
    (annotation,) = read_annotations(run)
    assert read_settings(run) == TrainSettings(epochs=7)
    assert (annotation.image.name, annotation.image.pixel_nm) == ("nice name", 0.25)
    assert annotation.classes == CLASSES
    np.testing.assert_array_equal(annotation.labels, LABELS)
    np.testing.assert_array_equal(annotation.image.read(slice(None), slice(None))[0], IMAGE)


def test_paths_may_be_relative_to_the_run(prepare):
    assert read_annotations(prepare(path="../mic.tif", labels="../mic.zarr"))[0].counts()["filament"] == 60


@pytest.mark.parametrize(("polarity", "filament"), [("bright", 60), ("dark", 540), ("labels", 60)])
def test_masks_go_by_their_polarity(tmp_path, prepare, polarity, filament):
    tifffile.imwrite(tmp_path / "mask.tif", (LABELS == 2).astype(np.uint8))
    run = prepare(labels=str(tmp_path / "mask.tif"), polarity=polarity)
    assert read_annotations(run)[0].counts()["filament"] == filament


def test_indices_in_a_tiff(tmp_path, prepare):
    tifffile.imwrite(tmp_path / "indices.tif", LABELS)
    assert read_annotations(prepare(labels=str(tmp_path / "indices.tif")))[0].counts()["background"] == 540


def test_a_run_is_not_written_over(tmp_path, prepare):
    before = (prepare() / "data.json").read_bytes()
    assert "holds a run already" in error_of(prepare)
    assert (tmp_path / "run" / "data.json").read_bytes() == before


def test_spec_of_a_run(prepare):
    (annotation,) = read_annotations(prepare(pixel_nm=0.25))
    spec = spec_for([annotation], TrainSettings(depth=4, width=8))
    assert (spec.channels, spec.outputs, spec.stride, spec.pixel_nm) == (1, 2, 16, 0.25)
    assert spec.options == {"depth": 4, "width": 8}
    assert spec_for([annotation], TrainSettings(pixel_nm=0.5)).pixel_nm == 0.5


class TestMissingAndDamaged:
    """Each costs one line that names the file."""

    def test_no_run(self, tmp_path):
        assert str(tmp_path / "nowhere" / "settings.json") in error_of(read_settings, tmp_path / "nowhere")
        assert "no such file" in error_of(read_annotations, tmp_path / "nowhere")

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"run"', "\ud800"])
    @pytest.mark.parametrize(
        ("name", "action"), [("settings.json", read_settings), ("data.json", read_annotations)]
    )
    def test_damaged_json(self, prepare, name, action, text):
        run = prepare()
        (run / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        assert name in error_of(action, run)

    def test_settings_of_another_kind(self, prepare):
        run = prepare()
        (run / "settings.json").write_text('{"epochs": 0}')
        assert "setting epochs = 0" in error_of(read_settings, run)

    @pytest.mark.parametrize(
        "changes",
        [
            {"classes": None},
            {"classes": {"names": ["a"], "colors": []}},
            {"images": None},
            {"images": 3},
            {"images": ["a.tif"]},
            {"images": [{"name": "a"}]},
            {"images": [{"name": "a", "path": "../mic.tif"}]},
            {"images": [{"name": "a", "path": 3, "labels": 4}]},
            {"images": [{"path": "../mic.tif", "labels": "../mic.zarr"}]},
        ],
        ids=str,
    )
    def test_data_of_another_kind(self, prepare, changes):
        run = prepare()
        data = json.loads((run / "data.json").read_text())
        (run / "data.json").write_text(json.dumps(data | changes))
        error_of(read_annotations, run)

    @pytest.mark.parametrize("key", ["classes", "images"])
    def test_data_without_a_key(self, prepare, key):
        run = prepare()
        data = json.loads((run / "data.json").read_text())
        del data[key]
        (run / "data.json").write_text(json.dumps(data))
        assert "data.json" in error_of(read_annotations, run)

    @pytest.mark.parametrize("name", ["gone.tif", "empty.tif", "text.tif"])
    def test_image(self, tmp_path, prepare, name):
        if name != "gone.tif":
            (tmp_path / name).write_text("text" * name.startswith("text"))
        assert name in error_of(read_annotations, prepare(path=str(tmp_path / name)))

    @pytest.mark.parametrize("polarity", [None, "bright"])
    @pytest.mark.parametrize("name", ["gone.tif", "gone.zarr", "empty.tif", "empty.zarr"])
    def test_labels(self, tmp_path, prepare, name, polarity):
        if name == "empty.zarr":
            (tmp_path / name).mkdir()
        elif name == "empty.tif":
            (tmp_path / name).touch()
        run = prepare(labels=str(tmp_path / name), polarity=polarity)
        assert name in error_of(read_annotations, run)

    def test_labels_with_a_damaged_chunk(self, tmp_path, prepare):
        run = prepare()
        (chunk,) = [
            path
            for path in (tmp_path / "mic.zarr").rglob("*")
            if path.parent.name != "mic.zarr" and path.is_file()
        ]
        chunk.write_bytes(chunk.read_bytes()[:5])
        assert "mic.zarr" in error_of(read_annotations, run)

    def test_group_in_place_of_labels(self, tmp_path, prepare):
        zarr.open_group(tmp_path / "group.zarr", mode="w")
        assert "group.zarr" in error_of(read_annotations, prepare(labels=str(tmp_path / "group.zarr")))

    def test_unknown_polarity(self, tmp_path, prepare):
        tifffile.imwrite(tmp_path / "mask.tif", LABELS)
        run = prepare(labels=str(tmp_path / "mask.tif"), polarity="upwards")
        assert "upwards" in error_of(read_annotations, run)

    @pytest.mark.parametrize("suffix", [".tif", ".zarr"])
    def test_mask_of_another_size(self, tmp_path, prepare, suffix):
        path = tmp_path / f"small{suffix}"
        write_plane(path, LABELS[:9], {}) if suffix == ".zarr" else tifffile.imwrite(path, LABELS[:9])
        line = error_of(read_annotations, prepare(labels=str(path)))
        assert path.name in line
        assert "(9, 30)" in line
        assert "(20, 30)" in line

    def test_index_without_a_class(self, tmp_path, prepare):
        write_plane(tmp_path / "wild.zarr", LABELS + 5, {})
        line = error_of(read_annotations, prepare(labels=str(tmp_path / "wild.zarr")))
        assert "wild.zarr" in line
        assert "index" in line


def test_environment_tells_versions_and_machine(tmp_path):
    found = write_environment(tmp_path, {"device": "cpu"})
    assert json.loads((tmp_path / "environment.json").read_text()) == found
    assert found["device"] == "cpu"
    assert {"python", "system", "versions"} <= found.keys()
    assert {"torch", "numpy", "zarr"} <= found["versions"].keys()


def test_packages_that_are_not_installed_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "PACKAGES", ("numpy", "no-such-package"))
    assert list(write_environment(tmp_path, {})["versions"]) == ["numpy"]


def test_stop_file_lies_in_the_run(tmp_path):
    assert stop_file(str(tmp_path)) == tmp_path / "stop"
