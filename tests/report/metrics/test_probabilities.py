import time
from functools import partial

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes, plane_blocks
from napari_cellseg.report.metrics import probabilities as module
from napari_cellseg.report.metrics.figures import json_number
from napari_cellseg.report.metrics.probabilities import probability_counts, probability_figures

CELL = Classes.of("cell")
TWO = Classes.of("filament", "carbon")


def figures(probabilities, truth, classes=CELL) -> dict[str, float | None]:
    counts = probability_counts(np.asarray(probabilities), np.asarray(truth), classes)
    values = probability_figures({place: table[np.newaxis] for place, table in counts.items()})
    return {" ".join(place): json_number(value[0]) for place, value in values.items()}


@pytest.mark.parametrize("truth", [np.zeros((2, 3), np.uint8), np.zeros((0, 3), np.uint8)])
def test_nothing_annotated(truth):
    assert set(figures(np.zeros((2, *truth.shape), np.uint8), truth).values()) == {None}


def test_one_class_only_cannot_be_ranked():
    found = figures(np.array([[[200, 90]], [[55, 165]]], np.uint8), [[1, 1]])
    assert found["classes background auroc"] is found["classes cell auroc"] is None
    assert found["classes cell average_precision"] is None
    assert found["classes background average_precision"] == 1
    assert found["calibration_error"] is not None


def test_ranking_by_hand():
    """Of 2 x 2 pairs one is in the wrong order and one a tie."""
    own, other = np.array([[40, 80]], np.uint8), np.array([[80, 20]], np.uint8)
    cell = np.concatenate([own, other], axis=1)
    found = figures(np.stack([255 - cell, cell]), [[2, 2, 1, 1]])
    assert found["classes cell auroc"] == 2.5 / 4
    # from 80 on 1 of 2 is right and half of the recall won, from 40 on 2 of 3 are
    assert found["classes cell average_precision"] == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)


def test_calibration_by_hand():
    """Two pixels sure to 0.8, one of them right; one pixel sure to 0.6 and right."""
    cell = np.array([[0.8, 0.8, 0.4]])
    found = figures(np.stack([1 - cell, cell]), [[2, 1, 1]])
    assert found["calibration_error"] == pytest.approx((2 * abs(0.5 - 0.8) + abs(1 - 0.6)) / 3)


@pytest.mark.parametrize(
    ("level", "bin_"), [(0, 0), (1, 0), (17, 0), (18, 1), (238, 13), (239, 14), (255, 14)]
)
def test_bins_hold_17_levels_each(level, bin_):
    counts = probability_counts(np.full((2, 1, 1), level, np.uint8), np.array([[1]]), CELL)
    assert np.flatnonzero(counts["calibration",][0]).tolist() == [bin_]


@given(arrays(np.uint8, (3, 6, 7)), arrays(np.uint8, (6, 7), elements=st.integers(0, 3)))
def test_agrees_with_scikit_learn(probabilities, truth):
    found = figures(probabilities, truth, TWO)
    annotated = truth != 0
    for index, name in enumerate(TWO.names[1:], 1):
        own, levels = truth[annotated] == index, probabilities[index - 1][annotated]
        auroc, average = found[f"classes {name} auroc"], found[f"classes {name} average_precision"]
        if own.any() and not own.all():
            assert auroc == pytest.approx(roc_auc_score(own, levels))
        else:
            assert auroc is None
        if own.any():
            assert average == pytest.approx(average_precision_score(own, levels))
        else:
            assert average is None


@given(arrays(np.uint8, (2, 5, 6)), arrays(np.uint8, (5, 6), elements=st.integers(0, 2)), st.data())
def test_ignored_pixels_do_not_matter(probabilities, truth, data):
    before = figures(probabilities, truth)
    others = data.draw(arrays(np.uint8, probabilities.shape))
    assert figures(np.where(truth, probabilities, others), truth) == before


@given(arrays(np.uint8, (2, 5, 7)), st.integers(1, 8))
def test_block_size_and_kind_of_array_do_not_matter(probabilities, size):
    truth = np.arange(35).reshape(5, 7) % 3
    whole = probability_counts(probabilities, truth, CELL)
    lazy = da.from_array(probabilities, chunks=(1, 4, 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "plane_blocks", partial(plane_blocks, size=size))
        cut = probability_counts(lazy, truth, CELL)
    assert all((cut[place] == table).all() for place, table in whole.items())


@given(arrays(np.uint8, (2, 4, 5)))
def test_floats_are_rounded_to_the_levels_on_the_disk(levels):
    truth = np.arange(20).reshape(4, 5) % 3
    as_float = probability_counts(levels / np.float32(255), truth, CELL)
    assert all(
        (as_float[place] == table).all() for place, table in probability_counts(levels, truth, CELL).items()
    )


def test_what_does_not_fit():
    truth = np.ones((2, 3), np.uint8)
    with pytest.raises(CellsegError, match=r"shape \(3, 2, 3\); expected \(2, 2, 3\)"):
        probability_counts(np.zeros((3, 2, 3)), truth, CELL)
    with pytest.raises(CellsegError, match="type int64"):
        probability_counts(np.zeros((2, 2, 3), np.int64), truth, CELL)
    with pytest.raises(CellsegError, match="from 0 to 2; expected 0 to 1"):
        probability_counts(np.eye(6, dtype=np.float32)[:2].reshape(2, 2, 3) * 2, truth, CELL)
    with pytest.raises(CellsegError, match="nan"):
        probability_counts(np.full((2, 2, 3), np.nan), truth, CELL)


def test_a_micrograph_takes_little_time_and_memory():
    truth = np.tile(np.array([[0, 1, 2]], np.uint8), (3838, 1237))[:, :3710]
    probabilities = np.stack([truth * 100, 255 - truth * 100])
    start = time.process_time()
    probability_counts(probabilities, truth, CELL)
    assert time.process_time() - start < 3
