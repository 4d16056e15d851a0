"""Curves of points (n, 2): evenly spaced, smooth, with their normals."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

LEAST_POINTS = 6
UNSEEN = 1e-6  # weight of a point that was not seen; 0 would leave the equations undetermined


def arc(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length (n,) from the first point to each.

    Examples
    --------
    >>> arc(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]))
    array([0., 5., 6.])
    """
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])


def evenly(points: NDArray[np.float64], step_px: float) -> NDArray[np.float64]:
    """Return points about a step apart on the polyline, the first and the last included."""
    along = arc(points)
    places = np.linspace(0, along[-1], max(LEAST_POINTS, round(along[-1] / step_px) + 1))
    return np.stack([np.interp(places, along, column) for column in points.T], axis=1)


def smoothed(
    points: NDArray[np.float64], seen: NDArray[np.bool_], blur: float, *, closed: bool = False
) -> NDArray[np.float64]:
    """Return evenly spaced points (n, 2) without bends much shorter than `blur` spacings.

    Penalised least squares on second differences (Whittaker 1923, doi:10.1017/S0013091500077853):
    where nothing was seen the points follow the curve that bends least.

    Parameters
    ----------
    points : (n, 2) float64
        Of a ring the last one is the first one again.
    seen : (n,) bool
        Points that count.
    blur : float
        In spacings.
    closed : bool
        Whether it is a ring.

    Examples
    --------
    >>> bent = np.array([[0, 0], [0, 1], [5, 2], [0, 3], [0, 4.0]])
    >>> smoothed(bent, np.array([True, True, False, True, True]), 1.0).round(3)[2].tolist()
    [0.0, 2.0]
    """
    # a little further around at either end, so that the seam of a ring is as smooth as the rest
    around = min(len(points) - 2, int(4 * blur) + 4) if closed else 0
    if closed:
        points = np.concatenate([points[-1 - around : -1], points, points[1 : 1 + around]])
        seen = np.r_[seen[-1 - around : -1], seen, seen[1 : 1 + around]]
    count = len(points)
    bands = np.zeros((3, count))  # the two diagonals above the main one, and that
    for offset, factors in enumerate(((1, 4, 1), (-2, -2), (1,))):
        for place, factor in enumerate(factors):
            bands[2 - offset, offset + place : count - 2 + offset + place] += factor
    bands *= (blur / 2) ** 4
    weight = np.where(seen, 1.0, UNSEEN)
    bands[2] += weight
    smooth = solveh_banded(bands, weight[:, None] * points, check_finite=False)[around : count - around]
    if closed:
        smooth[-1] = smooth[0]
    return np.asarray(smooth)


def tangents_of(points: NDArray[np.float64], *, closed: bool = False) -> NDArray[np.float64]:
    """Return directions (n, 2) of length 1."""
    if closed:
        points = np.concatenate([points[-2:-1], points, points[1:2]])
    slope = np.gradient(points, axis=0)[slice(1, -1) if closed else slice(None)]
    return np.asarray(slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12))


def normals_of(points: NDArray[np.float64], *, closed: bool = False) -> NDArray[np.float64]:
    """Return directions (n, 2) of length 1 across the curve: (-col, row) of those along it."""
    return tangents_of(points, closed=closed)[:, ::-1] * [-1.0, 1.0]
