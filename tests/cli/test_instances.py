"""From numbers of cells to a model of single cells, their files and their scores."""

import csv
import json

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.images.instance_rings import are_rings
from napari_cellseg.images.simulate.cell_field import CellFieldSettings, simulate_cells
from napari_cellseg.nets.model import read_spec

TINY = [
    *("--preset", "cells", "--device", "cpu", "--precision", "float32", "--depth", "3", "--width", "4"),
    *("--window-px", "32", "--batch", "2", "--steps", "2", "--epochs", "1"),
]


@pytest.fixture
def fields(tmp_path):
    """Two simulated fields and the numbers of their cells."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    settings = CellFieldSettings(shape=(96, 112), cells=16, radius_px=9)
    for seed in (0, 1):
        made = simulate_cells(seed, settings=settings)
        tifffile.imwrite(tmp_path / f"images/f_{seed}.tif", made.image)
        tifffile.imwrite(tmp_path / f"masks/f_{seed}.tif", made.instances)
    return tmp_path


def train(fields, *more: str) -> int:
    places = ["--images", str(fields / "images"), "--masks", str(fields / "masks")]
    return main(["train", str(fields / "m.safetensors"), *places, *TINY, *more])


def test_from_numbers_to_scores(fields, capsys):
    assert train(fields, "--polarity", "instances") == 0
    spec = read_spec(fields / "m.safetensors")
    assert are_rings(spec.classes)
    out = fields / "out"
    assert main(["segment", str(fields / "m.safetensors"), str(fields / "images"), "--out", str(out)]) == 0
    assert str(out / "f_0_instances.tif") in capsys.readouterr().out
    cells = tifffile.imread(out / "f_0_instances.tif")
    assert cells.shape == (96, 112)
    with (out / "summary.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["objects"] == str(cells.max())
    scores = fields / "scores.json"
    arguments = [str(out), str(fields / "masks"), "--kind", "instances", "--out", str(scores)]
    assert main(["evaluate", *arguments]) == 0
    assert json.loads(scores.read_text())["pooled"]["images"] == 2


def test_numbers_of_cells_are_pointed_out_and_never_assumed(fields, capsys):
    assert train(fields) == 0
    assert "--polarity instances" in capsys.readouterr().err
    assert not are_rings(read_spec(fields / "m.safetensors").classes)


def test_names_of_classes_beside_cells_are_refused(fields, capsys):
    assert train(fields, "--polarity", "instances", "--classes", "nucleus") == 2
    assert "none: the classes are the rings of a cell" in capsys.readouterr().err


def test_broken_numbers_name_the_file(fields, capsys):
    tifffile.imwrite(fields / "masks/f_1.tif", np.full((96, 112), 0.5, np.float32))
    assert train(fields, "--polarity", "instances") == 2
    assert "f_1.tif: numbers of cells with broken parts" in capsys.readouterr().err


def test_settings_of_cells_for_another_model(folder, tmp_path, capsys):
    arguments = [str(folder / "one.safetensors"), str(folder / "a.tif"), "--out", str(tmp_path / "o")]
    assert main(["segment", *arguments, "--cell-seed", "0.7"]) == 2
    assert "finds bar; expected one that was trained with --polarity instances" in capsys.readouterr().err
