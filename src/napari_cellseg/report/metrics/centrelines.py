"""Centrelines as points with links between neighbours, from masks or from paths.

Notation: n points, m links.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.metrics.thinning import skeleton_of

_HALF_PLANE = ((0, 1), (1, 0), (1, 1), (1, -1))  # each pair of neighbours once


@dataclass(frozen=True)
class Centreline:
    """Points along the middle of thin structures.

    Attributes
    ----------
    points : (n, 2) float64
        (row, col) in pixels.
    links : (m, 2) int
        Indices of points that follow each other.
    length_px : (n,) float64
        Half of the links at either side; 1 for a point of its own.
    filament : (n,) int
        The filament a point belongs to, from 0 on; -1 for junctions and for what is too short
        to be one.
    """

    points: NDArray[np.float64]
    links: NDArray[np.intp]
    length_px: NDArray[np.float64]
    filament: NDArray[np.intp]

    @property
    def filaments(self) -> int:
        """Number of filaments."""
        return int(self.filament.max(initial=-1)) + 1

    def pieces(self, chosen: NDArray[np.bool_]) -> int:
        """Return in how many connected pieces the chosen points (n,) of filaments lie."""
        return int(_components(len(self.points), self.links, chosen & (self.filament >= 0))[0])

    def without_short(self, shortest_px: float) -> "Centreline":
        """Return the same with what is shorter than this no longer taken for filaments."""
        on = self.filament >= 0
        length = np.bincount(self.filament[on], self.length_px[on], minlength=self.filaments)
        kept = length >= shortest_px
        number = np.where(kept, np.cumsum(kept) - 1, -1)
        filament = np.full_like(self.filament, -1)
        filament[on] = number[self.filament[on]]
        return Centreline(self.points, self.links, self.length_px, filament)


def centreline_of(mask: NDArray[np.bool_]) -> Centreline:
    """Return the centreline of a mask: its skeleton.

    A filament is a connected piece of it after its junctions (points with three or more links)
    are taken out.

    Parameters
    ----------
    mask : (y, x) bool

    Examples
    --------
    >>> plus = np.zeros((9, 9), bool)
    >>> plus[4, 1:8] = plus[1:8, 4] = True
    >>> line = centreline_of(plus)
    >>> line.filaments, len(line.points), int((line.filament < 0).sum())
    (4, 13, 1)
    """
    skeleton = np.pad(skeleton_of(mask), 1)
    points = np.argwhere(skeleton)
    links = _neighbours(skeleton, points)
    degree = np.bincount(links.ravel(), minlength=len(points))
    _, filament = _components(len(points), links, degree < 3)
    return Centreline(
        (points - 1).astype(np.float64), links, _lengths(points.astype(np.float64), links), filament
    )


def centreline_along(paths: Sequence[Any], seen: NDArray[np.bool_]) -> Centreline:
    """Return the centreline that paths give, each a filament, as points about 1 px apart.

    Parameters
    ----------
    paths : sequence of (n, 2)
        Points (row, col) in pixels, in order.
    seen : (y, x) bool
        Points elsewhere, or outside of the plane, are left out.

    Raises
    ------
    CellsegError
        If a path is no (n, 2) array of finite numbers.

    Examples
    --------
    >>> line = centreline_along([np.array([[1, 0], [1, 4]])], np.ones((3, 3), bool))
    >>> line.points.tolist(), line.filaments
    ([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], 1)
    """
    points, length, owner = [np.empty((0, 2))], [np.empty(0)], [np.empty(0, np.intp)]
    count = 0
    for path in paths:
        fine = _resampled(_checked(path))
        visible = _visible(fine, seen)
        points.append(fine[visible])
        length.append(_lengths(fine, _chain(np.zeros(len(fine), np.intp)))[visible])
        owner.append(np.full(visible.sum(), count, np.intp))
        count += bool(visible.any())
    filament = np.concatenate(owner)
    # what is left out breaks no filament: the points at either side of it follow each other
    return Centreline(np.concatenate(points), _chain(filament), np.concatenate(length), filament)


def near(points: NDArray[np.float64], others: NDArray[np.float64], tolerance_px: float) -> NDArray[np.bool_]:
    """Return which points (n, 2) have one of the others (m, 2) within the tolerance, itself included.

    Examples
    --------
    >>> near(np.array([[0.0, 0.0], [0.0, 9.0]]), np.array([[3.0, 4.0]]), 5)
    array([ True, False])
    """
    from scipy.spatial import cKDTree

    if not len(points) or not len(others):
        return np.zeros(len(points), np.bool_)
    # millions of points of noise: 2.5 s instead of 6 for a micrograph
    tree = cKDTree(others, balanced_tree=False, compact_nodes=False)
    # the query leaves out what is exactly as far as its bound
    distance, _ = tree.query(points, distance_upper_bound=tolerance_px * 1.01 + 0.01)
    found: NDArray[np.bool_] = distance <= tolerance_px
    return found


def _neighbours(skeleton: NDArray[np.bool_], points: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return links between 8-neighbours; a diagonal only where no other point bridges it."""
    number = np.full(skeleton.shape, -1, np.int32)
    rows, cols = points.T
    number[rows, cols] = np.arange(len(points))
    links = [np.empty((0, 2), np.intp)]
    for down, across in _HALF_PLANE:
        other = number[rows + down, cols + across]
        linked = other >= 0
        if down and across:
            linked &= ~skeleton[rows + down, cols] & ~skeleton[rows, cols + across]
        links.append(np.stack([np.flatnonzero(linked), other[linked]], axis=1))
    return np.concatenate(links)


def _chain(owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return links from each point (n,) to the next of the same owner."""
    start = np.flatnonzero(owner[1:] == owner[:-1])
    return np.stack([start, start + 1], axis=1)


def _lengths(points: NDArray[np.float64], links: NDArray[np.intp]) -> NDArray[np.float64]:
    half = np.linalg.norm(points[links[:, 0]] - points[links[:, 1]], axis=1) / 2
    length = np.bincount(links.ravel(), np.repeat(half, 2), minlength=len(points)).astype(np.float64)
    alone = np.bincount(links.ravel(), minlength=len(points)) == 0
    length[alone] = 1
    return length


def _components(
    count: int, links: NDArray[np.intp], chosen: NDArray[np.bool_]
) -> tuple[int, NDArray[np.intp]]:
    """Return how many connected pieces the chosen points (n,) form, and whose each is (-1: not chosen)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number = np.cumsum(chosen) - 1
    within = number[links[chosen[links].all(axis=1)]]
    total = int(chosen.sum())
    piece = np.full(count, -1, np.intp)
    if not total:
        return 0, piece
    graph = coo_array((np.ones(len(within), np.int8), (within[:, 0], within[:, 1])), (total, total))
    pieces, piece[chosen] = connected_components(graph, directed=False)
    return pieces, piece


def _checked(path: Any) -> NDArray[np.float64]:
    points = np.asarray(path, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise CellsegError(f"a filament of shape {points.shape}", "(n, 2) finite numbers: row, col")
    return points


def _resampled(path: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])[: len(path)]
    if len(path) < 2 or along[-1] == 0:
        return path[:1]
    places = np.linspace(0, along[-1], round(along[-1]) + 1) if along[-1] >= 1 else along[[0, -1]]
    return np.stack([np.interp(places, along, column) for column in path.T], axis=1)


def _visible(points: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, cols = np.rint(points).astype(np.intp).T
    inside: NDArray[np.bool_] = (rows >= 0) & (rows < seen.shape[0]) & (cols >= 0) & (cols < seen.shape[1])
    inside[inside] = seen[rows[inside], cols[inside]]
    return inside
