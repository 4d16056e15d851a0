import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_cellseg.train.threshold import BINS, best_threshold, probability_counts


def dice_at(threshold, ours, other):
    bins = np.arange(len(ours)) / len(ours) >= threshold
    hits = ours[bins].sum()
    return 2 * hits / (ours.sum() + hits + other[bins].sum())


def test_without_the_class_there_is_none():
    assert best_threshold(np.zeros(4, int), np.ones(4, int)) is None


def test_nothing_but_the_class():
    assert best_threshold(np.ones(4, int), np.zeros(4, int)) == pytest.approx(0.01)


@given(*(arrays(np.int64, 20, elements=st.integers(0, 50)) for _ in range(2)))
def test_no_other_threshold_is_much_better(ours, other):
    threshold = best_threshold(ours, other)
    if threshold is None:
        return
    assert dice_at(threshold, ours, other) >= max(dice_at(k / 20, ours, other) for k in range(20)) - 0.05


def test_histograms():
    counts = probability_counts(np.array([0.0, 0.5, 1.0], np.float32), np.array([False, True, True]))
    assert [int(part.sum()) for part in counts] == [2, 1]
    assert counts[0][BINS - 1] == counts[0][BINS // 2] == counts[1][0] == 1
