import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament


def test_nothing_is_allowed():
    empty = Coordinates()
    assert (empty.points.shape, empty.outside()) == ((0, 2), 0)
    assert empty.scaled(2).points.shape == (0, 2)


@pytest.mark.parametrize(
    "keywords",
    [
        {"points": [[np.nan, 0]]},
        {"points": [[0, 0]], "scores": [np.nan]},
        {"points": [[0, 0]], "scores": [0.5, 0.5]},
        {"filaments": (Filament([[0, 0], [0, 1]], score=np.nan),)},
    ],
)
def test_what_is_not_finite_is_refused(keywords):
    with pytest.raises(CellsegError):
        Coordinates(**keywords)


def test_rows_of_one_place_are_a_point():
    found = Coordinates.from_rows([[1, 1], [1, 1], [2, 2], [2, 5]], [7, 7, 3, 3], [0.1, 0.3, np.nan, 1])
    assert found.points.tolist() == [[1, 1]]
    assert found.scores.tolist() == [0.1]
    (filament,) = found.filaments
    assert (filament.id, filament.score, filament.width_px) == (3, 1, None)


def test_a_row_that_is_not_a_number_is_refused():
    with pytest.raises(CellsegError):
        Coordinates.from_rows([[1, 1], [np.nan, 2]], [1, 1])


@given(st.floats(0.1, 10), st.floats(0, 99), st.floats(0, 49))
def test_scaling_and_flipping_come_back(factor, row, col):
    before = Coordinates(
        (Filament([[row, col], [100, 50]], width_px=8),), [[row, col]], pixel_nm=0.2, shape=(101, 51)
    )
    after = before.scaled(factor).scaled(1 / factor)
    np.testing.assert_allclose(after.points, before.points, atol=1e-9)
    assert after.filaments[0].width_px == pytest.approx(8)
    assert after.pixel_nm == pytest.approx(0.2)
    twice = before.flipped().flipped()
    np.testing.assert_allclose(twice.filaments[0].path, before.filaments[0].path, atol=1e-9)


def test_the_field_reaches_to_the_edges_of_its_pixels():
    assert Coordinates(points=[[-0.5, 49.5], [9.4, 0]], shape=(10, 50)).outside() == 0
    assert Coordinates(points=[[-0.6, 0], [0, 49.6], [9.6, 0]], shape=(10, 50)).outside() == 3
