import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.morphology import thin

from napari_cellseg.report.metrics.figures import json_number
from napari_cellseg.report.metrics.thin import thin_figures, thin_lengths

SHAPE = (40, 120)
TUBE = np.zeros(SHAPE, bool)
TUBE[18:23, 10:110] = True  # 5 px wide, 100 px long, its middle in row 20
AXIS = np.array([[20.0, 10.0], [20.0, 109.0]])


def figures(predicted, true, annotated=None, **settings) -> dict[str, float | None]:
    annotated = np.ones(true.shape, bool) if annotated is None else annotated
    lengths, _ = thin_lengths(predicted, true, annotated, **settings)
    values = thin_figures({key: np.array([value]) for key, value in lengths.items()})
    return {key: json_number(value[0]) for key, value in values.items()}


def without(columns: slice) -> np.ndarray:
    broken = TUBE.copy()
    broken[:, columns] = False
    return broken


NOTHING = np.zeros_like(TUBE)


def test_nothing_of_the_class_anywhere():
    assert set(figures(NOTHING, NOTHING).values()) == {None}
    assert thin_lengths(NOTHING, NOTHING, ~NOTHING)[1] is None


def test_all_missed():
    assert figures(NOTHING, TUBE) == {
        "cl_dice": 0, "centreline_precision": None, "centreline_recall": 0, "centreline_f1": 0,
        "gap_rate": 1, "fragments_per_filament": None,
    }  # fmt: skip


def test_only_made_up():
    assert figures(TUBE, NOTHING) == {
        "cl_dice": 0, "centreline_precision": 0, "centreline_recall": None, "centreline_f1": 0,
        "gap_rate": None, "fragments_per_filament": None,
    }  # fmt: skip


@pytest.mark.parametrize("paths", [None, [AXIS]])
def test_perfect(paths):
    assert figures(TUBE, TUBE, filaments=paths) == {
        "cl_dice": 1, "centreline_precision": 1, "centreline_recall": 1, "centreline_f1": 1,
        "gap_rate": 0, "fragments_per_filament": 1,
    }  # fmt: skip


def test_a_gap_by_hand():
    """20 of 100 px missing, 2 px of tolerance at either side: columns 52 to 67, 16 of the path's 99 px."""
    found = figures(without(slice(50, 70)), TUBE, tolerance_px=2, filaments=[AXIS])
    assert found["gap_rate"] == pytest.approx(16 / 99)
    assert found["fragments_per_filament"] == 2
    assert found["centreline_precision"] == 1
    # the skeleton of a tube ends about half its width before the tube does
    assert found["centreline_recall"] == pytest.approx(1 - (16 + 4) / 99, abs=0.05)


def test_a_gap_within_the_tolerance_is_none():
    found = figures(without(slice(50, 54)), TUBE, tolerance_px=3)
    assert (found["gap_rate"], found["fragments_per_filament"]) == (0, 1)


def test_fragments_are_of_the_filaments_that_were_found():
    """One in three pieces, one whole, one missed but for where another crosses it."""
    true = TUBE.copy()
    true[4:9, 10:110] = True
    true[:, 58:63] = True
    paths = [AXIS, AXIS - [14, 0], np.array([[0.0, 60.0], [39.0, 60.0]])]
    predicted = true.copy()
    predicted[[*range(4), *range(9, 18), *range(23, 40)]] = False
    predicted[18:23, 30:40] = predicted[18:23, 80:90] = False
    lengths, _ = thin_lengths(predicted, true, np.ones_like(true), tolerance_px=1, filaments=paths)
    assert (lengths["filaments"], lengths["filaments_found"], lengths["fragments"]) == (3, 2, 4)


def test_off_by_less_and_by_more_than_the_tolerance():
    moved = np.roll(TUBE, 4, axis=0)
    assert figures(moved, TUBE, tolerance_px=4)["centreline_f1"] == 1
    assert figures(moved, TUBE, tolerance_px=3.5)["centreline_f1"] == 0
    assert figures(moved, TUBE, tolerance_px=3.5)["gap_rate"] == 0  # the mask is near enough
    assert figures(moved, TUBE)["cl_dice"] == 0


def test_made_up_beside_lowers_precision_only():
    more = TUBE.copy()
    more[30:35, 10:60] = True
    found = figures(more, TUBE)
    assert found["centreline_precision"] == pytest.approx(2 / 3, abs=0.02)
    assert (found["centreline_recall"], found["gap_rate"]) == (1, 0)


@pytest.mark.parametrize(("width", "half"), [(1, 1), (5, 2.5), (9, 4.5)])
def test_tolerance_is_half_the_width(width, half):
    tube = np.zeros(SHAPE, bool)
    tube[20 : 20 + width, 10:110] = True
    assert thin_lengths(tube, tube, ~NOTHING)[1] == half
    assert thin_lengths(NOTHING, tube, ~NOTHING)[1] == half  # whatever is predicted
    assert thin_lengths(tube, tube, ~NOTHING, tolerance_px=7.5)[1] == 7.5


def test_cl_dice_is_that_of_the_paper():
    """Shit et al. 2021: precision and sensitivity of the two skeletons in the other mask."""
    rng = np.random.default_rng(0)
    true, predicted = TUBE.copy(), np.roll(without(slice(40, 60)), 2, axis=0)
    predicted ^= rng.random(SHAPE) < 0.02
    inside = (thin(predicted) & true).sum() / thin(predicted).sum()
    covered = (thin(true) & predicted).sum() / thin(true).sum()
    assert figures(predicted, true)["cl_dice"] == pytest.approx(2 * inside * covered / (inside + covered))


planes = arrays(np.bool_, (14, 16))


@given(planes, planes, planes, planes)
def test_ignored_pixels_do_not_matter(predicted, true, annotated, others):
    paths = [np.array([[0.0, 0.0], [13.0, 15.0]])]
    for filaments in (None, paths):
        before = figures(predicted, true, annotated, filaments=filaments, tolerance_px=1)
        changed = np.where(annotated, predicted, others), np.where(annotated, true, others)
        assert figures(*changed, annotated, filaments=filaments, tolerance_px=1) == before


@given(planes, planes, st.sampled_from([None, 0.0, 2.5]))
def test_figures_lie_within_their_bounds_and_agree(predicted, true, tolerance_px):
    found = figures(predicted, true, tolerance_px=tolerance_px)
    fragments = found.pop("fragments_per_filament")
    assert fragments is None or fragments >= 1
    assert all(value is None or 0 <= value <= 1 for value in found.values())
    if found["gap_rate"] is not None:  # whatever is near the centreline is near the mask
        assert found["gap_rate"] <= 1 - found["centreline_recall"] + 1e-12


def test_a_micrograph_takes_a_few_seconds():
    rows, cols = np.mgrid[:3838, :3710]
    true = (rows + cols // 3) % 600 < 70
    predicted = true & (np.random.default_rng(0).random(true.shape) < 0.97)
    start = time.process_time()
    thin_lengths(predicted, true, np.ones_like(true))
    assert time.process_time() - start < 8
