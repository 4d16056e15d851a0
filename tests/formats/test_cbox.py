import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import read_coordinates, write_coordinates
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.settings import ExportSettings


def test_an_empty_file_is_an_empty_result(tmp_path):
    path = tmp_path / "a.cbox"
    path.touch()
    found = read_coordinates(path)
    assert (found.filaments, len(found.points)) == ((), 0)


def test_real_files_hold_what_they_should(data_folder):
    paths = sorted((data_folder / "filament-coordinates-cbox").glob("*.cbox"))
    found = [read_coordinates(path) for path in paths]
    assert sum(len(one.filaments) for one in found) == 22
    assert sum(len(filament.path) for one in found for filament in one.filaments) == 1103
    assert {one.box_px for one in found} == {100}
    first = found[0].filaments[0]
    np.testing.assert_allclose(first.path[0], [2490.425803432137 + 50, 33.5926053042125 + 50])
    assert first.score == 1
    # evenly spaced: nothing was put together in the wrong order
    steps = [np.hypot(*np.diff(filament.path, axis=0).T) for one in found for filament in one.filaments]
    assert all(step.max() < 1.5 * np.median(step) for step in steps)


def test_real_files_come_back_as_they_were(data_folder, tmp_path):
    for path in (data_folder / "filament-coordinates-cbox").glob("*.cbox"):
        found = read_coordinates(path)
        write_coordinates(tmp_path / path.name, found, format="cbox", settings=ExportSettings(step_px=0))
        again = read_coordinates(tmp_path / path.name)
        for one, two in zip(found.filaments, again.filaments, strict=True):
            np.testing.assert_allclose(two.path, one.path, atol=1e-6)
            assert (two.id, two.score) == (one.id, one.score)


MIXED = """
data_global

_cbox_format_version 1.0

data_cryolo

loop_
_Confidence #1
_filamentid #2
_Height #3
_Width #4
_CoordinateY #5
_CoordinateX #6
0.5 0.0 20 10 100 200
<NA> <NA> 20 10 1 2
0.7 0.0 20 10 100 260
"""


def test_columns_are_found_by_name(tmp_path):
    path = tmp_path / "a.cbox"
    path.write_text(MIXED)
    found = read_coordinates(path)
    assert found.filaments[0].path.tolist() == [[110, 205], [110, 265]]
    assert (found.filaments[0].id, found.filaments[0].score) == (1, pytest.approx(0.6))
    assert (found.points.tolist(), found.scores) == ([[11, 7]], None)


def test_a_tomogram_is_refused(tmp_path):
    path = tmp_path / "a.cbox"
    rows = "data_cryolo\n\nloop_\n_CoordinateX #1\n_CoordinateY #2\n_CoordinateZ #3\n_Width #4\n_Height #5\n"
    path.write_text(rows + "1 2 3 4 5\n1 2 4 4 5\n")
    with pytest.raises(CellsegError, match="tomogram"):
        read_coordinates(path)


def test_filaments_are_numbered_from_nought_as_floats(tmp_path):
    line = Coordinates((Filament([[50, 50], [50, 90]], 1, None, 0.5),), [[7, 8]], micrograph="a.mrc")
    write_coordinates(tmp_path / "a.cbox", line, format="cbox", settings=ExportSettings(box_px=20, step_px=0))
    text = (tmp_path / "a.cbox").read_text()
    assert "\n40.0 40.0 <NA> 20.0 20.0 1.0 <NA> <NA> 0.5 <NA> <NA> 0.0\n" in text
    assert "\n-2.0 -3.0 <NA> 20.0 20.0 1.0 <NA> <NA> <NA> <NA> <NA> <NA>\n" in text
