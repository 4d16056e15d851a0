"""Places along a filament where boxes are cut, as RELION cuts them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.filament import Filament

FIRST_STEP = 0.01
"""Share of a step from the end of a tube to its first segment, as in RELION 3.1."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments of one filament, from its first end on.

    Attributes
    ----------
    points : (n, 2) float64
        Centres (row, col).
    psi_degrees : (n,) float64
        Angle that turns the filament there onto x: ``-atan2(row, col)`` of its direction.
    track_px : (n,) float64
        Arc length from the first segment.
    """

    points: NDArray[np.float64]
    psi_degrees: NDArray[np.float64]
    track_px: NDArray[np.float64]


def cut_segments(filament: Filament, step_px: float) -> Segments:
    """Return the segments of a filament, evenly spaced along its curve.

    Parameters
    ----------
    filament : Filament
    step_px : float
        Distance along the curve; 0 = the points of its path as they are.

    Returns
    -------
    Segments
        At least one.

    Examples
    --------
    >>> cut = cut_segments(Filament([[10, 0], [10, 60]]), 25)
    >>> cut.points.tolist(), cut.track_px.tolist()
    ([[10.0, 0.25], [10.0, 25.25], [10.0, 50.25]], [0.0, 25.0, 50.0])
    """
    arcs = np.arange(FIRST_STEP * step_px, filament.length_px, step_px) if step_px else filament.arcs_px
    if not len(arcs):  # shorter than what is left out at the end
        arcs = np.array([filament.length_px / 2])
    points, tangents = filament.at(arcs)
    psi = -np.degrees(np.arctan2(tangents[:, 0], tangents[:, 1]))
    return Segments(points, psi + 0.0, arcs - arcs[0])
