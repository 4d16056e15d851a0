import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_cellseg.predict.postprocess import (
    STEPS,
    fill_holes,
    hysteresis_labels,
    remove_small,
    smooth,
    threshold_labels,
)

planes = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4))


def drawn(*rows: str) -> np.ndarray:
    """Labels as a picture: . = background, # = 2, o = 3, blank = not annotated."""
    return np.array([[" .#o".index(pixel) for pixel in row] for row in rows], np.uint8)


def two(probability) -> np.ndarray:
    plane = np.atleast_2d(np.asarray(probability, np.float32))
    return np.stack([1 - plane, plane])


@pytest.mark.parametrize("step", [step for step in STEPS.values() if not step.from_probabilities])
@given(labels=planes)
def test_no_step_touches_what_is_not_annotated_or_changes_its_input(step, labels):
    before = labels.copy()
    out = step.apply(labels, step.settings(), 1.0)
    np.testing.assert_array_equal(labels, before)
    assert out.dtype == labels.dtype
    np.testing.assert_array_equal(out == 0, labels == 0)
    assert set(np.unique(out)) <= set(np.unique(labels)) | {1}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1)])
def test_every_step_takes_narrow_planes(name, shape):
    step = STEPS[name]
    plane = np.ones((3, *shape), np.uint8) if step.from_probabilities else np.ones(shape, np.uint8)
    out = step.apply(plane, step.settings(), None)
    np.testing.assert_array_equal(out, np.ones(shape))
    assert out.dtype == np.uint8


@pytest.mark.parametrize("scale", [1, 255])
def test_threshold(scale):
    probabilities = two([0.2, 0.4, 0.7])
    if scale == 255:
        probabilities = np.rint(probabilities * 255).astype(np.uint8)
    assert threshold_labels(probabilities, value=0.3).tolist() == [[1, 2, 2]]
    assert threshold_labels(probabilities, value=0.6).tolist() == [[1, 1, 2]]


def test_threshold_of_several_classes_takes_the_likeliest():
    probabilities = np.array([[[0.4, 0.8, 0.2]], [[0.35, 0.1, 0.3]], [[0.25, 0.1, 0.5]]])
    assert threshold_labels(probabilities, value=0.3).tolist() == [[2, 1, 3]]


def test_hysteresis_keeps_faint_parts_of_what_is_sure():
    row = [0.4, 0.4, 0.9, 0.1, 0.4, 0.4]
    assert hysteresis_labels(two(row), low=0.3, high=0.6).tolist() == [[2, 2, 2, 1, 1, 1]]


def test_hysteresis_follows_slanted_lines_and_minds_classes():
    sure, faint = 0.9, 0.4
    slanted = two([[sure, 0, 0], [0, faint, 0], [0, 0, faint]])
    np.testing.assert_array_equal(np.diag(hysteresis_labels(slanted)), [2, 2, 2])
    a, b = [[0.9, 0.1, 0.0]], [[0.0, 0.4, 0.4]]  # faint b beside sure a: no sure place of its own
    probabilities = np.array([[[0.1, 0.5, 0.6]], a, b])
    assert hysteresis_labels(probabilities).tolist() == [[2, 1, 1]]


@given(
    plane=arrays(np.uint8, (9, 11), elements=st.integers(0, 255)),
    low=st.floats(0.05, 0.5),
    high=st.floats(0.5, 0.95),
)
def test_hysteresis_lies_between_its_thresholds(plane, low, high):
    probabilities = np.stack([255 - plane, plane])
    found = hysteresis_labels(probabilities, low=low, high=high) == 2
    assert not (found & (threshold_labels(probabilities, value=low) == 1)).any()
    assert not (~found & (threshold_labels(probabilities, value=high) == 2)).any()


def test_small_objects_go_by_class_and_corners_hold_together():
    labels = drawn("#....", ".#..o", "..#.o", ".....")
    np.testing.assert_array_equal(remove_small(labels, area_px=3), drawn("#....", ".#...", "..#..", "....."))
    assert (remove_small(labels, area_px=4) == 1).all()


@given(labels=planes, area=st.integers(1, 30))
def test_removing_twice_is_removing_once(labels, area):
    once = remove_small(labels, area_px=area)
    np.testing.assert_array_equal(remove_small(once, area_px=area), once)


def test_holes_are_filled_up_to_an_area_and_not_at_the_edge():
    labels = drawn("#####.", "#.##..", "####..", "#..###", "#..#.#", "######")
    filled = fill_holes(labels, area_px=2)
    assert filled[1, 1] == filled[4, 4] == 2
    assert (filled[3:5, 1:3] == 1).all()
    assert (fill_holes(labels, area_px=5)[3:5, 1:3] == 2).all()
    assert (fill_holes(labels, area_px=100)[:3, 5] == 1).all()


def test_a_nucleus_in_a_cell_stays():
    labels = drawn("#####", "#.o.#", "#####")
    np.testing.assert_array_equal(fill_holes(labels, area_px=9), drawn("#####", "##o##", "#####"))


def test_smoothing_takes_specks_and_notches_and_keeps_the_rest():
    labels = np.ones((40, 40), np.uint8)
    labels[10:30, 10:30] = 2
    rough = labels.copy()
    rough[10, 20] = rough[20, 10] = 1
    rough[5, 5] = 2
    out = smooth(rough, sigma_px=1.5)
    assert np.count_nonzero(out != labels) <= 4 * 3  # its corners are rounded
    assert out[5, 5] == 1
    assert out[10, 20] == 2


@pytest.mark.parametrize(("width", "stays"), [(3, True), (1, False)])
def test_lines_narrower_than_stated_vanish(width, stays):
    labels = np.ones((30, 30), np.uint8)
    labels[:, 10 : 10 + width] = 2
    assert (smooth(labels, sigma_px=1.5)[5:-5, 10] == 2).any() == stays
