"""Where filaments end: at a tip, in another filament, or hidden by one that lies upon them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_cellseg.objects.curves import arc, tangents_of
from napari_cellseg.objects.pairing import ON_MIDDLE
from napari_cellseg.objects.profiles import first_below, sampled
from napari_cellseg.objects.segments import SPACING_WIDTHS, End, Segment
from napari_cellseg.objects.tracks import STEP_WIDTHS, follow

BEYOND_WIDTHS = 1.5  # how far beyond the last segment a tip is looked for
ACROSS_WIDTHS = 2.0  # how long a track may stay upon the middle of another filament
STEP_PX = 0.5
ROUND_AT, ROUND_WIDTH = 0.1, 0.6  # so far, in widths, before its end a round tip is so wide


def tip_of(path: NDArray[np.float64], width: float, plane: NDArray[Any], threshold: float) -> float:
    """Return how far beyond the last point of a path (n, 2) the filament ends, in pixels.

    A tip cut straight ends there. A round one is what a brush, or a mask of all that lies within
    half a width, leaves of a filament that ends half a width before. Negative if the path is
    too long.
    """
    edge = straight_on(path, BEYOND_WIDTHS * width, plane, threshold)
    direction = tangents_of(path)[-1]
    before = path[-1] + (edge - ROUND_AT * width) * direction
    out = np.arange(0, width, STEP_PX)[:, None] * direction[::-1] * [-1.0, 1.0]
    sides = first_below(sampled(plane, np.stack([before + out, before - out])), threshold) * STEP_PX
    if np.isnan(sides).any():  # it leaves the field, or something else is near
        return edge
    cut = np.clip((sides.sum() / width - ROUND_WIDTH) / (1 - ROUND_WIDTH), 0, 1)
    return float(edge - 0.5 * width * (1 - cut))


def straight_on(path: NDArray[np.float64], longest: float, plane: NDArray[Any], threshold: float) -> float:
    """Return how far one gets straight on from the last point of a path (n, 2), at most `longest` px."""
    ahead = path[-1] + np.arange(0, longest + STEP_PX, STEP_PX)[:, None] * tangents_of(path)[-1]
    field = ((ahead >= -0.5) & (ahead <= np.array(plane.shape) - 0.5)).all(axis=1)
    ahead = ahead[: int(np.argmin(np.r_[field, False]))]
    if not len(ahead):
        return 0.0
    edge = float(first_below(sampled(plane, ahead)[None], threshold)[0])
    return min(longest, (len(ahead) - 1 if np.isnan(edge) else edge) * STEP_PX)


def lengthened(path: NDArray[np.float64], by_px: float, width: float) -> NDArray[np.float64]:
    """Return a path (n, 2) with its last point moved on straight, or back along it.

    Examples
    --------
    >>> path = np.array([[0.0, 0.0], [0.0, 4.0], [0.0, 8.0]])
    >>> lengthened(path, 2.0, 8.0)[-1].tolist(), lengthened(path, -3.0, 8.0)[-1].tolist()
    ([0.0, 10.0], [0.0, 5.0])
    """
    if by_px > 0:
        many = max(1, round(by_px / max(1.0, SPACING_WIDTHS * width)))
        further = np.linspace(0, by_px, many + 1)[1:, None] * tangents_of(path)[-1]
        return np.concatenate([path, path[-1] + further])
    along = arc(path)
    stop = along[-1] + by_px
    if by_px == 0 or stop <= along[1]:
        return path
    last = [np.interp(stop, along, column) for column in path.T]
    return np.concatenate([path[along < stop - 1e-9], [last]])


def hidden_ends(
    ends: Sequence[End], segments: Sequence[Segment], plane: NDArray[Any], threshold: float
) -> list[NDArray[np.float64]]:
    """Return how each end (n, 2) goes on where others lie upon it, as far as an edge shows it."""
    if not ends:
        return []
    width = np.array([end.width_px for end in ends])
    tracks = follow(
        np.array([end.point for end in ends]),
        np.array([end.direction for end in ends]),
        width,
        plane,
        threshold,
    )
    middles = cKDTree(np.concatenate([segment.points for segment in segments]))
    found = []
    for number, last in enumerate(tracks.last_seen):
        points = tracks.points[: last + 1, number]
        points = points[np.isfinite(points).all(axis=1)]
        distance, _ = middles.query(points) if len(points) else (np.empty(0), 0)
        on = distance < ON_MIDDLE * width[number]
        on &= np.hypot(*(points - ends[number].point).T) > ON_MIDDLE * width[number]
        found.append(points[: _taken(on)])
    return found


def _taken(on: NDArray[np.bool_]) -> int:
    """Return from which step (n,) on a track has gone over to another filament.

    It may cross the middle of one, or a piece that both share, but not stay there.
    """
    longest = ACROSS_WIDTHS / STEP_WIDTHS
    for first, stop in np.flatnonzero(np.diff(np.r_[False, on, False])).reshape(-1, 2).tolist():
        if stop - first > longest or stop == len(on):
            return int(first)
    return len(on)
