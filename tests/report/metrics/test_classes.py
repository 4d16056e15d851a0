import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.metrics.classes import class_scores, compare_classes

NAMES = ("a", "b", "c")


def drawn(seed, cells=60, right=0.8):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, cells)
    label = np.where(rng.uniform(size=cells) < right, truth, rng.integers(0, 3, cells))
    shares = np.full((cells, 3), 0.1)
    shares[np.arange(cells), label] = 0.8
    return truth, shares


def test_no_cell_is_an_error():
    with pytest.raises(CellsegError, match="no cell was scored"):
        class_scores(np.zeros(0, int), np.zeros((0, 3)), NAMES)


@given(st.integers(0, 1000), st.integers(3, 80))
def test_figures_are_those_of_scikit_learn(seed, cells):
    truth, shares = drawn(seed, cells)
    scores = class_scores(truth, shares, NAMES, draws=0)
    label = shares.argmax(1)
    there = np.unique(truth)
    assert scores["confusion"] == confusion_matrix(truth, label, labels=range(3)).tolist()
    assert scores["accuracy"] == pytest.approx((truth == label).mean())
    expected = f1_score(truth, label, labels=there, average="macro", zero_division=0)
    assert scores["macro_f1"] == pytest.approx(expected)
    recalls = [(label[truth == name] == name).mean() for name in there]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    if len(there) == 3:
        assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, label))


def test_calibration_and_coverage():
    truth = np.array([0] * 8 + [1] * 2)
    scores = class_scores(truth, np.tile([[0.8, 0.2]], (10, 1)), ("a", "b"), draws=0)
    assert scores["calibration_error"] == pytest.approx(0)
    assert scores["reliability"] == {
        "confidence": [pytest.approx(0.8)],
        "accuracy": [0.8],
        "cells": [10],
    }
    shares = np.array([[0.9, 0.1], [0.6, 0.4]])
    curve = class_scores(np.array([0, 1]), shares, ("a", "b"), draws=0)["coverage"]
    assert curve == {"share": [0.5, 1.0], "accuracy": [1.0, 0.5], "threshold": [0.9, 0.6]}


def test_intervals_hold_the_figure_and_narrow_with_more_cells():
    widths = []
    for cells in (50, 800):
        truth, shares = drawn(1, cells)
        scores = class_scores(truth, shares, NAMES, draws=500)
        low, high = scores["intervals"]["accuracy"]
        assert low <= scores["accuracy"] <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert scores["interval"]["over"] == "cells"


def test_intervals_are_over_samples_where_there_are_enough():
    truth, shares = drawn(2, 600)
    days = [f"day {number // 50}" for number in range(600)]
    scores = class_scores(truth, shares, NAMES, samples=days, draws=200)
    assert scores["interval"] == {"level": 0.95, "over": "samples", "units": 12, "draws": 200}


def test_a_class_that_is_not_there_has_no_figures():
    scores = class_scores(np.array([0, 1]), np.eye(3)[[0, 1]], NAMES, draws=10)
    assert scores["classes"]["c"]["f1"] is None
    assert scores["macro_f1"] == 1.0


def test_two_systems():
    truth, shares = drawn(3, 300, right=0.95)
    _, worse = drawn(3, 300, right=0.4)
    assert compare_classes(truth, shares, worse, draws=200)["better"] == "first"
    assert compare_classes(truth, worse, shares, draws=200)["better"] == "second"
    same = compare_classes(truth, shares, shares, draws=200)
    assert same == {"difference": 0.0, "interval": [0.0, 0.0], "better": None}
