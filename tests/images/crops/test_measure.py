"""Figures of a crop, on shapes whose figures are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from napari_cellseg.images.crops import (
    Crops,
    find_duplicates,
    measure_crops,
    measured_names,
    read_crops,
)
from napari_cellseg.images.crops.measure import measure_crop

Y, X = np.mgrid[-20:21, -25:26]


def figures(pixels, channel="grey"):
    names = measured_names((channel,))
    return dict(zip(names, measure_crop(pixels[np.newaxis]).tolist(), strict=True))


def test_a_dark_disc_on_a_bright_ground():
    found = figures(200.0 - 150 * (np.hypot(Y, X) < 10))
    assert found["area_px2"] == pytest.approx(305, abs=3)
    assert found["major_px"] == pytest.approx(20, abs=0.5)
    assert found["eccentricity"] < 0.1
    assert found["roundness"] > 0.85
    assert (found["parts"], found["grey_border"], found["grey_p50"]) == (1, 200, -150)
    assert (found["height_px"], found["width_px"]) == (41, 51)


def test_a_long_object_and_a_second_one():
    cell = 100.0 * (np.hypot(Y / 4, X / 16) < 1)
    cell[:4, :4] = 100
    found = figures(cell)
    assert found["major_px"] == pytest.approx(32, abs=1)
    assert found["minor_px"] == pytest.approx(8, abs=1)
    assert found["parts"] == 2


def test_blur_falls_with_focus():
    sharp = np.random.default_rng(0).normal(size=(40, 40)) * 20 + 500 * (np.hypot(Y, X) < 12)[:40, :40]
    assert figures(sharp)["grey_blur"] > 5 * figures(ndimage.gaussian_filter(sharp, 2.0))["grey_blur"]


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32]),
        array_shapes(min_dims=3, max_dims=3, max_side=9),
        elements=st.integers(0, 255),
    )
)
def test_any_pixels_give_finite_figures(pixels):
    assert np.isfinite(measure_crop(pixels)).all()


def test_a_table_with_a_crop_that_cannot_be_read():
    crops = Crops.from_arrays([np.ones((1, 5, 5)), np.ones((2, 5, 5))])
    measured = measure_crops(crops)
    assert measured.values.shape == (2, len(measured.names))
    assert np.isnan(measured.values).all(axis=1).tolist() == [False, True]
    assert measured.column("height_px")[0] == 5


def test_duplicates_need_the_same_shape_and_type():
    zeros = [np.zeros((1, 4, 6)), np.zeros((1, 6, 4)), np.zeros((1, 4, 6), np.float32), np.zeros((1, 4, 6))]
    assert [group.tolist() for group in find_duplicates(Crops.from_arrays(zeros))] == [[0, 3]]
    broken = Crops.from_arrays([np.ones((1, 2, 2)), np.zeros((3, 2, 2)), np.zeros((3, 2, 2))])
    assert find_duplicates(broken) == []


def test_real_cells_differ_in_size_as_they_look(data_folder):
    crops = read_crops(data_folder / "plankton-demo").take(np.arange(0, 105, 9))
    measured = measure_crops(crops)
    assert np.isfinite(measured.values).all()
    assert measured.column("area_px2").min() > 100
