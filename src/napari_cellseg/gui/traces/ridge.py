"""Drawing along a ridge: the cheapest way between two places, and on from an end of a filament."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.graph import route_through_array
from skimage.measure import block_reduce

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.correct import pixel_map
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.filament_edits import thinned
from napari_cellseg.objects.curves import evenly, normals_of, smoothed
from napari_cellseg.objects.profiles import middles, sampled
from napari_cellseg.objects.tracks import follow

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_cellseg.gui.traces.source import Source

MOST_PX = 300_000  # that a way is looked for in; larger regions are looked at coarser
DETOUR = 0.7  # of the distance, that a way may leave the rectangle around its ends
BACKGROUND = 0.1  # added to probabilities: a pixel off the filament costs about ten on it
WEAK = 0.5  # of the threshold: as faint as that a filament is followed on


@dataclass(frozen=True)
class Ridge:
    """Where filaments are, to draw along.

    Attributes
    ----------
    source : Source
        Probabilities or labels.
    base : Layer
        All places are (row, col) in pixels of this layer.
    threshold : float
        Of probabilities: the value at the edge of a filament.
    """

    source: Source
    base: Layer
    threshold: float

    def between(self, start: NDArray[np.float64], end: NDArray[np.float64], width_px: float) -> Filament:
        """Return the cheapest way from one place to another, on the middle of a filament where one is.

        Parameters
        ----------
        start, end : (2,)
        width_px : float
            About how wide the filament is.

        Raises
        ------
        CellsegError
            If a place lies outside of the plane, or both are the same.
        """
        to_base, width = self._to_base, width_px / self._grows
        ends = self._in_source(np.stack([start, end]))
        distance = float(np.hypot(*(ends[1] - ends[0])))
        if distance < 2:
            raise CellsegError("two ends at one place", "two places apart from each other")
        margin = DETOUR * distance + 2 * width
        plane, corner = self._region(ends.min(axis=0) - margin, ends.max(axis=0) + margin)
        ends = ends - corner
        if (ends < -0.5).any() or (ends > np.array(plane.shape) - 0.5).any():
            raise CellsegError("a place outside of the image", "two places within it", "click again")
        path = _centred(_cheapest(plane, ends, width), plane, width, self.threshold)
        drawn = Filament((path + corner) @ to_base[:, :2].T + to_base[:, 2], 1, width_px)
        return self.scored(thinned(drawn))

    def beyond(self, filament: Filament, end: int) -> Filament:
        """Return the filament with what follows of it beyond its first (0) or last (-1) point.

        Raises
        ------
        CellsegError
            If nothing follows.
        """
        to_base = self._to_base
        path = self._in_source(filament.path)
        path = path if end else path[::-1]
        width = (filament.width_px or 8.0 * self._grows) / self._grows
        plane, _ = self._region(np.zeros(2), np.array(self.source.shape, float))
        further: list[NDArray[np.float64]] = []
        point, way = (found[0] for found in Filament(path).at([Filament(path).length_px]))
        while True:
            track = follow(point[None], way[None], np.array([width]), plane, WEAK * self.threshold)
            seen = track.points[: track.last_seen[0] + 1, 0]
            seen = seen[np.isfinite(seen).all(axis=1)]
            if not track.last_seen[0] or np.hypot(*(seen[-1] - point)) < width / 2:
                break
            further.append(seen)
            point, way = seen[-1], track.directions[len(seen) - 1, 0]
            if sum(map(len, further)) > 100_000:
                break
        if not further:
            raise CellsegError(
                f"nothing follows beyond this end of filament {filament.id}",
                remedy="click where it should go to instead",
            )
        path = np.concatenate([path, *further]) @ to_base[:, :2].T + to_base[:, 2]
        return self.scored(thinned(Filament(path if end else path[::-1], filament.id, filament.width_px)))

    def scored(self, filament: Filament) -> Filament:
        """Return the filament with the mean probability along it as its score, as tracing gives it."""
        path = self._in_source(filament.at(np.arange(0, filament.length_px, 1.0))[0])
        plane, corner = self._region(path.min(axis=0) - 1, path.max(axis=0) + 1)
        return replace(filament, score=float(np.clip(sampled(plane, path - corner).mean(), 0, 1)))

    def _in_source(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        to_base = self._to_base
        return (places - to_base[:, 2]) @ np.linalg.inv(to_base[:, :2]).T

    @property
    def _to_base(self) -> NDArray[np.float64]:
        return pixel_map(self.source.layer, self.base)

    @property
    def _grows(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self._to_base[:, :2]))))

    def _region(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Return the plane between two corners, as far as there is one, and its first corner."""
        sides = np.array(self.source.shape)
        first = np.clip(np.floor(low), 0, sides - 1).astype(int)
        stop = np.clip(np.ceil(high) + 1, first + 1, sides).astype(int)
        region = slice(int(first[0]), int(stop[0])), slice(int(first[1]), int(stop[1]))
        return np.nan_to_num(self.source.plane(region).astype(np.float32)), first


def _cheapest(plane: NDArray[np.float32], ends: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return the points (n, 2) of the cheapest way, pixel by pixel."""
    coarse = max(1, ceil(sqrt(plane.size / MOST_PX)))
    small = block_reduce(plane, coarse, np.mean) if coarse > 1 else plane
    ridge = gaussian_filter(small, width / coarse / 4)  # highest in the middle, where a mask is flat
    places = np.clip(np.rint((ends + 0.5) / coarse - 0.5), 0, np.array(small.shape) - 1).astype(int)
    route, _ = route_through_array(1 / (BACKGROUND + ridge), *map(tuple, places))
    path = (np.array(route, np.float64) + 0.5) * coarse - 0.5
    return np.concatenate([ends[:1], path[1:-1], ends[1:]])


def _centred(
    path: NDArray[np.float64], plane: NDArray[np.float32], width: float, threshold: float
) -> NDArray[np.float64]:
    """Return a smooth path, halfway between the two edges of the filament where both are seen."""
    path = evenly(path, max(1.0, width / 4))
    blur = min(4.0, len(path) / 4)
    path = smoothed(path, np.ones(len(path), bool), blur)
    normals = normals_of(path)
    shift = middles([path], [normals], np.array([width]), plane, threshold)[0][0]
    seen = np.isfinite(shift) & (np.abs(shift) < width / 2)
    path = path + np.where(seen, shift, 0.0)[:, None] * normals
    seen[[0, -1]] = True
    return smoothed(path, seen, blur)
