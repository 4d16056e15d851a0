"""Crops in the size and the scale of a network."""

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.images.crops import Crops, channel_bounds, fit_crop

SIDES = st.integers(1, 130)


def test_one_pixel():
    assert fit_crop(np.full((1, 1, 1), 9), (4, 2)).tolist() == [[[9, 9]] * 4]


@given(SIDES, SIDES, st.tuples(st.integers(1, 64), st.integers(1, 64)))
def test_a_flat_crop_stays_flat(rows, cols, size):
    fitted = fit_crop(np.full((2, rows, cols), 300, np.uint16), size)
    assert (fitted.dtype, fitted.shape) == (np.float32, (2, *size))
    np.testing.assert_allclose(fitted, 300, rtol=1e-5)


@pytest.mark.parametrize("shape", [(97, 50), (50, 97), (20, 20)])
def test_it_is_pillows_triangle_in_the_middle_of_the_border_level(shape):
    pixels = np.random.default_rng(0).integers(0, 4096, (1, *shape)).astype(np.uint16)
    fitted = fit_crop(pixels, (64, 32))
    scale = min(64 / shape[0], 32 / shape[1])
    inner = (round(shape[0] * scale), round(shape[1] * scale))
    direct = PIL.Image.fromarray(pixels[0].astype(np.float32)).resize(
        inner[::-1], PIL.Image.Resampling.BILINEAR
    )
    top, left = (64 - inner[0]) // 2, (32 - inner[1]) // 2
    middle = fitted[0, top : top + inner[0], left : left + inner[1]]
    np.testing.assert_allclose(middle, np.asarray(direct), rtol=1e-4, atol=0.5)
    edges = np.concatenate([pixels[0, 0], pixels[0, -1], pixels[0, :, 0], pixels[0, :, -1]])
    outside = np.delete(fitted[0].ravel(), np.arange(64 * 32).reshape(64, 32)[
        top : top + inner[0], left : left + inner[1]].ravel())  # fmt: skip
    assert set(outside.tolist()) <= {float(np.sort(edges)[(len(edges) - 1) // 2])}


def test_bounds_scale_each_channel_alike_for_every_crop():
    pixels = np.stack([np.full((4, 4), 100), np.full((4, 4), 7)])
    fitted = fit_crop(pixels, (4, 4), [[50, 150], [7, 7]])
    np.testing.assert_allclose(fitted[:, 0, 0], [0.5, 0])
    np.testing.assert_allclose(fit_crop(pixels + 100, (4, 4), [[50, 150], [7, 7]])[0], 1.5)


def test_bounds_are_of_the_training_part_alone():
    dim, bright = np.zeros((1, 9, 9)), np.full((1, 9, 9), 100.0)
    crops = Crops.from_arrays([dim, bright, dim, bright * 50])
    assert channel_bounds(crops, [0, 1]).tolist() == [[0, 100]]
    assert channel_bounds(crops, np.array([True, False, True, False])).tolist() == [[0, 0]]
    assert channel_bounds(crops.take([])).tolist() == [[0, 1]]


def test_a_few_hot_pixels_do_not_set_the_bounds():
    rng = np.random.default_rng(0)
    cells = [rng.normal(100, 5, (1, 40, 40)) for _ in range(60)]
    for cell in cells[:10]:
        cell[0, 3, 3] = 1e6
    low, high = channel_bounds(Crops.from_arrays(cells))[0]
    assert 70 < low < 95
    assert 105 < high < 130


def test_crops_that_cannot_be_read_do_not_count():
    crops = Crops.from_arrays([np.full((1, 3, 3), 5.0), np.zeros((2, 3, 3))])
    assert channel_bounds(crops).tolist() == [[5, 5]]
