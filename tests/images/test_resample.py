import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.images.resample import axis_weights, read_resampled, working_shape

sides = st.integers(1, 60)


def reader(planes):
    return lambda rows, cols: planes[:, rows, cols]


def resample(planes, target, rows=None, cols=None):
    rows, cols = rows or slice(0, target[0]), cols or slice(0, target[1])
    return read_resampled(reader(planes), planes.shape[1:], target, rows, cols)


@pytest.mark.parametrize(
    ("pixel_nm", "working_nm", "expected"),
    [
        (None, 1.0, (100, 7)),
        (1.0, None, (100, 7)),
        (1.0, 1.0, (100, 7)),
        (1.0, 1.019, (100, 7)),
        (1.0, 2.0, (50, 4)),
        (2.0, 1.0, (200, 14)),
        (1.0, 1000.0, (1, 1)),
    ],
)
def test_working_shape(pixel_nm, working_nm, expected):
    assert working_shape((100, 7), pixel_nm, working_nm) == expected


@given(source=sides, target=sides)
def test_weights_sum_to_one_and_are_shares(source, target):
    part, weights = axis_weights(source, target, 0, target)
    assert weights.shape == (target, part.stop - part.start)
    assert weights.dtype == np.float32
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


@given(source=sides, target=sides, data=st.data())
def test_weights_do_not_depend_on_the_block(source, target, data):
    start = data.draw(st.integers(0, target - 1))
    stop = data.draw(st.integers(start + 1, target))
    whole_part, whole = axis_weights(source, target, 0, target)
    part, weights = axis_weights(source, target, start, stop)
    spread = np.zeros((stop - start, source), np.float32)
    spread[:, part] = weights.toarray()
    full = np.zeros((target, source), np.float32)
    full[:, whole_part] = whole.toarray()
    np.testing.assert_array_equal(spread, full[start:stop])


@given(source=sides, target=sides)
def test_a_slope_stays_a_slope(source, target):
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    part, weights = axis_weights(source, target, 0, target)
    found = weights @ np.arange(part.start, part.stop, dtype=np.float32)
    # an area that ends inside a pixel takes the pixel's value for the part it covers
    tolerance = 0.3 if source > target else 1e-3
    np.testing.assert_allclose(found, np.clip(centres, 0, source - 1), atol=tolerance)


@given(source=st.tuples(sides, sides), target=st.tuples(sides, sides), size=st.integers(7, 25))
def test_blocks_fit_without_seams(source, target, size):
    planes = np.random.default_rng(0).normal(size=(2, *source)).astype(np.float32)
    whole = resample(planes, target)
    assert whole.shape == (2, *target)
    assert whole.dtype == np.float32
    for top in range(0, target[0], size):
        for left in range(0, target[1], size):
            rows, cols = slice(top, min(top + size, target[0])), slice(left, min(left + size, target[1]))
            np.testing.assert_array_equal(resample(planes, target, rows, cols), whole[:, rows, cols])


def test_reducing_by_a_whole_factor_is_the_mean():
    planes = np.random.default_rng(0).normal(size=(1, 12, 20)).astype(np.float32)
    expected = planes.reshape(1, 4, 3, 5, 4).mean((2, 4))
    np.testing.assert_allclose(resample(planes, (4, 5)), expected, atol=1e-6)


@given(source=st.tuples(sides, sides), target=st.tuples(sides, sides), value=st.floats(-1e3, 1e3, width=32))
def test_a_constant_stays(source, target, value):
    planes = np.full((1, *source), value, np.float32)
    np.testing.assert_allclose(resample(planes, target), value, rtol=1e-5, atol=1e-6)


def test_there_and_back_keeps_what_is_coarse():
    row, col = np.mgrid[:60, :80]
    plane = np.sin(row / 15)[None] * np.cos(col / 20)[None]
    back = resample(resample(plane.astype(np.float32), (30, 40)), (60, 80))
    np.testing.assert_allclose(back, plane, atol=0.04)


def test_the_same_size_is_read_as_it_is():
    planes = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    np.testing.assert_array_equal(resample(planes, (3, 4), slice(1, 3), slice(2, 4)), planes[:, 1:, 2:])


def test_only_what_is_needed_is_read():
    asked = []

    def read(rows, cols):
        asked.append((rows, cols))
        return np.zeros((1, rows.stop - rows.start, cols.stop - cols.start), np.float32)

    read_resampled(read, (1000, 1000), (100, 2000), slice(50, 60), slice(10, 12))
    assert asked == [(slice(500, 601), slice(4, 7))]  # at most a row too many
