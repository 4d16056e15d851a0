"""Figures that say how well single cells are named, with intervals, and how two systems differ.

Every figure is made of counts of (truth, label) and of how often confidences came true, so cells,
or whole samples where there are enough, are drawn anew with replacement and the counts added up
(Efron's bootstrap), as for images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.metrics.figures import json_number, nested, ratio

BINS = 15
LEVEL = 0.95
FEWEST_SAMPLES = 10
"""From so many samples on they are drawn, not cells: cells of a sample resemble each other."""
DRAWS = 2000
FIGURES = {
    "accuracy": "share of the cells with the right class",
    "balanced_accuracy": "mean recall of the classes in the truth",
    "macro_f1": "mean F1 of the classes in the truth",
    "calibration_error": "mean distance between confidence and accuracy, in 15 bins of confidence",
    "precision": "share of the cells given the class that are of it",
    "recall": "share of the class's cells that were given it",
    "f1": "harmonic mean of precision and recall",
}
HIGHER_IS_BETTER = {"calibration_error": False}


@dataclass(frozen=True, eq=False)
class CellCounts:
    """What the figures of some cells are made of, by unit (a cell, or a sample).

    Attributes
    ----------
    confusion : (u, k, k)
        Cells by truth and label.
    calibration : (u, 3, 15)
        Cells, right ones, and their confidences added up, by bins of confidence.
    """

    confusion: NDArray[np.float64]
    calibration: NDArray[np.float64]


def class_scores(
    truth: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
    *,
    samples: Sequence[str] = (),
    seed: int = 42,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Return the figures of some cells, with 95 % intervals.

    Parameters
    ----------
    truth : (n,) int
        Class of each cell.
    probabilities : (n, k)
        The likeliest class is the label.
    classes : sequence of str
        Their names.
    samples : sequence of str
        Sample of each cell; of ten or more, samples are drawn for the intervals, else cells.
    seed, draws : int
        Of the bootstrap; with no draws there are no intervals.

    Returns
    -------
    dict
        ``"cells"``, ``"confusion"`` (truth, label), the keys of `FIGURES` (those of a class under
        ``"classes"``), ``"intervals"`` under the same keys, ``"interval"`` (over what), and
        ``"reliability"`` and ``"coverage"``, the curves.

    Raises
    ------
    CellsegError
        If there is no cell.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
    >>> scores = class_scores(np.array([0, 1, 1, 1]), probabilities, ("a", "b"), draws=0)
    >>> scores["accuracy"], scores["confusion"], round(scores["macro_f1"], 3)
    (0.75, [[1, 0], [1, 2]], 0.733)
    """
    truth, shares = np.asarray(truth), np.asarray(probabilities, np.float64)
    if not len(truth):
        raise CellsegError("no cell was scored", "at least one")
    units, over = _units(samples, len(truth))
    counts = count_cells(truth, shares, units)
    total = CellCounts(counts.confusion.sum(0, keepdims=True), counts.calibration.sum(0, keepdims=True))
    found = {key: value[0] for key, value in figures_of(total, classes).items()}
    scores: dict[str, Any] = {
        "cells": len(truth),
        "confusion": total.confusion[0].astype(int).tolist(),
        **nested({key: json_number(value) for key, value in found.items()}),
        "reliability": reliability(total.calibration[0]),
        "coverage": coverage(truth, shares),
    }
    if draws:
        drawn = figures_of(_resampled(counts, seed, draws), classes)
        scores["intervals"] = nested({key: _range(values) for key, values in drawn.items()})
        scores["interval"] = {"level": LEVEL, "over": over, "units": len(counts.confusion), "draws": draws}
    return scores


def compare_classes(
    truth: NDArray[np.integer],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    samples: Sequence[str] = (),
    figure: str = "macro_f1",
    seed: int = 42,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Return by how much two systems differ on the same cells, and whether that is a difference.

    Parameters
    ----------
    truth : (n,) int
    first, second : (n, k)
        Probabilities of either system.
    samples, seed, draws
        As in `class_scores`.
    figure : str
        What is compared.

    Returns
    -------
    dict
        ``"difference"`` (first - second), ``"interval"``, and ``"better"``: "first", "second" or
        None where the two cannot be told apart.

    Examples
    --------
    >>> truth = np.arange(60) % 2
    >>> right, half = np.eye(2)[truth], np.eye(2)[np.zeros(60, int)]
    >>> compare_classes(truth, right, half)["better"], compare_classes(truth, right, right)["better"]
    ('first', None)
    """
    units, _ = _units(samples, len(truth))
    names = [str(index) for index in range(first.shape[1])]
    values = []
    for probabilities in (first, second):
        counts = count_cells(truth, np.asarray(probabilities, np.float64), units)
        whole = CellCounts(counts.confusion.sum(0, keepdims=True), counts.calibration.sum(0, keepdims=True))
        drawn = _resampled(counts, seed, draws)  # the same draws for both
        values.append([figures_of(part, names)[figure,] for part in (whole, drawn)])
    difference = float(values[0][0][0] - values[1][0][0])
    interval = _range(values[0][1] - values[1][1])
    better = None
    if interval is not None and (interval[0] > 1e-9 or interval[1] < -1e-9):
        better = "first" if (interval[0] > 0) == HIGHER_IS_BETTER.get(figure, True) else "second"
    return {"difference": difference, "interval": interval, "better": better}


def count_cells(
    truth: NDArray[np.integer], probabilities: NDArray[np.float64], units: NDArray[np.intp]
) -> CellCounts:
    """Return the counts of cells, unit by unit."""
    many, classes = int(units.max()) + 1, probabilities.shape[1]
    label, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    confusion = np.zeros((many, classes, classes))
    np.add.at(confusion, (units, truth, label), 1)
    calibration = np.zeros((many, 3, BINS))
    bins = np.clip(np.ceil(sure * BINS).astype(np.intp) - 1, 0, BINS - 1)
    for row, weight in enumerate((np.ones(len(truth)), (label == truth).astype(float), sure)):
        np.add.at(calibration[:, row], (units, bins), weight)
    return CellCounts(confusion, calibration)


def figures_of(counts: CellCounts, classes: Sequence[str]) -> dict[tuple[str, ...], NDArray[np.float64]]:
    """Return every figure of each unit, NaN where it is not defined."""
    confusion = counts.confusion
    hit = np.diagonal(confusion, axis1=1, axis2=2)
    true, said = confusion.sum(axis=2), confusion.sum(axis=1)
    recall, f1 = ratio(hit, true), ratio(2 * hit, true + said)
    precision = ratio(hit, said)
    there = true > 0
    every = there.sum(axis=1)
    cells, right, sure = np.moveaxis(counts.calibration, 1, 0)
    found: dict[tuple[str, ...], NDArray[np.float64]] = {
        ("accuracy",): ratio(hit.sum(axis=1), true.sum(axis=1)),
        ("balanced_accuracy",): ratio(np.where(there, recall, 0).sum(axis=1), every),
        ("macro_f1",): ratio(np.where(there, f1, 0).sum(axis=1), every),
        ("calibration_error",): ratio(np.abs(right - sure).sum(axis=1), cells.sum(axis=1)),
    }
    for index, name in enumerate(classes):
        for key, values in (("precision", precision), ("recall", recall), ("f1", f1)):
            own = values[:, index]
            found["classes", name, key] = np.where(there[:, index], own, np.nan) if key == "f1" else own
    return found


def reliability(calibration: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Return mean confidence, accuracy and number of cells of each bin (3, 15) that has any."""
    cells, right, sure = calibration[:, calibration[0] > 0]
    return {
        "confidence": (sure / cells).tolist(),
        "accuracy": (right / cells).tolist(),
        "cells": cells.astype(int).tolist(),
    }


def coverage(truth: NDArray[np.integer], probabilities: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return the accuracy of the surest cells against their share of all, at most 101 points."""
    sure = probabilities.max(axis=1)
    order = np.argsort(-sure, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == truth)[order])
    places = np.unique(np.linspace(1, len(order), min(len(order), 101)).astype(int)) - 1
    return {
        "share": ((places + 1) / len(order)).tolist(),
        "accuracy": (right[places] / (places + 1)).tolist(),
        "threshold": sure[order][places].tolist(),
    }


def _units(samples: Sequence[str], cells: int) -> tuple[NDArray[np.intp], str]:
    if len(samples):
        names, units = np.unique(np.asarray(samples, np.str_), return_inverse=True)
        if FEWEST_SAMPLES <= len(names) < 0.7 * cells:
            return units, "samples"
    return np.arange(cells), "cells"


def _resampled(counts: CellCounts, seed: int, draws: int) -> CellCounts:
    """Return the counts of so many draws of as many units as there are."""
    units = len(counts.confusion)
    flat = np.concatenate([counts.confusion.reshape(units, -1), counts.calibration.reshape(units, -1)], 1)
    rng, rows = np.random.default_rng(seed), []
    step = max(1, 20_000_000 // units)  # weights of 160 MB at a time
    for first in range(0, draws, step):
        weights = rng.multinomial(units, np.full(units, 1 / units), size=min(step, draws - first))
        rows.append(weights.astype(np.float64) @ flat)
    drawn = np.concatenate(rows)
    classes = counts.confusion.shape[1]
    confusion, calibration = np.split(drawn, [classes**2], axis=1)
    return CellCounts(confusion.reshape(-1, classes, classes), calibration.reshape(-1, 3, BINS))


def _range(drawn: NDArray[np.float64]) -> list[float] | None:
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return None
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(defined, (tail, 100 - tail))
    return [float(low), float(high)]
