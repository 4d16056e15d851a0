"""Strips: the micrograph along a filament, as if the filament were straight."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament

NEWTON_STEPS = 8


@dataclass(frozen=True, eq=False)
class Strip:
    """A straightened filament.

    Attributes
    ----------
    pixels : (width, length) float32
        Columns go along the filament, a pixel of arc length each, from its first point on; the
        middle row lies on its centreline. It is turned, never mirrored.
    filament : Filament
        What it was cut along.
    """

    pixels: NDArray[np.float32]
    filament: Filament

    @property
    def middle_row(self) -> float:
        """Row of the strip on the centreline."""
        return float(self.pixels.shape[0] - 1) / 2

    def to_micrograph(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return where points (n, 2) of the strip lie in the micrograph, both (row, col).

        Examples
        --------
        >>> strip = straighten(np.eye(20), Filament([[2, 5], [14, 5]]), 3)
        >>> strip.to_micrograph([[1, 4], [2, 4]]).tolist()
        [[6.0, 5.0], [6.0, 4.0]]
        """
        rows, cols = np.asarray(points, np.float64).reshape(-1, 2).T
        middle, tangent = self.filament.at(cols)
        return np.asarray(middle + (rows - self.middle_row)[:, None] * _across(tangent))

    def to_strip(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return where points (n, 2) of the micrograph lie on the strip, both (row, col).

        The nearest place of the centreline counts; where it bends sharply, points far from it have
        several.
        """
        places = np.asarray(points, np.float64).reshape(-1, 2)
        arcs, tree = self._sampled
        along = arcs[tree.query(places)[1]]
        for _ in range(NEWTON_STEPS):
            middle, tangent = self.filament.at(along)
            away = places - middle
            bend = self.filament.curvature(along) * (away * _across(tangent)).sum(axis=1)
            # the curve's own turn makes the foot point move faster or slower than the point
            along = along + (away * tangent).sum(axis=1) / np.clip(1 + bend, 0.3, 3)
        middle, tangent = self.filament.at(along)
        off = ((places - middle) * _across(tangent)).sum(axis=1)
        return np.stack([off + self.middle_row, along], axis=1)

    @cached_property
    def _sampled(self) -> tuple[NDArray[np.float64], cKDTree]:
        margin = float(self.pixels.shape[0])  # straight on beyond the ends
        arcs = np.arange(-margin, self.filament.length_px + margin, 1.0)
        return arcs, cKDTree(self.filament.at(arcs)[0])


def straighten(image: Any, filament: Filament, width_px: float) -> Strip:
    """Return the image along a filament, read between its pixels on lines across it.

    A straight filament along a row is copied exactly; beyond the border the image goes on as it
    ends there.

    Parameters
    ----------
    image : (y, x)
        Pixels of any real type.
    filament : Filament
    width_px : float
        Width of the strip; it gets as many whole rows.

    Raises
    ------
    CellsegError
        If the image is no plane, or the width is below one pixel.

    Examples
    --------
    >>> image = np.arange(40.0).reshape(5, 8)
    >>> straighten(image, Filament([[2, 1], [2, 6]]), 3).pixels[:, :2]
    array([[ 9., 10.],
           [17., 18.],
           [25., 26.]], dtype=float32)
    """
    pixels = np.asarray(image)
    if pixels.ndim != 2:
        raise CellsegError(f"an image of shape {pixels.shape}", "(y, x)", "choose a channel")
    rows = round(width_px)
    if rows < 1:
        raise CellsegError(f"a strip {width_px:g} px wide", "at least 1 px")
    middle, tangent = filament.at(np.arange(int(filament.length_px + 1e-6) + 1.0))
    off = np.arange(rows) - (rows - 1) / 2
    places = middle.T[:, None, :] + off[None, :, None] * _across(tangent).T[:, None, :]
    top, left = (max(0, int(axis.min())) for axis in places)
    bottom, right = (int(np.ceil(axis.max())) + 2 for axis in places)
    region = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    if 0 in region.shape:
        raise CellsegError(f"filament {filament.id} outside of the image", "one within it")
    places -= np.array([top, left])[:, None, None]
    strip = ndimage.map_coordinates(
        region.astype(np.float32, copy=False), places, np.float32, order=1, mode="nearest"
    )
    return Strip(strip, filament)


def _across(tangent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction (n, 2) of the strip's rows: along columns it is down."""
    return tangent[:, ::-1] * [1.0, -1.0]
