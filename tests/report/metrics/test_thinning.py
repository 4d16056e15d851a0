import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage as ndi
from skimage.morphology import thin

from napari_cellseg.report.metrics.thinning import edge_of, skeleton_of

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (1, 1), (1, 5), (2, 2)])
def test_tiny_planes(shape):
    assert not skeleton_of(np.zeros(shape, bool)).any()
    assert skeleton_of(np.ones(shape, bool)).shape == shape
    assert edge_of(np.ones(shape, bool)).all()


@given(masks)
def test_is_that_of_skimage(mask):
    before = mask.copy()
    assert (skeleton_of(mask) == thin(mask)).all()
    assert (mask == before).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 4))
def test_is_that_of_skimage_for_thick_shapes(seed, smooth):
    mask = ndi.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 50)), smooth) > 0
    assert (skeleton_of(mask) == thin(mask)).all()


def test_a_diagonal_of_two_pixels_keeps_its_length():
    double = np.eye(12, dtype=bool) | np.eye(12, k=1, dtype=bool)
    assert skeleton_of(double).sum() == 12


@given(masks)
def test_edge_is_what_erosion_takes(mask):
    assert (edge_of(mask) == mask & ~ndi.binary_erosion(mask)).all()


def test_a_plane_full_of_one_class_takes_seconds():
    start = time.process_time()
    assert skeleton_of(np.ones((1900, 1800), bool)).any()
    assert time.process_time() - start < 5
