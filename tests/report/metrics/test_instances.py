import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.metrics.instances import INSTANCE_FIGURES, IOUS, instance_scores, pool_instances

EMPTY = np.zeros((4, 12), np.uint16)


def strip(*cells: tuple[int, int]) -> np.ndarray:
    """Return one row of 40 px with a cell at each (start, stop)."""
    row = np.zeros((1, 40), np.int32)
    for number, (start, stop) in enumerate(cells, start=1):
        row[0, start:stop] = number
    return row


def test_no_cells_in_either():
    scores = instance_scores(EMPTY, EMPTY)
    assert all(scores[key] is None for key in INSTANCE_FIGURES)
    assert scores["true_cells"] == scores["predicted_cells"] == 0
    pooled = pool_instances([scores] * 7)
    assert pooled["ap50"] is pooled["image_ap"] is pooled["count_error"] is None
    assert pooled["intervals"]["ap50"] is None


def test_cells_in_one_only():
    there = EMPTY + np.uint16(7)
    missed = instance_scores(EMPTY, there)
    assert missed["ap50"] == missed["ap"] == missed["recall"] == missed["panoptic_quality"] == 0
    assert missed["precision"] is None
    assert missed["count_error"] == 1
    invented = instance_scores(there, EMPTY)
    assert invented["ap50"] == invented["precision"] == 0
    assert invented["recall"] is invented["count_error"] is None


def test_no_pixels():
    assert instance_scores(np.zeros((0, 3), int), np.zeros((0, 3), int))["ap"] is None


def test_by_hand():
    truth = strip((0, 10), (12, 22), (30, 34))
    predicted = strip((1, 11), (12, 20), (24, 28))  # IoU 9/11 = .818, 8/10 = .8, nothing
    scores = instance_scores(predicted, truth)
    assert scores["ap50"] == scores["ap75"] == 2 / 4
    # both fit up to .75, the first one up to .8
    assert scores["ap"] == pytest.approx((6 * 2 / 4 + 1 / 5) / 10)
    assert scores["panoptic_quality"] == pytest.approx((9 / 11 + 8 / 10) / (2 + 0.5 + 0.5))
    assert scores["precision"] == scores["recall"] == scores["f1"] == pytest.approx(2 / 3)
    assert scores["count_error"] == 0


def test_half_of_a_cell_is_no_match():
    scores = instance_scores(strip((0, 5), (5, 10)), strip((0, 10)))
    assert scores["ap50"] == 0
    assert scores["count_error"] == 1


def test_merged_and_split_cells():
    merged = instance_scores(strip((0, 20)), strip((0, 12), (12, 20)))
    assert merged["ap50"] == 1 / 2  # 12 / 20 with the larger one
    assert merged["ap75"] == 0
    assert merged["count_error"] == 1 / 2


def test_pooled_figures_are_of_all_cells_and_of_the_images():
    full = instance_scores(strip((0, 4), (6, 10), (12, 16)), strip((0, 4), (6, 10), (12, 16)))
    missed = instance_scores(strip(), strip((0, 4)))
    nothing = instance_scores(strip(), strip())
    pooled = pool_instances([full, missed, nothing])
    assert pooled["ap50"] == 3 / 4
    assert pooled["image_ap50"] == 1 / 2  # of the images with cells
    assert pooled["count_error"] == 1 / 4
    assert pooled["true_cells"] == 4
    assert pooled["interval"]["method"] == "jackknife"


def test_intervals_over_images():
    scores = [instance_scores(strip((0, stop)), strip((0, 10))) for stop in (4, 8, 9, 10, 10, 10, 9, 3)]
    pooled = pool_instances(scores)
    low, high = pooled["intervals"]["ap50"]
    assert pooled["interval"]["method"] == "bootstrap"
    assert 0 <= low < pooled["ap50"] < high <= 1
    assert pooled["intervals"] == pool_instances(scores)["intervals"]


def test_planes_of_different_size_and_broken_numbers():
    with pytest.raises(CellsegError, match="like the truth"):
        instance_scores(EMPTY, EMPTY[1:])
    with pytest.raises(CellsegError, match="numbers of cells"):
        instance_scores(EMPTY - 0.5, EMPTY)


def test_no_image():
    with pytest.raises(CellsegError, match="no image"):
        pool_instances([])


@given(
    arrays(np.uint8, (6, 8), elements=st.integers(0, 4)), arrays(np.uint8, (6, 8), elements=st.integers(0, 4))
)
def test_the_slow_way_gives_the_same(predicted, truth):
    scores = instance_scores(predicted, truth)
    ours, true = np.unique(predicted[predicted > 0]), np.unique(truth[truth > 0])
    for threshold, key in ((IOUS[0], "ap50"), (IOUS[5], "ap75")):
        hits = 0
        for cell in true:
            for one in ours:
                either = ((truth == cell) | (predicted == one)).sum()
                hits += ((truth == cell) & (predicted == one)).sum() / either > threshold
        whole = len(ours) + len(true) - hits
        assert scores[key] == (hits / whole if whole else None)
