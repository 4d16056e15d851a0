"""Coordinate files against each other."""

import json

import pytest

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import write_coordinates
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
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
