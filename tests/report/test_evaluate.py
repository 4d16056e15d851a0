import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from sklearn.metrics import roc_auc_score

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.segment_file import write_labels_tiff
from napari_cellseg.predict.store import begin_result
from napari_cellseg.predict.tiles import Grid
from napari_cellseg.report.evaluate import evaluate_files, find_predictions

CLASSES = Classes.of("vessel")
TRUTH = np.ones((48, 64), np.uint8)
TRUTH[10:15, 4:60] = 2
TRUTH[30:35, 4:60] = 2


def write_result(folder: Path, name: str, vessel: np.ndarray, *, finished: bool = True) -> Path:
    """An OME-Zarr result and its labels, as `segment` leaves them."""
    path = folder / f"{name}.ome.zarr"
    grid = Grid(vessel.shape, vessel.shape, 0, 8, vessel.shape)
    result = begin_result(path, grid, classes=CLASSES, pixel_nm=2.0, identity={}, threshold=None)
    whole = (slice(0, vessel.shape[0]), slice(0, vessel.shape[1]))
    result.write(*whole, Encode(2)(np.stack([1 - vessel, vessel]).astype(np.float32)))
    if finished:
        result.finish(path)
        write_labels_tiff(path, folder / f"{name}_labels.tif", pixel_nm=2.0)
    return path


def vessel(seed: int) -> np.ndarray:
    """Probabilities near the truth, with a gap in one vessel."""
    shares = np.where(TRUTH == 2, 0.8, 0.2) + np.random.default_rng(seed).uniform(-0.15, 0.15, TRUTH.shape)
    shares[:16, 30:50] = 0.1
    return shares


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    for directory in ("results", "truth"):
        (folder / directory).mkdir()
    for seed, name in enumerate(("a", "b")):
        write_result(folder / "results", name, vessel(seed))
        tifffile.imwrite(folder / f"truth/{name}_mask.tif", np.where(TRUTH == 2, 255, 0).astype(np.uint8))
    return folder


def scored(folder: Path, out: Path, predicted: str, truth: str, *more: str) -> dict:
    assert main(["evaluate", str(folder / predicted), str(folder / truth), "--out", str(out), *more]) == 0
    return json.loads(out.read_text())


def test_a_result_folder_brings_probabilities_and_names(folder, tmp_path, capsys):
    scores = scored(folder, tmp_path / "s.json", "results", "truth")
    assert [Path(image["probabilities"]).name for image in scores["images"]] == ["a.ome.zarr", "b.ome.zarr"]
    assert [Path(image["predicted"]).name for image in scores["images"]] == ["a_labels.tif", "b_labels.tif"]
    pooled = scores["pooled"]
    levels = (np.float32([vessel(0), vessel(1)]) * 255 + 0.5).astype(np.uint8)
    auroc = roc_auc_score(np.stack([TRUTH, TRUTH]).ravel() == 2, levels.ravel())
    assert pooled["classes"]["vessel"]["auroc"] == pytest.approx(auroc)
    assert pooled["classes"]["vessel"]["recall"] == pytest.approx(1 - 20 * 5 / 560)
    assert (pooled["images"], pooled["interval"]["method"]) == (2, "jackknife")
    printed = capsys.readouterr()
    assert "auroc" in printed.out
    assert "calib. error" in printed.out
    assert "2 images are too few for a bootstrap" in printed.err


def test_zarr_labels_and_folder_say_the_same(folder, tmp_path):
    ways = {"results/a.ome.zarr": "vessel", "results/a_labels.tif": "class 1"}
    found = [
        scored(folder, tmp_path / f"{number}.json", way, "truth/a_mask.tif")["pooled"]["classes"][name]
        for number, (way, name) in enumerate(ways.items())
    ]
    assert found[0] == found[1]
    assert found[0]["auroc"] is not None


def test_filaments(folder, tmp_path, capsys):
    scores = scored(
        folder, tmp_path / "s.json", "results", "truth", "--kind", "filaments", "--tolerance-nm", "4"
    )
    assert scores["kind"] == "filaments"
    figures = scores["pooled"]["classes"]["vessel"]
    assert (figures["filaments"], figures["filaments_found"], figures["fragments_per_filament"]) == (
        4,
        4,
        1.5,
    )
    assert figures["gap_rate"] == pytest.approx((20 - 4) / (2 * 51), abs=0.03)
    assert scores["images"][0]["classes"]["vessel"]["tolerance_px"] == 2
    assert "gap rate" in capsys.readouterr().out
    assert "counts" not in scores["images"][0]


def test_pixels_measure_no_thin_structures(folder, tmp_path):
    pooled = scored(folder, tmp_path / "s.json", "results", "truth")["pooled"]
    assert not any("cl_dice" in figures for figures in pooled["classes"].values())


def test_keys_of_the_first_release_stay(folder, tmp_path):
    scores = scored(
        folder, tmp_path / "s.json", "results/*_labels.tif", "truth/*.tif", "--polarity", "bright"
    )
    assert scores["kind"] == "pixels"
    assert {"predicted", "truth"} <= scores["images"][0].keys()
    for part in (scores["pooled"], *scores["images"]):
        assert {"classes", "mean_f1", "accuracy", "balanced_accuracy", "pixels"} <= part.keys()
        assert {"precision", "recall", "f1", "iou", "pixels"} <= part["classes"]["class 1"].keys()


def test_probabilities_of_some_images_only(folder, tmp_path):
    lone = tmp_path / "b_labels.tif"
    tifffile.imwrite(lone, TRUTH)
    predicted = [folder / "results/a_labels.tif", lone]
    evaluation = evaluate_files(predicted, sorted((folder / "truth").iterdir()), polarity="bright")
    assert evaluation.pooled["calibration_error"] is None
    assert "probabilities are not scored: b_labels.tif has none" in evaluation.notices


def test_probabilities_that_do_not_fit(folder, tmp_path):
    write_result(tmp_path, "a", vessel(0)[:24])
    tifffile.imwrite(tmp_path / "a_labels.tif", TRUTH)
    evaluation = evaluate_files([tmp_path / "a_labels.tif"], [folder / "truth/a_mask.tif"])
    assert evaluation.pooled["accuracy"] == 1
    assert "those in a.ome.zarr have the shape (2, 24, 64), not (2, 48, 64)" in evaluation.notices[-2]


def test_an_unfinished_result_has_none(folder, tmp_path):
    write_result(tmp_path, "a", vessel(0), finished=False)
    tifffile.imwrite(tmp_path / "a_labels.tif", TRUTH)
    evaluation = evaluate_files([tmp_path / "a_labels.tif"], [folder / "truth/a_mask.tif"])
    assert "probabilities" not in evaluation.images[0]


def test_labels_and_result_are_one_prediction(folder):
    paths = sorted((folder / "results").iterdir())
    assert [prediction.labels.name for prediction in find_predictions(paths)] == [
        "a_labels.tif",
        "b_labels.tif",
    ]
    only = find_predictions([path for path in paths if path.suffix == ".zarr"])
    assert [(prediction.labels, prediction.result) for prediction in only] == [
        (path, path) for path in paths[::2]
    ]
    plain = folder / "truth/a_mask.tif"
    assert find_predictions([plain])[0].result is None
    assert len(find_predictions([*paths, plain])) == 2


def test_a_tolerance_in_nm_needs_a_pixel_size(folder, tmp_path):
    lone = tmp_path / "a_labels.tif"
    tifffile.imwrite(lone, TRUTH)
    with pytest.raises(CellsegError, match="without a pixel size"):
        evaluate_files([lone], [folder / "truth/a_mask.tif"], kind="filaments", tolerance_nm=3)
    found = evaluate_files(
        [lone], [folder / "truth/a_mask.tif"], kind="filaments", tolerance_nm=3, pixel_nm=2, names=["vessel"]
    )
    assert found.images[0]["classes"]["vessel"]["tolerance_px"] == 1.5
