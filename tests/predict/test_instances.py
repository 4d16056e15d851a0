import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v05 import ImageLabel, Labels

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.instance_rings import RINGS, ring_labels
from napari_cellseg.objects.instances import find_instances
from napari_cellseg.predict.batch import refine_files, segment_files
from napari_cellseg.predict.chain import parse_chain
from napari_cellseg.predict.instances import store_instances, stored_instances, write_instances_tiff
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.segment_file import FileDone
from napari_cellseg.predict.store import begin_result, read_own
from napari_cellseg.predict.tiles import Grid
from napari_cellseg.settings import InstanceSettings, SegmentSettings

SQUARES = np.kron(np.arange(1, 31).reshape(5, 6), np.pad(np.ones((90, 90), np.uint16), 5))  # 500 x 600


def write_result(path: Path, instances: np.ndarray) -> np.ndarray:
    """Write a result that is sure of these cells, on two levels; return its probabilities."""
    rings = ring_labels(instances)
    said = np.stack([rings == ring for ring in (1, 2, 3, 4)]).astype(np.float32)
    grid = Grid(instances.shape, instances.shape, 0, 8, instances.shape)
    result = begin_result(path, grid, classes=RINGS, pixel_nm=2.0, identity={}, threshold=None)
    result.write(slice(0, instances.shape[0]), slice(0, instances.shape[1]), Encode(len(said))(said))
    result.finish(path)
    return said


@pytest.fixture
def result(tmp_path) -> Path:
    path = tmp_path / "field.ome.zarr"
    write_result(path, SQUARES)
    return path


def test_cells_are_stored_as_a_valid_pyramid(result):
    assert [found.cells for found in store_instances(result)] == [30]
    cells = stored_instances(result)[:]
    np.testing.assert_array_equal(cells > 0, SQUARES > 0)
    assert cells.max() == 30
    labels = zarr.open_group(result / "labels", mode="r")
    assert Labels.from_zarr(labels).ome_attributes.labels == ["segmentation", "instances"]
    ImageLabel.from_zarr(labels["instances"])
    np.testing.assert_array_equal(labels["instances/1"][:], cells[::2, ::2])
    assert read_own(result)["instances"]["objects"] == 30


def test_cleaning_up_the_classes_leaves_the_cells(result):
    list(store_instances(result))
    list(refine_files([result], parse_chain("remove-small:area_px=4")))
    names = zarr.open_group(result / "labels", mode="r").attrs["ome"]["labels"]
    assert names == ["segmentation", "refined", "instances"]
    assert read_own(result)["instances"]["objects"] == 30


def test_other_settings_take_the_place_of_the_first(result):
    list(store_instances(result))
    list(store_instances(result, settings=InstanceSettings(cell_area_nm2=9000 * 4)))
    assert not stored_instances(result)[:].any()


def test_the_tiff_is_as_wide_as_it_has_to_be(result, tmp_path):
    list(store_instances(result))
    target = tmp_path / "field_instances.tif"
    write_instances_tiff(result, target, pixel_nm=2.0)
    written = tifffile.imread(target)
    assert written.dtype == np.uint16
    np.testing.assert_array_equal(written, stored_instances(result)[:])


def test_stopping_leaves_the_former_cells(result):
    list(store_instances(result))
    again = store_instances(result, settings=InstanceSettings(cell_area_px=10**6))
    next(again)
    again.close()
    assert stored_instances(result)[:].max() == 30
    assert sorted(path.name for path in (result / "labels").iterdir() if path.is_dir()) == [
        "instances",
        "segmentation",
    ]


SETTINGS = SegmentSettings(backend="numpy", block_px=64)


@pytest.fixture
def folder(tmp_path, local_model, monkeypatch):
    """Two images, and a model of rings whose four outputs follow the brightness."""
    from napari_cellseg.nets.backends import BACKENDS, Backend

    def forward(windows: np.ndarray) -> np.ndarray:
        rings = np.digitize(windows[:, 0], [0.0, 0.7, 1.4])
        return np.stack([rings == ring for ring in range(4)], 1).astype(np.float32)

    rings = Backend(lambda model, device, precision: forward, str, "for tests")
    monkeypatch.setitem(BACKENDS, "numpy", rings)
    model = local_model(classes=RINGS)
    monkeypatch.setattr("napari_cellseg.nets.model.load_model", lambda path: replace(model, path=path))
    rows, cols = np.indices((80, 96))
    hills = [np.clip(1 - np.hypot(rows - r, cols - c) / 16, 0, 1) for r, c in ((30, 30), (52, 60))]
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", (1000 * np.maximum(*hills)).astype(np.uint16))
    return tmp_path


def run(folder, *names, **arguments) -> list[FileDone]:
    paths = [folder / f"{name}.tif" for name in names]
    steps = segment_files(paths, "model", folder / "out", settings=SETTINGS, **arguments)
    return [step for step in steps if isinstance(step, FileDone)]


def objects(folder) -> list[str]:
    with (folder / "out" / "summary.csv").open(newline="") as file:
        return [row["objects"] for row in csv.DictReader(file)]


def test_a_model_of_rings_writes_cells_and_counts_them(folder):
    done = run(folder, "a", "b")
    assert [step.status for step in done] == ["done", "done"]
    assert done[0].outputs[2].name == "a_instances.tif"
    written = tifffile.imread(folder / "out" / "a_instances.tif")
    said = zarr.open_array(folder / "out" / "a.ome.zarr/probabilities/0", mode="r")[:]
    np.testing.assert_array_equal(written, find_instances(said))
    assert objects(folder) == ["2", "2"]
    assert tifffile.imread(folder / "out" / "a_labels.tif").max() == 4


def test_resuming_finds_them_again_only_with_other_settings(folder):
    run(folder, "a")
    assert run(folder, "a", resume=True)[0].status == "skipped"
    other = InstanceSettings(cell_area_px=10**6)
    assert run(folder, "a", resume=True, cells=other)[0].status == "done"
    assert objects(folder) == ["0"]
    (folder / "out" / "a_instances.tif").unlink()
    assert run(folder, "a", resume=True, cells=other)[0].status == "done"
    assert not tifffile.imread(folder / "out" / "a_instances.tif").any()


def test_corrected_cells_are_not_replaced(folder):
    run(folder, "a")
    target = folder / "out" / "a_instances.tif"
    corrected = tifffile.imread(target)
    corrected[0, 0] = 9
    tifffile.imwrite(target, corrected)
    assert run(folder, "a", resume=True)[0].status == "skipped"
    failed = run(folder, "a", resume=True, cells=InstanceSettings(cell_seed=0.7))[0]
    assert failed.status == "failed"
    assert "somebody changed it" in failed.message
    np.testing.assert_array_equal(tifffile.imread(target), corrected)


def test_settings_of_cells_for_another_model_are_refused(folder, local_model, monkeypatch):
    monkeypatch.setattr("napari_cellseg.nets.model.load_model", lambda path: local_model())
    with pytest.raises(CellsegError, match="--polarity instances"):
        run(folder, "a", cells=InstanceSettings(cell_seed=0.7))
    assert not (folder / "out").exists()


def test_cells_of_a_former_run_are_not_replaced_unasked(folder):
    (folder / "out").mkdir()
    (folder / "out" / "a_instances.tif").write_bytes(b"mine")
    with pytest.raises(CellsegError, match="a_instances"):
        run(folder, "a")
