import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament


@pytest.mark.parametrize("path", [np.zeros((0, 2)), [[1, 2]], [[1, 2], [1, 2]], [1, 2], [[1, 2, 3]] * 2])
def test_what_is_no_line_is_refused(path):
    with pytest.raises(CellsegError, match="filament 1"):
        Filament(path)


def test_points_that_are_no_numbers_are_refused():
    with pytest.raises(CellsegError, match="not a number"):
        Filament([[0, 0], [np.nan, 1]])


@given(st.floats(0, 2 * np.pi), st.floats(1, 1000), st.integers(2, 9))
def test_a_straight_line_is_exact(angle, length, points):
    along = np.linspace(0, length, points)
    direction = np.array([np.sin(angle), np.cos(angle)])
    line = Filament(along[:, None] * direction)
    assert line.length_px == pytest.approx(length)
    places, tangents = line.at([-1, length / 3, length + 2])
    np.testing.assert_allclose(places, np.outer([-1, length / 3, length + 2], direction), atol=1e-6)
    np.testing.assert_allclose(tangents, np.tile(direction, (3, 1)), atol=1e-9)


def test_a_circle_has_its_length_and_curvature():
    turn = np.linspace(0, np.pi, 60)
    arc = Filament(100 * np.column_stack([np.sin(turn), np.cos(turn)]))
    assert arc.length_px == pytest.approx(100 * np.pi, rel=1e-4)
    np.testing.assert_allclose(np.abs(arc.curvature([100, 150, 200])), 0.01, rtol=1e-3)
    assert arc.reversed().curvature([150])[0] == pytest.approx(-arc.curvature([150])[0], rel=1e-2)
    steps = np.hypot(*np.diff(arc.resampled(5).path, axis=0).T)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)


def test_repeated_points_count_once_and_the_path_cannot_be_changed():
    line = Filament([[0, 0], [0, 0], [0, 5], [0, 5]])
    assert line.path.tolist() == line.ends.tolist() == [[0, 0], [0, 5]]
    with pytest.raises(ValueError, match="read-only"):
        line.path[0] = 1
