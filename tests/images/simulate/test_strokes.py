"""Brush strokes and the annotation of a person in a hurry."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph, sparse_annotation
from napari_cellseg.images.simulate.strokes import paint_stroke


def test_nothing_and_a_dot() -> None:
    plane = np.zeros((5, 7), np.uint8)
    paint_stroke(plane, np.empty((0, 2)), 2)
    assert not plane.any()
    paint_stroke(plane, np.array([[2.0, 3.0]]), 1)
    np.testing.assert_array_equal(np.argwhere(plane), [[1, 3], [2, 2], [2, 3], [2, 4], [3, 3]])


def test_outside_the_plane() -> None:
    plane = np.zeros((5, 7), np.uint8)
    paint_stroke(plane, np.array([[-30.0, 3.0], [-9.0, 3.0]]), 2)
    assert not plane.any()
    paint_stroke(plane, np.array([[-1.0, -50.0], [-1.0, 50.0]]), 1.5)
    np.testing.assert_array_equal(plane, [[1] * 7] + [[0] * 7] * 4)


@given(st.lists(st.tuples(st.floats(-5, 20), st.floats(-5, 30)), min_size=2, max_size=4), st.floats(0.3, 6))
def test_exactly_the_pixels_within_reach(corners: list[tuple[float, float]], radius: float) -> None:
    path, plane = np.array(corners), np.zeros((15, 25), np.uint8)
    paint_stroke(plane, path, radius)
    share = np.linspace(0, 1, 400)[:, None]
    samples = np.concatenate([a + share * (b - a) for a, b in pairwise(path)])
    grid = np.stack(np.mgrid[:15, :25], axis=-1).reshape(-1, 1, 2)
    distance = np.sqrt(((grid - samples) ** 2).sum(axis=2)).min(axis=1).reshape(15, 25)
    assert plane[distance < radius - 0.05].all()
    assert not plane[distance > radius + 0.05].any()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), share=st.sampled_from([0.0, 0.3, 1.0]))
def test_strokes_are_true_and_of_both_classes(seed: int, share: float) -> None:
    simulated = simulate_micrograph(
        seed, settings=SimulateSettings(shape=(100, 140), pixel_nm=1.0, filaments=(1, 3))
    )
    labels = sparse_annotation(simulated, seed, share=share)
    drawn = labels > 0
    assert labels.dtype == np.uint8
    assert (labels[drawn] == simulated.mask[drawn]).all()
    for label in (1, 2):
        assert (labels == label).any() == (simulated.mask == label).any()


def test_a_larger_share_draws_more() -> None:
    simulated = simulate_micrograph(
        1, settings=SimulateSettings(shape=(200, 260), pixel_nm=1.5, filaments=(4, 4))
    )
    few, many = ((sparse_annotation(simulated, share=share) == 2).sum() for share in (0.2, 0.8))
    assert 0 < few < many <= (simulated.mask == 2).sum()
    assert np.array_equal(sparse_annotation(simulated, 3), sparse_annotation(simulated, 3))
    assert not np.array_equal(sparse_annotation(simulated, 3), sparse_annotation(simulated, 4))


@pytest.mark.parametrize("value", [2, 1])
def test_the_value_is_painted(value: int) -> None:
    plane = np.full((4, 6), 9, np.uint16)
    paint_stroke(plane, np.array([[1.0, 1.0]]), 0.4, value)
    assert plane[1, 1] == value
    assert (plane == 9).sum() == 23
