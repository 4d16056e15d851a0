"""Strips along filaments, and places on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.straighten import straighten

IMAGE = np.random.default_rng(0).normal(0, 1, (60, 90))


@pytest.mark.parametrize("image", [np.zeros((2, 3, 4)), np.zeros(5)])
def test_no_plane(image):
    with pytest.raises(CellsegError, match="shape"):
        straighten(image, Filament([[1, 1], [1, 3]]), 3)


def test_no_width():
    with pytest.raises(CellsegError, match="at least 1 px"):
        straighten(IMAGE, Filament([[1, 1], [1, 3]]), 0.2)


def test_outside_of_the_image():
    with pytest.raises(CellsegError, match="outside"):
        straighten(IMAGE, Filament([[300, 1], [300, 30]]), 3)


def test_along_a_row_it_is_the_image():
    strip = straighten(IMAGE, Filament([[20, 10], [20, 70]]), 11)
    np.testing.assert_array_equal(strip.pixels, IMAGE[15:26, 10:71].astype(np.float32))


def test_backwards_it_is_turned_by_half_a_turn():
    strip = straighten(IMAGE, Filament([[20, 70], [20, 10]]), 11)
    np.testing.assert_array_equal(strip.pixels, IMAGE[15:26, 10:71][::-1, ::-1].astype(np.float32))


def test_down_a_column_it_is_turned_not_mirrored():
    strip = straighten(IMAGE, Filament([[10, 20], [50, 20]]), 11)
    np.testing.assert_array_equal(strip.pixels, np.rot90(IMAGE[10:51, 15:26]).astype(np.float32))


def test_beyond_the_border_the_image_goes_on():
    strip = straighten(IMAGE, Filament([[2, 10], [2, 30]]), 11)
    np.testing.assert_array_equal(strip.pixels[0], IMAGE[0, 10:31].astype(np.float32))


def test_a_slanted_line_of_a_ramp_is_exact():
    rows, cols = np.mgrid[:60, :90]
    strip = straighten(rows + 2.0 * cols, Filament([[10, 10], [40, 50]]), 5)
    there = strip.to_micrograph([[2, 0], [2, 25], [0, 25]])
    expected = there[:, 0] + 2 * there[:, 1]
    np.testing.assert_allclose(strip.pixels[[2, 2, 0], [0, 25, 25]], expected, rtol=1e-6)


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(-20, 20))
def test_places_go_there_and_back(seed, share, off):
    rng = np.random.default_rng(seed)
    turns = np.cumsum(rng.normal(0, 0.08, 12))
    path = np.array([500, 500]) + np.cumsum(np.stack([np.sin(turns), np.cos(turns)], 1) * 40, axis=0)
    filament = Filament(path)
    strip = straighten(np.zeros((1000, 1000)), filament, 41)
    place = np.array([[20 + off, share * filament.length_px]])
    np.testing.assert_allclose(strip.to_strip(strip.to_micrograph(place)), place, atol=0.05)


def test_places_beyond_the_ends():
    strip = straighten(IMAGE, Filament([[20, 10], [20, 70]]), 11)
    assert strip.to_strip([[22, 5]]).tolist() == [[7, -5]]
    assert strip.to_micrograph([[7, -5]]).tolist() == [[22, 5]]
