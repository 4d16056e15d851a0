"""Points as discs of a label plane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.point_labels import point_labels


@pytest.mark.parametrize(
    ("points", "radius", "message"),
    [
        ([], 2, "0 points, none in the image"),
        ([[30, 5], [5, -4]], 2, "2 points, none in the image"),
        ([[np.nan, 1]], 2, "not a number"),
        ([[1, 1]], -1, "radius of -1"),
    ],
)
def test_what_cannot_be_labels(points, radius, message):
    with pytest.raises(CellsegError, match=message):
        point_labels(points, (20, 30), radius)


def test_a_small_point_is_one_pixel():
    labels = point_labels([[3.4, 5.6]], (8, 12), 0.1)
    assert np.argwhere(labels == 2).tolist() == [[3, 6]]


def test_discs_meet_the_edge_and_each_other():
    labels = point_labels([[0, 0], [0, 2], [99, 99]], (3, 6), 1)
    assert labels.tolist() == [[2, 2, 2, 2, 1, 1], [2, 1, 2, 1, 1, 1], [1] * 6]


@given(st.floats(10, 30), st.floats(10, 50), st.floats(0.8, 8))
def test_a_disc_is_as_large_as_it_should_be(row, col, radius):
    labels = point_labels([[row, col]], (40, 60), radius)
    rows, cols = np.mgrid[:40, :60]
    inside = np.hypot(rows - row, cols - col) <= radius
    assert (labels[inside] == 2).all()
    assert (labels == 2).sum() <= inside.sum() + 1
