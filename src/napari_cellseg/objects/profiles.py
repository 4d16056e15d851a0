"""Reading a plane between its pixels, and finding where it falls below a threshold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ACROSS_WIDTHS = 1.0  # how far to either side an edge is looked for


def sampled(plane: NDArray[Any], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plane between its pixels at points (..., 2); beyond the border it goes on unchanged."""
    rows = points[..., 0].clip(0, plane.shape[0] - 1)
    cols = points[..., 1].clip(0, plane.shape[1] - 1)
    top, left = rows.astype(np.intp), cols.astype(np.intp)
    below, right = np.minimum(top + 1, plane.shape[0] - 1), np.minimum(left + 1, plane.shape[1] - 1)
    down, across = rows - top, cols - left
    upper = plane[top, left] * (1 - across) + plane[top, right] * across
    lower = plane[below, left] * (1 - across) + plane[below, right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float64)


def first_below(profiles: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Return where rows (n, m) first fall below the threshold, between samples; NaN if never or at once.

    Examples
    --------
    >>> first_below(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]), 0.5)
    array([1.5, nan])
    """
    below = profiles < threshold
    place = below.argmax(axis=1)
    rows = np.arange(len(profiles))
    before, after = profiles[rows, np.maximum(place - 1, 0)], profiles[rows, place]
    share = (before - threshold) / np.maximum(before - after, 1e-12)
    return np.where(place > 0, place - 1 + share, np.nan)


def middles(
    lines: Sequence[NDArray[np.float64]],
    normals: Sequence[NDArray[np.float64]],
    width: NDArray[np.float64],
    plane: NDArray[Any],
    threshold: float,
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return where the middles between two edges lie, and how far the edges are apart.

    Parameters
    ----------
    lines, normals : sequence of (n, 2)
        Points and the directions across, of each line.
    width : (lines,)
        About how wide the filament is there.
    plane : (y, x)
    threshold : float

    Returns
    -------
    shift, width : list of (n,)
        Along the normals, in pixels; NaN where there is no edge within a width.
    """
    count = [len(line) for line in lines]
    points, across = np.concatenate(lines), np.concatenate(normals)
    step = np.repeat(np.maximum(0.5, width / 80), count)
    many = int(np.ceil((ACROSS_WIDTHS * np.repeat(width, count) / step).max(initial=1.0)))
    out = (step[:, None] * np.arange(many + 1))[..., None]
    low, high = (
        step * first_below(sampled(plane, points[:, None] + sign * out * across[:, None]), threshold)
        for sign in (-1.0, 1.0)
    )
    cuts = np.cumsum(count)[:-1]
    return np.split((high - low) / 2, cuts), np.split(high + low, cuts)
