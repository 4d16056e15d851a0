"""Points of many files."""

import csv

import numpy as np
import pytest
import tifffile

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import read_coordinates
from napari_cellseg.images.point_labels import point_labels
from napari_cellseg.objects.settings import PointSettings
from napari_cellseg.predict.points import point_files

TRUE = [[60, 30 + k * 48.125] for k in range(7)]
ONE = PointSettings(strands=1)


@pytest.fixture
def said(tmp_path):
    path = tmp_path / "m1.tif"
    tifffile.imwrite(path, (point_labels(TRUE, (120, 400), 4) == 2).astype(np.float32))
    return path


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "m1_filaments.csv"
    path.write_text("filament,X,Y\n3,10,60\n3,390,60\n")
    return path


def test_nothing_to_look_in(tmp_path):
    with pytest.raises(CellsegError, match="no files"):
        list(point_files([], tmp_path))


def test_a_table_with_filaments_is_written_and_read(said, lines, tmp_path):
    (done,) = point_files([said], tmp_path / "out", filaments=[lines], pixel_nm=0.8, settings=ONE)
    assert (done.status, done.output.name) == ("done", "m1_points.csv")
    found = read_coordinates(done.output)
    np.testing.assert_allclose(found.points, TRUE, atol=1)
    assert (found.owners == 3).all()
    np.testing.assert_allclose(found.arcs_px, np.array(TRUE)[:, 1] - 10, atol=1)
    assert found.scores.min() > 0.5
    with (tmp_path / "out" / "summary.csv").open() as file:
        assert [row["points"] for row in csv.DictReader(file)] == ["7"]
    with pytest.raises(CellsegError, match="exists already"):
        list(point_files([said], tmp_path / "out", pixel_nm=0.8))


def test_relion_gets_particles(said, lines, tmp_path):
    (done,) = point_files(
        [said], tmp_path / "out", format="relion", filaments=[lines], pixel_nm=0.8, settings=ONE
    )
    found = read_coordinates(done.output)
    assert len(found.points) == 7
    assert found.filaments == ()


def test_one_bad_file_stops_no_other(said, lines, tmp_path):
    other = tmp_path / "m2.tif"
    tifffile.imwrite(other, np.zeros((30, 40), np.float32))
    records = list(point_files([other, said], tmp_path / "out", filaments=[lines], pixel_nm=0.8))
    assert [record.status for record in records] == ["failed", "done"]
    assert "no filaments of this name" in records[0].message


def test_two_files_of_one_name(said, tmp_path):
    with pytest.raises(CellsegError, match="two files would become"):
        list(point_files([said, said], tmp_path / "out"))


def test_without_a_pixel_size_a_file_fails(said, tmp_path):
    (done,) = point_files([said], tmp_path / "out")
    assert (done.status, "pixel size" in done.message) == ("failed", True)
