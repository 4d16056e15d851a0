"""What `info` says of images of single cells."""

import numpy as np
import PIL.Image
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.simulate import IdeasExportSettings, simulate_ideas_export
from napari_cellseg.report.describe import describe


def test_a_folder_of_crops(tmp_path):
    settings = IdeasExportSettings(cells=6, samples=1, missing=0.2)
    simulate_ideas_export(tmp_path / "cells", settings=settings)
    found = describe(tmp_path / "cells")
    assert (found["kind"], found["format"], found["crops"], found["left_out"]) == ("crops", "ideas", 5, 1)
    assert found["channels"] == ["Ch4", "Ch5", "Ch6"]
    assert sum(found["classes"].values()) == 5
    assert found["samples"] == ["station1"]
    assert found["dtype"] == "uint16"


def test_many_samples_are_counted(tmp_path):
    for number in range(30):
        (tmp_path / f"day {number}" / "A").mkdir(parents=True)
        PIL.Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / f"day {number}" / "A" / "1.png")
    assert describe(tmp_path)["samples"][-1] == "and 10 more"


def test_a_table_of_crops_and_a_table_of_points(tmp_path):
    PIL.Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "1.png")
    (tmp_path / "cells.csv").write_text("path,label\n1.png,a\n")
    (tmp_path / "points.csv").write_text("X,Y\n1,2\n")
    assert describe(tmp_path / "cells.csv")["kind"] == "crops"
    assert describe(tmp_path / "points.csv")["kind"] == "coordinates"
    assert describe(tmp_path / "1.png")["kind"] == "image"


def test_neither(tmp_path):
    for name in ("x.cif", "x.zip"):
        (tmp_path / name).write_bytes(b"\0")
    with pytest.raises(CellsegError, match="Export"):
        describe(tmp_path / "x.cif")
    with pytest.raises(CellsegError, match="no such file"):
        describe(tmp_path / "missing")
    with pytest.raises(CellsegError, match="no image of a known kind"):
        describe(tmp_path / "x.zip")
