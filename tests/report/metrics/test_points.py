"""Points found against true ones."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.report.metrics.points import PointScores, point_scores, spacings


def test_nothing_against_nothing():
    scores = point_scores([], [], tolerance_px=4)
    assert (scores, scores.precision, scores.recall, scores.f1) == (PointScores(0, 0, 0), None, None, None)


def test_nothing_found_and_nothing_there():
    assert point_scores([], [[1, 1]], tolerance_px=4).f1 == 0
    assert point_scores([[1, 1]], [], tolerance_px=4).f1 == 0


def test_one_point_matches_one():
    scores = point_scores([[0, 0]], [[0, 1], [1, 0]], tolerance_px=4)
    assert scores == PointScores(1, 2, 1)


def test_pairs_are_chosen_so_that_most_match():
    # the nearest of the first is the only one of the second
    scores = point_scores([[0, 0], [0, 3]], [[0, 1], [0, -3]], tolerance_px=3)
    assert scores == PointScores(2, 2, 2)


def test_the_tolerance_counts():
    assert point_scores([[0, 0]], [[3, 4]], tolerance_px=5).matched == 1
    assert point_scores([[0, 0]], [[3, 4]], tolerance_px=4.99).matched == 0


@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 12))
def test_both_sides_are_alike(seed, many, few):
    rng = np.random.default_rng(seed)
    here, there = rng.uniform(0, 20, (many, 2)), rng.uniform(0, 20, (few, 2))
    one, other = (point_scores(a, b, tolerance_px=5) for a, b in ((here, there), (there, here)))
    assert one.matched == other.matched <= min(many, few)
    assert point_scores(here, here, tolerance_px=5).matched == many


def test_spacings_are_from_site_to_site():
    assert spacings([], [], 38.5).tolist() == []
    assert spacings([0, 0], [1.0, 40.0], 38.5).tolist() == []
    assert spacings([2, 1, 2, 2, 2], [0.0, 5.0, 40.0, 2.0, 41.0], 38.5).tolist() == [39.5]
