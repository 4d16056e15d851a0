"""Smooth centrelines from chains of segments, out to the ends of the filaments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_cellseg.objects.curves import arc, evenly, smoothed, tangents_of
from napari_cellseg.objects.pairing import ON_MIDDLE, Chain
from napari_cellseg.objects.profiles import first_below, sampled
from napari_cellseg.objects.segments import SPACING_WIDTHS, End, Segment
from napari_cellseg.objects.tracks import follow

FINE_WIDTHS = 0.8  # bends shorter than this are smoothed away
BEYOND_WIDTHS = 1.5  # how far beyond the last segment a free end is looked for


@dataclass(frozen=True)
class Centreline:
    """The middle of a filament.

    Attributes
    ----------
    path : (n, 2) float64
        (row, col) in pixels; of a ring the last point is the first one again.
    width_px : float
    """

    path: NDArray[np.float64]
    width_px: float


def centrelines_of(
    chains: Sequence[Chain], segments: Sequence[Segment], plane: NDArray[Any], threshold: float
) -> list[Centreline]:
    """Return the centreline of each chain; what lies between its segments bends as little as can be.

    Parameters
    ----------
    chains : sequence of Chain
    segments : sequence of Segment
        All of them.
    plane : (y, x)
        Probabilities or a mask.
    threshold : float
        Value of the plane at the edge of a filament.
    """
    lines = [_line(chain, segments) for chain in chains]
    loose = [
        (number, side, end)
        for number, chain in enumerate(chains)
        for side, end in enumerate(chain.ends(segments))
    ]
    joined = [entry for entry in loose if entry[2].joined]
    further = dict(
        zip(
            ((number, side) for number, side, _ in joined),
            _hidden([end for *_, end in joined], segments, plane, threshold),
            strict=True,
        )
    )
    for number, side, end in loose:
        path, width = lines[number].path, lines[number].width_px
        point, direction = path[-side], tangents_of(path)[-side] * (1 if side else -1)
        beyond = further.get((number, side), np.empty((0, 2)))
        if not len(beyond):
            longest = end.reach_px if end.joined else BEYOND_WIDTHS * width
            beyond = _straight(point, direction, longest, width, plane, threshold)
        path = np.concatenate([path, beyond] if side else [beyond[::-1], path])
        lines[number] = Centreline(path, width)
    return lines


def _line(chain: Chain, segments: Sequence[Segment]) -> Centreline:
    """Return the centreline from the first to the last segment."""
    pieces = [segments[number].points[:: -1 if backwards else 1] for number, backwards in chain.segments]
    count = [len(piece) for piece in pieces]
    width = float(np.average([segments[number].width_px for number, _ in chain.segments], weights=count))
    within = np.repeat(range(len(pieces)), count)
    points = np.concatenate(pieces)
    if chain.closed and np.any(points[0] != points[-1]):
        points, within = np.concatenate([points, points[:1]]), np.append(within, -1)
    along = arc(points)
    path = evenly(points, max(1.0, SPACING_WIDTHS * width))
    places = np.linspace(0, along[-1], len(path))
    after = np.searchsorted(along, places).clip(1, len(along) - 1)
    seen = within[after] == within[after - 1]
    seen[0] = seen[-1] = True
    spacing = max(along[-1] / (len(path) - 1), 1e-9)
    return Centreline(smoothed(path, seen, FINE_WIDTHS * width / spacing, closed=chain.closed), width)


def _hidden(
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
        far = np.hypot(*(points - ends[number].point).T) > ON_MIDDLE * width[number]
        taken = np.flatnonzero(far & (distance < ON_MIDDLE * width[number]))  # it went over to another one
        found.append(points[: taken[0]] if len(taken) else points)
    return found


def _straight(
    point: NDArray[np.float64],
    direction: NDArray[np.float64],
    longest: float,
    width: float,
    plane: NDArray[Any],
    threshold: float,
) -> NDArray[np.float64]:
    """Return points (n, 2) straight on, at most to the edge.

    A free end goes on to where the filament ends, which a skeleton does not reach; one that ends in
    another filament, to that one's middle.
    """
    step = 0.5
    ahead = point + np.arange(0, longest + step, step)[:, None] * direction
    field = ((ahead >= -0.5) & (ahead <= np.array(plane.shape) - 0.5)).all(axis=1)
    ahead = ahead[: int(np.argmin(np.r_[field, False]))]
    if not len(ahead):
        return np.empty((0, 2))
    edge = first_below(sampled(plane, ahead)[None], threshold)[0]
    far = min(longest, (len(ahead) - 1 if np.isnan(edge) else edge) * step)
    many = max(1, round(far / max(1.0, SPACING_WIDTHS * width)))
    return point + np.linspace(0, far, many + 1)[1:, None] * direction if far > 0 else np.empty((0, 2))
