"""A filament: its centreline from end to end, and what is known of it."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from napari_cellseg.errors import CellsegError


@dataclass(frozen=True, eq=False)
class Filament:
    """A centreline in source pixels; a smooth curve runs through its points.

    Parameters
    ----------
    path : (n, 2) float64
        Points (row, col) from one end to the other, pixel centres at integers; at least two,
        none repeated in a row.
    id : int
        Number of the filament in its image, from 1.
    width_px : float, optional
        Width across the centreline.
    score : float, optional
        How sure it is, 0 to 1.
    locked : bool
        Drawn or corrected by hand: a new tracing keeps it.

    Raises
    ------
    CellsegError
        If there are fewer than two different points, or one is not finite.
    """

    path: NDArray[np.float64]
    id: int = 1
    width_px: float | None = None
    score: float | None = None
    locked: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        path = np.asarray(self.path, np.float64)
        if path.ndim != 2 or path.shape[1:] != (2,):
            raise CellsegError(f"filament {self.id}: points of shape {path.shape}", "(n, 2): row, col")
        if not np.isfinite(path).all():
            raise CellsegError(f"filament {self.id}: a point that is not a number", "finite rows and columns")
        moved = np.ones(len(path), bool)
        moved[1:] = np.hypot(*np.diff(path, axis=0).T) > 1e-9
        path = path[moved]
        if len(path) < 2:
            raise CellsegError(f"filament {self.id}: {len(path)} different points", "at least two")
        path.setflags(write=False)
        object.__setattr__(self, "path", path)

    @property
    def ends(self) -> NDArray[np.float64]:
        """First and last point, (2, 2)."""
        return self.path[[0, -1]]

    @cached_property
    def length_px(self) -> float:
        """Arc length of the curve in pixels.

        Examples
        --------
        >>> Filament([[0, 0], [3, 4], [6, 8]]).length_px
        10.0
        """
        return float(self._arc[1][-1])

    @property
    def arcs_px(self) -> NDArray[np.float64]:
        """Arc length from the first point to every point of the path, (n,)."""
        return np.asarray(np.interp(self._curve.x, *self._arc))

    def reversed(self) -> "Filament":
        """Return the same filament from its other end."""
        return replace(self, path=self.path[::-1])

    def at(self, arc_px: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return points of the curve and its direction there.

        Parameters
        ----------
        arc_px : (n,)
            Arc length from the first point, in pixels; beyond an end the curve goes on straight.

        Returns
        -------
        points, tangents : (n, 2) float64
            Rows and columns; tangents of length 1, towards the last point.

        Examples
        --------
        >>> points, tangents = Filament([[0, 0], [0, 10]]).at([2.5])
        >>> points.tolist(), tangents.tolist()
        ([[0.0, 2.5]], [[0.0, 1.0]])
        """
        arc = np.asarray(arc_px, np.float64)
        chords, arcs = self._arc
        inside = np.clip(arc, 0, arcs[-1])
        u = np.interp(inside, arcs, chords)
        tangents = self._curve(u, 1)
        tangents = tangents / np.linalg.norm(tangents, axis=-1, keepdims=True)
        return self._curve(u) + (arc - inside)[..., None] * tangents, tangents

    def curvature(self, arc_px: ArrayLike) -> NDArray[np.float64]:
        """Return the signed curvature (n,) in 1 / px; positive turns from rows towards columns."""
        chords, arcs = self._arc
        u = np.interp(np.asarray(arc_px, np.float64), arcs, chords)
        (row1, col1), (row2, col2) = self._curve(u, 1).T, self._curve(u, 2).T
        return np.asarray((row1 * col2 - col1 * row2) / np.hypot(row1, col1) ** 3)

    def resampled(self, step_px: float) -> "Filament":
        """Return the filament with points evenly spaced along the curve, both ends kept."""
        many = max(1, round(self.length_px / step_px))
        return replace(self, path=self.at(np.linspace(0, self.length_px, many + 1))[0])

    @cached_property
    def _curve(self) -> CubicSpline:
        chord = np.r_[0, np.cumsum(np.hypot(*np.diff(self.path, axis=0).T))]
        return CubicSpline(chord, self.path, bc_type="natural")

    @cached_property
    def _arc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Chord parameters and the arc lengths there, dense enough to be read off linearly."""
        knots = self._curve.x
        inner = np.linspace(0, 1, 9)[:-1]
        chords = np.r_[(knots[:-1, None] + np.diff(knots)[:, None] * inner).ravel(), knots[-1]]
        # Simpson's rule on the speed within each piece
        left, right = chords[:-1], chords[1:]
        speed = [np.linalg.norm(self._curve(u, 1), axis=-1) for u in (left, (left + right) / 2, right)]
        pieces = (right - left) / 6 * (speed[0] + 4 * speed[1] + speed[2])
        return chords, np.r_[0, np.cumsum(pieces)]
