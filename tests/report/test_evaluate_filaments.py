"""Coordinate files, and images that filaments are traced in, against each other."""

import json

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import write_coordinates
from napari_cellseg.formats.star import star_text
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.filaments import instance_labels
from napari_cellseg.report.evaluate_filaments import evaluate_filaments

LINES = (Filament([[10, 5], [10, 95]], 1, 8.0), Filament([[5, 50], [95, 50]], 2, 8.0))


def written(path, *filaments):
    write_coordinates(path, Coordinates(filaments, shape=(100, 100)), format="csv")
    return path


def test_nothing_found(tmp_path):
    scores = evaluate_filaments(
        [written(tmp_path / "a.csv")], [written(tmp_path / "b.csv", *LINES)], tolerance_px=3
    )
    assert scores.pooled["whole_share"] == 0
    assert scores.pooled["fragments_per_filament"] is scores.pooled["median_error_px"] is None


def test_no_width_and_no_tolerance(tmp_path):
    with pytest.raises(CellsegError, match="tolerance"):
        evaluate_filaments([written(tmp_path / "a.csv")], [written(tmp_path / "b.csv")])


def test_several_are_paired_by_micrograph(tmp_path):
    found = [
        written(tmp_path / f"found/{name}.csv", *LINES[:number]) for name, number in (("a", 1), ("b", 2))
    ]
    truth = [written(tmp_path / f"truth/{name}.csv", *LINES) for name in "ab"]
    scores = evaluate_filaments(found, truth, tolerance_px=3)
    assert [image["whole"] for image in scores.images] == [1, 2]
    assert scores.pooled["whole_share"] == 0.75
    with pytest.raises(CellsegError, match="no truth for b"):
        evaluate_filaments(found, [truth[0], written(tmp_path / "c.csv", *LINES)], tolerance_px=3)


def test_from_the_command_line(tmp_path, capsys):
    truth, found = written(tmp_path / "t.csv", *LINES), written(tmp_path / "f.csv", *LINES)
    more = ["--kind", "filaments", "--tolerance-px", "3", "--out", str(tmp_path / "s.json")]
    assert main(["evaluate", str(found), str(truth), *more]) == 0
    assert "whole" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["pooled"]["whole"] == 2


def drawn(*filaments):
    """Numbers of the filaments over their width."""
    return instance_labels(filaments, (100, 100))


def write(path, plane):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, plane)
    return path


def evaluated(tmp_path, found, true, *more):
    out = tmp_path / "s.json"
    assert main(["evaluate", str(found), str(true), "--kind", "filaments", "--out", str(out), *more]) == 0
    return json.loads(out.read_text())


def test_labels_are_traced_on_either_side(tmp_path, capsys):
    labels = write(tmp_path / "m_labels.tif", np.where(drawn(*LINES) > 0, 2, 1).astype(np.uint8))
    half = write(tmp_path / "half/m_labels.tif", np.where(drawn(LINES[0]) > 0, 2, 1).astype(np.uint8))
    scores = evaluated(tmp_path, half, labels)
    assert (scores["pooled"]["whole"], scores["pooled"]["filaments"]) == (1, 2)
    # what there was before stays: centrelines, by pixels
    assert scores["pooled"]["classes"]["class 1"]["centreline_recall"] < 0.6
    assert scores["images"][0]["whole"] == 1
    said = capsys.readouterr()
    assert "1 of 2 filaments found whole" in said.out
    assert "filaments were traced in m_labels.tif" in said.err


@pytest.mark.parametrize("turned", [False, True])
def test_labels_against_coordinates(tmp_path, turned):
    labels = write(tmp_path / "m_labels.tif", np.where(drawn(*LINES) > 0, 2, 1).astype(np.uint8))
    lines = written(tmp_path / "m.csv", *LINES)
    scores = evaluated(tmp_path, *((lines, labels) if turned else (labels, lines)))
    assert scores["pooled"]["whole_share"] == 1
    assert scores["pooled"]["median_error_px"] < 0.3
    assert "classes" not in scores["pooled"]


def test_objects_of_a_numbered_image_are_filaments(tmp_path):
    plane = drawn(*LINES).astype(np.uint16)
    numbers = write(tmp_path / "m_instances.tif", plane)
    scores = evaluate_filaments([numbers], [written(tmp_path / "m.csv", *LINES)])
    assert (scores.pooled["whole"], scores.pooled["traced"]) == (2, 2)
    assert scores.tolerance_px == 4


def test_probabilities_of_a_mask_of_the_dark_side(tmp_path):
    dark = write(tmp_path / "m_mask.tif", np.where(drawn(*LINES) > 0, 0, 255).astype(np.uint8))
    scores = evaluate_filaments([dark], [written(tmp_path / "m.csv", *LINES)], polarity="dark")
    assert scores.pooled["whole"] == 2


def test_folders_are_paired_by_micrograph(tmp_path):
    for number, name in enumerate(("m1", "m2"), start=1):
        plane = np.where(drawn(*LINES[:number]) > 0, 2, 1).astype(np.uint8)
        write(tmp_path / f"found/{name}_labels.tif", plane)
        write(tmp_path / f"true/{name}_mask.tif", np.where(drawn(*LINES) > 0, 255, 0).astype(np.uint8))
    scores = evaluated(tmp_path, tmp_path / "found", tmp_path / "true")
    assert [image["whole"] for image in scores["images"]] == [1, 2]
    assert scores["pooled"]["whole_share"] == 0.75


def test_images_of_another_size(tmp_path):
    small = write(tmp_path / "a_labels.tif", np.ones((50, 60), np.uint8))
    large = write(tmp_path / "b_labels.tif", np.ones((60, 60), np.uint8))
    with pytest.raises(CellsegError, match="same image"):
        evaluate_filaments([small], [large], tolerance_px=3)


def test_coordinates_of_another_pixel_size_are_scaled(tmp_path):
    paths = [(one.path + 0.5) / 2 - 0.5 for one in LINES]
    rows = {"rlnCoordinateX": [float(col) for path in paths for _, col in path]}
    rows["rlnCoordinateY"] = [float(row) for path in paths for row, _ in path]
    rows |= {"rlnHelicalTubeID": [1, 1, 2, 2], "rlnMicrographPixelSize": [20.0] * 4}
    (tmp_path / "m.star").write_text(star_text("", rows))
    labels = write(tmp_path / "m_labels.tif", np.where(drawn(*LINES) > 0, 2, 1).astype(np.uint8))
    scores = evaluate_filaments([labels], [tmp_path / "m.star"], pixel_nm=1.0, tolerance_nm=3)
    assert (scores.tolerance_px, scores.pooled["whole"]) == (3, 2)
    assert scores.pooled["median_error_px"] < 0.3
    assert "counted from the top" in scores.notices[-1]
