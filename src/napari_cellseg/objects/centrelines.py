"""Smooth centrelines from chains of segments, out to the ends of the filaments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.objects.curves import arc, evenly, smoothed
from napari_cellseg.objects.pairing import Chain
from napari_cellseg.objects.segments import SPACING_WIDTHS, Segment
from napari_cellseg.objects.tips import hidden_ends, lengthened, straight_on, tip_of

FINE_WIDTHS = 0.8  # bends shorter than this are smoothed away


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
            hidden_ends([end for *_, end in joined], segments, plane, threshold),
            strict=True,
        )
    )
    for number, side, end in loose:
        path, width = lines[number].path, lines[number].width_px
        path = path if side else path[::-1]
        beyond = further.get((number, side), np.empty((0, 2)))
        if len(beyond):
            path = np.concatenate([path, beyond])
        elif end.joined:
            path = lengthened(path, straight_on(path, end.reach_px, plane, threshold), width)
        else:
            path = lengthened(path, tip_of(path, width, plane, threshold), width)
        lines[number] = Centreline(path if side else path[::-1], width)
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
