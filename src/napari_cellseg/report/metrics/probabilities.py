"""How good probabilities are before a threshold makes labels of them.

A probability is one of 256 levels, as results on the disk hold it (value / 255). Histograms
over these levels therefore give AUROC and average precision exactly, in little memory, and
those of several images add up.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes, plane_blocks
from napari_cellseg.report.metrics.figures import Values, ratio

LEVELS = 256
BINS = 15  # of the calibration error; 15 x 17 levels, the lowest with level 0 as well

Counts = dict[tuple[str, ...], NDArray[Any]]


def probability_counts(probabilities: Any, truth: Any, classes: Classes) -> Counts:
    """Return what the figures of probabilities are made of; adds up over images.

    Parameters
    ----------
    probabilities : (k, y, x)
        uint8 (255 stands for 1) or float from 0 to 1, which is rounded to the same levels;
        channel k is the class with index k + 1. numpy, zarr or dask.
    truth : (y, x) integer array
        Indices into `classes`; 0 is left out.
    classes : Classes
        What the indices mean.

    Returns
    -------
    dict
        ``("ranking", name)``: (2, 256) pixels of other classes and of this one at each level.
        ``("calibration",)``: (3, 15) pixels, right ones, and their levels added up, by bins of
        the level of the most probable class.

    Raises
    ------
    CellsegError
        If the shape or the type does not fit.

    Examples
    --------
    >>> probabilities = np.array([[[0.8, 0.1]], [[0.2, 0.9]]])
    >>> counts = probability_counts(probabilities, np.array([[1, 1]]), Classes.of("cell"))
    >>> counts["calibration",].sum(axis=1)
    array([  2,   1, 434])
    """
    _check(probabilities, truth, classes)
    outputs = len(classes) - 1
    ranking = np.zeros((outputs, 2, LEVELS), np.int64)
    calibration = np.zeros((3, BINS), np.int64)
    for rows, cols in plane_blocks(truth.shape):
        true = np.asarray(truth[rows, cols])
        annotated = true != 0
        if not annotated.any():
            continue
        # contiguous columns of annotated pixels: each is gone through several times
        levels = _levels(np.asarray(probabilities[:, rows, cols])[:, annotated])
        true = true[annotated]
        for i, column in enumerate(levels):
            own = column[true == i + 1]
            every = np.bincount(column, minlength=LEVELS)
            ranking[i, 1] += np.bincount(own, minlength=LEVELS)
            ranking[i, 0] += every
        calibration += _calibration(levels, true)
    ranking[:, 0] -= ranking[:, 1]
    names = classes.names[1:]
    return {("calibration",): calibration} | {
        ("ranking", name): table for name, table in zip(names, ranking, strict=True)
    }


def probability_figures(counts: Mapping[tuple[str, ...], NDArray[Any]]) -> Values:
    """Return AUROC, average precision and calibration error of counts with a leading axis (r, ...)."""
    values: Values = {}
    for place, table in counts.items():
        if place[0] == "ranking":
            values["classes", place[1], "auroc"] = _auroc(table)
            values["classes", place[1], "average_precision"] = _average_precision(table)
        elif place[0] == "calibration":
            pixels, right, level = np.moveaxis(np.asarray(table, np.float64), 1, 0)
            distance = np.abs(right - level / (LEVELS - 1)).sum(axis=1)
            values["calibration_error",] = ratio(distance, pixels.sum(axis=1))
    return values


def _auroc(table: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the pairs (other, own) in the right order, ties counting half."""
    others, own = np.moveaxis(np.asarray(table, np.float64), 1, 0)
    below = np.cumsum(others, axis=1) - others / 2
    return ratio((own * below).sum(axis=1), own.sum(axis=1) * others.sum(axis=1))


def _average_precision(table: NDArray[Any]) -> NDArray[np.float64]:
    """Sum over the thresholds of precision times the recall gained."""
    others, own = np.moveaxis(np.asarray(table, np.float64)[..., ::-1], 1, 0)
    hits, claims = np.cumsum(own, axis=1), np.cumsum(own + others, axis=1)
    precision = np.divide(hits, claims, out=np.zeros_like(hits), where=claims != 0)
    return ratio((own * precision).sum(axis=1), own.sum(axis=1))


def _calibration(levels: NDArray[np.uint8], true: NDArray[Any]) -> NDArray[np.int64]:
    best = levels.argmax(axis=0)
    top = np.take_along_axis(levels, best[np.newaxis], axis=0)[0]
    pixels = np.bincount(top, minlength=LEVELS)
    right = np.bincount(top[best + 1 == true], minlength=LEVELS)
    bins = np.maximum(np.arange(LEVELS) - 1, 0) * BINS // (LEVELS - 1)
    table = np.zeros((3, BINS), np.int64)
    for row, values in zip(table, (pixels, right, pixels * np.arange(LEVELS)), strict=True):
        np.add.at(row, bins, values)
    return table


def _levels(block: NDArray[Any]) -> NDArray[np.uint8]:
    if block.dtype == np.uint8:
        return block
    low, high = float(block.min()), float(block.max())
    if not (low >= 0 and high <= 1):  # also where one is NaN
        raise CellsegError(f"probabilities from {low:g} to {high:g}", "0 to 1", "give them after the softmax")
    levels: NDArray[np.uint8] = (block * np.float32(LEVELS - 1) + np.float32(0.5)).astype(np.uint8)
    return levels


def _check(probabilities: Any, truth: Any, classes: Classes) -> None:
    wanted = (len(classes) - 1, *truth.shape)
    if tuple(probabilities.shape) != wanted:
        raise CellsegError(
            f"probabilities of shape {tuple(probabilities.shape)}",
            f"{wanted}: (class, y, x)",
            "give those of the same image and classes, background first",
        )
    dtype = np.dtype(probabilities.dtype)
    if dtype != np.uint8 and dtype.kind != "f":
        raise CellsegError(f"probabilities of type {dtype}", "uint8 (255 = 1) or float from 0 to 1")
