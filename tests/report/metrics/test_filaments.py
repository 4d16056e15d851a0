"""Whole filaments against true ones, by hand-made cases."""

import numpy as np
import pytest

from napari_cellseg.images.filament import Filament
from napari_cellseg.report.metrics.filaments import filament_scores

LINE, OTHER = Filament([[10, 0], [10, 100]]), Filament([[0, 50], [100, 50]])


def test_nothing_and_nothing():
    scores = filament_scores([], [], tolerance_px=2)
    assert scores.whole_share is scores.fragments_per_filament is scores.median_error_px is None


def test_nothing_found():
    scores = filament_scores([], [LINE], tolerance_px=2)
    assert (scores.filaments, scores.whole, scores.seen) == (1, 0, 0)
    assert scores.coverage.tolist() == [0]


def test_nothing_true():
    scores = filament_scores([LINE], [], tolerance_px=2)
    assert (scores.traced, scores.spurious) == (1, 1)


def test_found_backwards_and_a_little_off():
    scores = filament_scores([Filament(LINE.path[::-1] + np.array([1, 0]))], [LINE], tolerance_px=2)
    assert scores.whole_share == scores.fragments_per_filament == 1
    assert scores.median_error_px == 1


def test_exactly_at_the_tolerance_counts():
    assert filament_scores([Filament(LINE.path + np.array([2, 0]))], [LINE], tolerance_px=2).whole == 1
    assert filament_scores([Filament(LINE.path + np.array([2.1, 0]))], [LINE], tolerance_px=2).spurious == 1


@pytest.mark.parametrize(("share", "whole"), [(0.79, 0), (0.82, 1)])
def test_whole_from_80_percent_on(share, whole):
    part = Filament([[10, 0], [10, 100 * share]])
    assert filament_scores([part], [LINE], tolerance_px=0.5).whole == whole


def test_one_path_is_matched_once():
    """A path along two filaments, one after the other, finds only one of them."""
    second = Filament([[10, 104], [10, 180]])
    scores = filament_scores([Filament([[10, 0], [10, 180]])], [LINE, second], tolerance_px=2)
    assert scores.whole == 1


def test_a_swap_at_a_crossing_finds_neither():
    one = Filament([[10, 0], [10, 45], [15, 50], [100, 50]])
    two = Filament([[0, 50], [5, 50], [10, 55], [10, 100]])
    scores = filament_scores([one, two], [LINE, OTHER], tolerance_px=2)
    assert scores.whole < 2


def test_duplicates_are_fragments():
    scores = filament_scores(
        [LINE, Filament(LINE.path + np.array([1, 0])), OTHER], [LINE, OTHER], tolerance_px=2
    )
    assert (scores.whole, scores.pieces, scores.seen) == (2, 3, 2)
    assert scores.fragments_per_filament == 1.5


def test_no_filaments_far_apart_are_compared():
    far = Filament(LINE.path + np.array([5000, 0]))
    scores = filament_scores([far], [LINE], tolerance_px=2)
    assert (scores.seen, scores.spurious) == (0, 1)
