"""Following filaments by their edges into places where several lie upon each other.

Where two filaments cross at a small angle or run side by side, the mask is one wide piece, but
each of them still has an edge of it half a width away. A track goes on straight from an end,
and wherever an edge is as far as it should be, it is steered to keep that distance. Of two such
edges the one that needs less steering counts: so a track goes on to the other side where two
filaments cross.

Notation: e ends, s steps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.objects.profiles import first_below, sampled

STEP_WIDTHS = 0.125
LONGEST_WIDTHS = 24.0
ANCHOR_WIDTHS = 0.2  # an edge is that of the filament if it is so much further or closer than half a width
LOST_WIDTHS = 5.0  # without any edge a track ends after so much
PLACE_GAIN, DIRECTION_GAIN = 0.15, 0.012  # steering: a time constant of about a width


@dataclass(frozen=True)
class Tracks:
    """Where filaments seem to go on beyond their ends.

    Attributes
    ----------
    points : (s, e, 2) float64
        NaN after the end of a track.
    directions : (s, e, 2) float64
    last_seen : (e,) int
        The last step at which an edge was where it should be.
    """

    points: NDArray[np.float64]
    directions: NDArray[np.float64]
    last_seen: NDArray[np.intp]


def follow(
    points: NDArray[np.float64],
    directions: NDArray[np.float64],
    width: NDArray[np.float64],
    plane: NDArray[Any],
    threshold: float,
) -> Tracks:
    """Return the tracks that begin at points (e, 2) in directions (e, 2)."""
    steps = int(LONGEST_WIDTHS / STEP_WIDTHS)
    place, heading = points.copy(), directions.copy()
    where = np.full((steps, len(points), 2), np.nan)
    way = np.full((steps, len(points), 2), np.nan)
    last_seen, alive = np.zeros(len(points), np.intp), np.ones(len(points), bool)
    limit = np.array(plane.shape) - 0.5
    far = np.arange(0, 0.5 + 2 * ANCHOR_WIDTHS, 0.02)  # widths; beyond this an edge is not ours
    for step in range(steps):
        moving = np.flatnonzero(alive)
        if not len(moving):
            break
        wide = width[moving]
        heading_now = heading[moving]
        ahead = place[moving] + (STEP_WIDTHS * wide)[:, None] * heading_now
        normal = heading_now[:, ::-1] * [-1, 1]
        out = (far[:, None] * wide).T[..., None]
        sides = [
            first_below(sampled(plane, ahead[:, None] + sign * out * normal[:, None]), threshold) * 0.02
            for sign in (1.0, -1.0)
        ]
        off = np.stack([sides[0] - 0.5, 0.5 - sides[1]])  # widths towards `normal` that each side asks for
        off[~(np.abs(off) < ANCHOR_WIDTHS)] = np.inf
        steer = off[np.abs(off).argmin(axis=0), np.arange(len(moving))]
        anchored = np.isfinite(steer)
        steer = np.where(anchored, steer, 0.0)
        ahead += (PLACE_GAIN * steer * wide)[:, None] * normal
        turned = heading_now + (DIRECTION_GAIN * steer / STEP_WIDTHS)[:, None] * normal
        heading[moving] = turned / np.linalg.norm(turned, axis=1, keepdims=True)
        place[moving] = ahead
        where[step, moving], way[step, moving] = ahead, heading[moving]
        last_seen[moving[anchored]] = step
        inside = ((ahead >= -0.5) & (ahead <= limit)).all(axis=1)
        inside &= sampled(plane, ahead) >= threshold
        alive[moving] = inside & (step - last_seen[moving] < LOST_WIDTHS / STEP_WIDTHS)
    return Tracks(where, way, last_seen)
