"""Making confidences honest: one temperature for all logits, and a threshold for each class."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COLDEST, HOTTEST = 0.1, 10.0
FEWEST = 5
"""Cells predicted as a class, below which no threshold can be chosen for it."""


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return probabilities (n, k) of logits (n, k).

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Return the temperature at which the probabilities fit the truth best (Guo et al. 2017).

    Parameters
    ----------
    logits : (n, k)
    truth : (n,) int
        Class of each cell; none = 1, as the network says.

    Examples
    --------
    >>> logits, truth = np.tile([[4.0, 0.0]], (10, 1)), np.array([0] * 7 + [1] * 3)
    >>> round(float(softmax(logits, fit_temperature(logits, truth))[0, 0]), 2)
    0.7
    """
    from scipy.optimize import minimize_scalar

    if not len(truth):
        return 1.0
    rows = np.arange(len(truth))

    def cost(log_temperature: float) -> float:
        chosen = softmax(logits, float(np.exp(log_temperature)))[rows, truth]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    limits = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    return float(np.exp(minimize_scalar(cost, bounds=limits, method="bounded").x))


def class_thresholds(
    probabilities: NDArray[np.floating], truth: NDArray[np.integer], wanted: float
) -> tuple[float, ...]:
    """Return for each class the least confidence from which at least `wanted` of its labels are right.

    1 where no confidence is high enough, or too few cells were given the class to tell.

    Parameters
    ----------
    probabilities : (n, k)
    truth : (n,) int
    wanted : float
        Precision, 0 to 1.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1]] * 6 + [[0.6, 0.4]] * 6)
    >>> class_thresholds(probabilities, np.array([0] * 6 + [1] * 6), 0.9)
    (0.9, 1.0)
    """
    labels, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = []
    for name in range(probabilities.shape[1]):
        own = labels == name
        order = np.argsort(-confidence[own], kind="stable")
        right = (truth[own] == name)[order]
        if len(order) < FEWEST:
            found.append(1.0)
            continue
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        enough = np.flatnonzero(precision >= wanted)
        enough = enough[enough >= FEWEST - 1]
        found.append(float(confidence[own][order][enough[-1]]) if len(enough) else 1.0)
    return tuple(found)


def labels_of(
    probabilities: NDArray[np.floating], classes: Sequence[str], thresholds: Sequence[float], doubt: str
) -> list[str]:
    """Return the class of each cell, or `doubt` where its confidence is below the class's threshold.

    Examples
    --------
    >>> labels_of(np.array([[0.9, 0.1], [0.4, 0.6]]), ("a", "b"), (0.0, 0.7), "unclassified")
    ['a', 'unclassified']
    """
    best, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return [
        classes[name] if sure >= thresholds[name] else doubt
        for name, sure in zip(best.tolist(), confidence.tolist(), strict=True)
    ]
