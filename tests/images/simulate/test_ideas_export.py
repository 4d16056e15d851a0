"""Simulated exports: real layout, known truth, the same for the same seed."""

import csv
import hashlib

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import read_crops
from napari_cellseg.images.simulate import IdeasExportSettings, simulate_ideas_export
from napari_cellseg.images.simulate.cells_in_flow import KINDS, Look, draw_cell


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return whole.hexdigest()


def test_the_same_seed_gives_the_same_files(tmp_path):
    settings = IdeasExportSettings(cells=4, samples=2)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_ideas_export(tmp_path / name, settings=settings, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


@pytest.mark.parametrize("class_folders", [True, False])
@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_every_layout_is_read(tmp_path, class_folders, prefix, padded):
    settings = IdeasExportSettings(
        cells=5, samples=2, missing=0.2, class_folders=class_folders, prefix=prefix, padded=padded
    )
    truth = simulate_ideas_export(tmp_path, settings=settings)
    crops = read_crops(tmp_path, channels=["Ch4", "Ch5", "Ch6"])
    assert (len(crops), len(crops.left_out)) == (4, 1)
    whole = truth.lacking == ""
    assert sorted(crops.samples) == sorted(truth.samples[whole])
    if class_folders:
        assert sorted(crops.labels) == sorted(truth.labels[whole])
    with (tmp_path / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == truth.labels.tolist()
    assert [row["lacking"] for row in rows] == truth.lacking.tolist()


def test_a_folder_with_something_in_it(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(CellsegError, match="not empty"):
        simulate_ideas_export(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_12_bit_and_stand_out(kind):
    for seed in range(3):
        cell = draw_cell(kind, np.random.default_rng(seed), Look(1, 1, 1, 1))
        assert (cell.dtype, len(cell)) == (np.uint16, 3)
        assert cell.max() <= 4095
        assert cell[0].min() < 0.9 * np.median(cell[0])


def test_samples_differ_where_they_are_told_to(tmp_path):
    settings = IdeasExportSettings(cells=24, samples=2, group_effect=1.0, missing=0, duplicates=0)
    simulate_ideas_export(tmp_path, settings=settings, seed=5)
    crops = read_crops(tmp_path)
    levels = np.array([np.median(crops.read(k)[0]) for k in range(len(crops))])
    one, two = (levels[crops.samples == name] for name in np.unique(crops.samples))
    assert abs(one.mean() - two.mean()) > 3 * max(one.std(), two.std())
