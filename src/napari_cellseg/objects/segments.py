"""Stretches of a skeleton that certainly are the middle of one filament, and how they end.

Where filaments meet, a skeleton says little: it bends towards the corner between them, and
where they cross at a small angle it is one shared piece. Here the plane is read across every
branch. Where it falls below the threshold on both sides, as far apart as usual on this branch,
there is one filament, and the middle between the two places is its middle to a fraction of a
pixel. What is left out is bridged by `objects.pairing`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.objects.curves import arc, evenly, normals_of, smoothed
from napari_cellseg.objects.profiles import middles
from napari_cellseg.objects.skeleton import Branch, Skeleton

SPACING_WIDTHS = 0.12  # between two places where the plane is read across
ROUGH_WIDTHS = 0.7  # bends of the skeleton shorter than this are its own
TOLERANCE = (0.3, 0.08)  # of the width, at the first and the second look
TOLERANCE_PX = 1.0
FIT_WIDTHS = 2.5  # how far from an end its direction is looked for
LEAST_POINTS = 4


@dataclass(frozen=True)
class End:
    """An end of a segment.

    Attributes
    ----------
    point : (2,) float64
        (row, col) in pixels.
    direction : (2,) float64
        Of length 1, out of the segment.
    width_px : float
    reach_px : float
        Distance along the skeleton to the junction or the tip it was cut from.
    joined : bool
        Whether it was cut from something wider; otherwise the filament just ends.
    """

    point: NDArray[np.float64]
    direction: NDArray[np.float64]
    width_px: float
    reach_px: float
    joined: bool


@dataclass(frozen=True)
class Segment:
    """A stretch of one filament.

    Attributes
    ----------
    points : (n, 2) float64
        (row, col) of its middle in pixels, in order.
    width_px : float
    ends : (End, End) or None
        At the first and the last point; None for a ring.
    """

    points: NDArray[np.float64]
    width_px: float
    ends: tuple[End, End] | None

    @property
    def length_px(self) -> float:
        """Length along the points."""
        return float(arc(self.points)[-1])


def segments_of(skeleton: Skeleton, plane: NDArray[Any], threshold: float) -> list[Segment]:
    """Return the stretches of the branches that are the middle of one filament each.

    Parameters
    ----------
    skeleton : Skeleton
    plane : (y, x)
        Probabilities or a mask.
    threshold : float
        Value of the plane at the edge of a filament.
    """
    branches = [branch for branch in skeleton.branches if len(branch.points) >= LEAST_POINTS]
    if not branches:
        return []
    usual = np.array([2 * float(np.percentile(branch.half_width, 25)) for branch in branches])
    usual = np.maximum(usual, 1.0)
    lines = [
        smoothed(even, np.ones(len(even), bool), ROUGH_WIDTHS / SPACING_WIDTHS, closed=branch.closed)
        for branch, width in zip(branches, usual, strict=True)
        for even in [evenly(branch.points, max(1.0, SPACING_WIDTHS * width))]
    ]
    for look, tolerance in enumerate(TOLERANCE):
        across = [
            normals_of(line, closed=branch.closed) for line, branch in zip(lines, branches, strict=True)
        ]
        shift, width = middles(lines, across, usual, plane, threshold)
        clear = [np.abs(w - u) <= tolerance * u + TOLERANCE_PX for w, u in zip(width, usual, strict=True)]
        for number, seen in enumerate(clear):
            lines[number] = lines[number] + np.where(seen, shift[number], 0.0)[:, None] * across[number]
            if look == 0 and np.count_nonzero(seen) > 2:  # better normals for the second look
                usual[number] = np.percentile(width[number][seen], 25)
                blur = 0.5 * ROUGH_WIDTHS / SPACING_WIDTHS
                lines[number] = smoothed(lines[number], seen, blur, closed=branches[number].closed)
    return [segment for parts in zip(branches, lines, clear, width, strict=True) for segment in _cut(*parts)]


def _cut(
    branch: Branch, line: NDArray[np.float64], clear: NDArray[np.bool_], width: NDArray[np.float64]
) -> list[Segment]:
    """Return the stretches of a branch that are clear."""
    if branch.closed and clear.all():
        return [Segment(line, float(np.median(width)), None)]
    if branch.closed:  # begun where it is unclear
        start = int(np.argmin(clear))
        line = np.roll(line[:-1], -start, axis=0)
        clear, width = np.roll(clear[:-1], -start), np.roll(width[:-1], -start)
    along = arc(line)
    found = []
    for first, stop in np.flatnonzero(np.diff(np.r_[False, clear, False])).reshape(-1, 2).tolist():
        if stop - first < LEAST_POINTS:
            continue
        points, wide = line[first:stop], float(np.median(width[first:stop]))
        joined = [branch.closed or branch.junctions[side] >= 0 for side in (0, 1)]
        # an unclear tip is the round or ragged end of a filament, but not if it is long
        before, after = along[first], along[-1] - along[stop - 1]
        ends = (
            end_of(points[::-1], wide, before, joined[0] or before > wide),
            end_of(points, wide, after, joined[1] or after > wide),
        )
        found.append(Segment(points, wide, ends))
    return found


def end_of(points: NDArray[np.float64], width_px: float, reach_px: float, joined: bool) -> End:
    """Return the last point, smoothed, and how the points arrive there."""
    back = arc(points[::-1])[::-1]
    near = back <= FIT_WIDTHS * width_px
    near[-LEAST_POINTS:] = True
    order = 2 if back[near][0] > width_px else 1
    fit = np.polynomial.polynomial.polyfit(-back[near], points[near], order)
    return End(fit[0], fit[1] / np.hypot(*fit[1]), width_px, reach_px, joined)
