import csv
import errno
import threading
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.nets.backends import BACKENDS, Backend
from napari_cellseg.nets.model import ModelSpec, new_model, save_model
from napari_cellseg.predict import label_tiff
from napari_cellseg.predict.batch import refine_files, segment_files
from napari_cellseg.predict.blocks import BlockPass
from napari_cellseg.predict.chain import parse_chain
from napari_cellseg.predict.postprocess import remove_small
from napari_cellseg.predict.refine import final_labels, refine_result
from napari_cellseg.predict.segment_file import FileDone, labels_path, write_labels_tiff
from napari_cellseg.predict.store import Result
from napari_cellseg.settings import SegmentSettings

from .conftest import local_forward

SETTINGS = SegmentSettings(backend="numpy", block_px=64)


@pytest.fixture
def folder(tmp_path, local_model, monkeypatch):
    """Three images, and a model that needs no file."""
    rng = np.random.default_rng(0)
    for name, shape in {"a": (100, 130), "b": (1, 1), "c": (70, 64)}.items():
        density = {"resolution": (1e7 / 0.5, 1e7 / 0.5), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(tmp_path / f"{name}.tif", rng.integers(0, 999, shape, np.uint16), **density)
    monkeypatch.setattr(
        "napari_cellseg.nets.model.load_model", lambda path: replace(local_model(), path=path)
    )
    return tmp_path


def run(folder, *names, **arguments) -> list[FileDone]:
    paths = [folder / f"{name}.tif" for name in names or "abc"]
    steps = segment_files(paths, "model", folder / "out", settings=SETTINGS, **arguments)
    return [step for step in steps if isinstance(step, FileDone)]


def rows(folder) -> dict[str, dict[str, str]]:
    with (folder / "out" / "summary.csv").open(newline="") as file:
        return {row["path"].rsplit("/", 1)[-1]: row for row in csv.DictReader(file)}


def test_results_and_summary(folder):
    done = run(folder)
    assert [step.status for step in done] == ["done"] * 3
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *(f"{name}{kind}" for name in "abc" for kind in (".ome.zarr", "_labels.tif")),
        "summary.csv",
    ]
    labels = read_image(done[0].outputs[1])
    assert labels.pixel_nm == pytest.approx(0.5)
    expected = zarr.open_array(done[0].outputs[0] / "labels/segmentation/0", mode="r")[:]
    assert labels.data.dtype == np.uint8
    np.testing.assert_array_equal(labels.data.compute(), expected)
    row = rows(folder)["a.tif"]
    assert row["status"] == "done"
    assert row["pixels"] == "13000"
    assert row["model"] == "model"
    assert float(row["share_filament"]) == pytest.approx((expected == 2).mean(), abs=1e-6)


def test_a_bad_file_stops_no_other(folder):
    (folder / "b.tif").write_bytes(b"not a TIFF")
    done = run(folder)
    assert [step.status for step in done] == ["done", "failed", "done"]
    assert "b.tif" in done[1].message
    assert rows(folder)["b.tif"]["status"] == "failed"
    assert rows(folder)["b.tif"]["message"] == done[1].message


def test_a_file_with_other_channels_fails_alone(folder):
    tifffile.imwrite(folder / "b.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    done = run(folder)
    assert [step.status for step in done] == ["done", "failed", "done"]
    assert "channel" in done[1].message


def test_the_summary_is_complete_at_any_moment(folder):
    paths = [folder / f"{name}.tif" for name in "abc"]
    steps = segment_files(paths, "model", folder / "out", settings=SETTINGS)
    for step in steps:
        if isinstance(step, FileDone):
            break
    assert list(rows(folder)) == ["a.tif"]
    steps.close()


def test_two_images_of_one_name(folder):
    (folder / "more").mkdir()
    with pytest.raises(CellsegError, match=r"a\.tif and .*more.a\.mrc would both"):
        list(segment_files([folder / "a.tif", folder / "more" / "a.mrc"], "model", folder / "out"))
    assert not (folder / "out").exists()


def test_no_images(folder):
    with pytest.raises(CellsegError, match="no images"):
        list(segment_files([], "model", folder / "out"))


def test_a_result_is_not_replaced_unasked(folder):
    run(folder, "c")
    before = (folder / "out" / "c_labels.tif").read_bytes()
    with pytest.raises(CellsegError, match="--resume"):
        run(folder)
    assert not (folder / "out" / "a.ome.zarr").exists()  # refused before anything is done
    assert (folder / "out" / "c_labels.tif").read_bytes() == before
    assert [step.status for step in run(folder, overwrite=True)] == ["done"] * 3


def test_going_on_skips_what_is_finished(folder):
    run(folder, "a")
    row = rows(folder)["a.tif"]
    (folder / "out" / "a_labels.tif").stat()
    assert [step.status for step in run(folder, resume=True)] == ["skipped", "done", "done"]
    assert rows(folder)["a.tif"] == row
    (folder / "out" / "c_labels.tif").unlink()  # killed between the two outputs
    (folder / "out" / "summary.csv").unlink()
    assert [step.status for step in run(folder, resume=True)] == ["skipped", "skipped", "done"]
    assert [row["status"] for row in rows(folder).values()] == ["skipped", "skipped", "done"]
    assert rows(folder)["a.tif"]["pixels"] == "13000"


def test_a_changed_image_is_not_taken_for_finished(folder):
    run(folder)
    tifffile.imwrite(folder / "a.tif", np.arange(13_000, dtype=np.uint16).reshape(100, 130))
    done = run(folder, resume=True)
    assert [step.status for step in done] == ["failed", "skipped", "skipped"]
    assert "another image" in done[0].message


def test_a_full_disk_ends_the_run(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Result, "write", full)
    with pytest.raises(CellsegError, match="disk is full"):
        run(folder)


def files_at_work() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("cellseg-file")]


def test_the_next_file_is_read_while_one_is_computed(folder, monkeypatch):
    read, real = threading.Event(), BlockPass.read

    def noted(self, rows, cols):
        if self.image.name == "b":
            read.set()
        return real(self, rows, cols)

    waited = []

    def prepare(model, device, precision):
        forward = local_forward(model.spec.stride)
        return lambda windows: (waited.append(read.wait(20)), forward(windows))[1]

    monkeypatch.setattr(BlockPass, "read", noted)
    monkeypatch.setitem(BACKENDS, "numpy", Backend(prepare, str, "waits for the next file"))
    assert [step.path.name for step in run(folder)] == ["a.tif", "b.tif", "c.tif"]
    assert all(waited)


def test_the_windows_of_the_first_file_come_first(folder, monkeypatch):
    turns, real = {}, BlockPass.read

    def noted(self, rows, cols):
        turns[self.image.name] = self.turn
        return real(self, rows, cols)

    monkeypatch.setattr(BlockPass, "read", noted)
    run(folder, "c", "a", "b")
    assert turns == {"c": 0, "a": 1, "b": 2}


def test_stopping_leaves_nobody_at_work(folder):
    paths = [folder / f"{name}.tif" for name in "abc"]
    steps = segment_files(paths, "model", folder / "out", settings=SETTINGS)
    next(steps)
    steps.close()
    assert files_at_work() == []
    assert not list((folder / "out").glob("c.*"))  # not begun
    assert {step.status for step in run(folder, resume=True)} <= {"done", "skipped"}


def test_an_error_leaves_nobody_at_work(folder, monkeypatch):
    monkeypatch.setattr(Result, "finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(folder)
    assert files_at_work() == []


def test_a_folder_that_is_a_file(folder):
    (folder / "out").write_text("in the way")
    with pytest.raises(CellsegError, match="out"):
        run(folder)


CHAIN = parse_chain("remove-small:area_px=30")


def test_labels_are_cleaned_up_on_the_way(folder):
    done = run(folder, "a", post=CHAIN)
    labels = tifffile.imread(done[0].outputs[1])
    result = done[0].outputs[0]
    segmented = zarr.open_array(result / "labels/segmentation/0", mode="r")[:]
    np.testing.assert_array_equal(labels, remove_small(segmented, area_px=30))
    assert (labels != segmented).any()
    assert float(rows(folder)["a.tif"]["share_filament"]) == pytest.approx((labels == 2).mean(), abs=1e-6)
    assert [step.status for step in run(folder, "a", resume=True, post=CHAIN)] == ["skipped"]
    assert [step.status for step in run(folder, "a", resume=True)] == ["done"]  # without steps this time
    np.testing.assert_array_equal(tifffile.imread(done[0].outputs[1]), segmented)


def test_results_are_refined_later(folder):
    done = run(folder, "a", "c")
    results = [step.outputs[0] for step in done]
    assert [step.status for step in refine_files(results, CHAIN)] == ["done", "done"]
    labels = tifffile.imread(done[0].outputs[1])
    np.testing.assert_array_equal(labels, final_labels(results[0])[:])
    assert float(rows(folder)["a.tif"]["share_filament"]) == pytest.approx((labels == 2).mean(), abs=1e-6)
    assert read_image(done[0].outputs[1]).pixel_nm == pytest.approx(0.5)
    assert [step.status for step in refine_files(results, ())] == ["done", "done"]
    assert not np.array_equal(tifffile.imread(done[0].outputs[1]), labels)


def test_a_labels_file_that_somebody_changed_is_kept(folder):
    outputs = run(folder, "a")[0].outputs
    corrected = np.full((100, 130), 2, np.uint8)
    tifffile.imwrite(outputs[1], corrected)
    assert "somebody changed it" in next(refine_files(outputs[:1], CHAIN)).message
    (again,) = run(folder, "a", resume=True, post=CHAIN)
    assert "somebody changed it" in again.message
    np.testing.assert_array_equal(tifffile.imread(outputs[1]), corrected)
    assert next(refine_files(outputs[:1], CHAIN, overwrite=True)).status == "done"
    assert (tifffile.imread(outputs[1]) == 1).any()


def test_a_kill_between_the_two_outputs_is_no_change_of_somebodys(folder):
    result = run(folder, "a")[0].outputs[0]
    refine_result(result, CHAIN)  # and the TIFF still holds the labels as segmented
    assert next(refine_files([result], CHAIN)).status == "done"
    np.testing.assert_array_equal(tifffile.imread(folder / "out/a_labels.tif"), final_labels(result)[:])


def test_what_cannot_be_refined_stops_no_other(folder):
    result = run(folder, "a")[0].outputs[0]
    done = list(refine_files([folder / "none.ome.zarr", result], CHAIN))
    assert [step.status for step in done] == ["failed", "done"]
    assert "none.ome.zarr" in done[0].message


def test_several_models_are_named_in_the_summary(folder):
    steps = segment_files([folder / "c.tif"], ["m1", "m2"], folder / "out", settings=SETTINGS)
    assert [step.status for step in steps if isinstance(step, FileDone)] == ["done"]
    assert rows(folder)["c.tif"]["model"] == "m1 + m2"


def test_labels_of_a_large_image_are_a_bigtiff(folder, monkeypatch):
    run(folder, "a")
    monkeypatch.setattr(label_tiff, "BIG_BYTES", 1000)
    write_labels_tiff(folder / "out" / "a.ome.zarr", folder / "big.tif")
    with tifffile.TiffFile(folder / "big.tif") as file:
        assert file.is_bigtiff
        assert file.asarray().shape == (100, 130)


@pytest.fixture
def model_file(tmp_path):
    """A real model: other processes know nothing of what a test puts in its place."""
    spec = ModelSpec("unet-light", "", Classes.of("filament"), stride=4, options={"depth": 2, "width": 4})
    return save_model(tmp_path / "model.safetensors", spec, new_model(spec).net)


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    for path in paths:
        tifffile.imwrite(path, rng.integers(0, 999, (70, 90), np.uint16))
    return paths


def test_other_processes_write_what_this_one_would(tmp_path, model_file, images):
    """And a second call does only what is missing."""
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    list(segment_files(images, model_file, alone))
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"no image")
    paths = [*images, broken]
    found = list(segment_files(paths, model_file, spread, scheduler="local:2"))
    assert sorted(record.status for record in found) == ["done"] * len(images) + ["failed"]
    assert found[-1].seconds_left == 0
    for path in images:
        one, other = (tifffile.imread(labels_path(out, path)) for out in (alone, spread))
        np.testing.assert_array_equal(one, other)
    with (spread / "summary.csv").open(newline="") as file:
        told = {row["path"]: row["status"] for row in csv.DictReader(file)}
    assert [told[str(path)] for path in paths] == ["done"] * len(images) + ["failed"]
    labels_path(spread, images[0]).unlink()
    again = {
        record.path: record.status
        for record in segment_files(paths, model_file, spread, scheduler="local:1", resume=True)
    }
    assert again == dict.fromkeys(images, "skipped") | {images[0]: "done", broken: "failed"}


def test_an_unknown_scheduler_is_refused_before_anything_is_done(tmp_path, model_file, images):
    with pytest.raises(CellsegError, match="local:N"):
        list(segment_files(images, model_file, tmp_path / "out", scheduler="moon:3"))
    assert not (tmp_path / "out").exists()
