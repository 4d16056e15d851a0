"""The pixels of a skeleton as runs between its junctions."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Run = tuple[NDArray[np.intp], tuple[int, int], bool]


def runs_of(thin: NDArray[np.bool_]) -> tuple[list[Run], NDArray[np.float64]]:
    """Return the runs of skeleton pixels between junctions and ends, and the middles of the junctions.

    Parameters
    ----------
    thin : (y, x) bool
        A skeleton.

    Returns
    -------
    runs : list of (pixels, junctions, closed)
        Pixels (n, 2) in order; the numbers of the junctions beyond the first and the last, -1 for
        none; whether it is a ring, whose first pixel is repeated at the end.
    middles : (j, 2) float64

    Examples
    --------
    >>> plus = np.zeros((7, 7), bool)
    >>> plus[3, 1:6] = plus[1:6, 3] = True
    >>> runs, middles = runs_of(plus)
    >>> len(runs), [len(pixels) for pixels, *_ in runs], middles.tolist()
    (4, [2, 2, 2, 2], [[3.0, 3.0]])
    """
    points = np.argwhere(thin)
    links = _links(thin, points)
    degree = np.bincount(links.ravel(), minlength=len(points))
    crowded = degree > 2
    among = links[crowded[links].all(axis=1)]
    junction = np.full(len(points), -1, np.intp)
    number = np.cumsum(crowded) - 1
    total = int(crowded.sum())
    graph = coo_array(
        (np.ones(len(among), np.int8), (number[among[:, 0]], number[among[:, 1]])), (total, total)
    )
    count, junction[crowded] = connected_components(graph, directed=False) if total else (0, [])
    size = np.bincount(junction[crowded], minlength=count)
    middles = np.stack(
        [
            np.bincount(junction[crowded], points[crowded, axis], minlength=count) / np.maximum(size, 1)
            for axis in (0, 1)
        ],
        axis=1,
    )
    neighbours: list[list[int]] = [[] for _ in points]
    for one, other in links.tolist():
        neighbours[one].append(other)
        neighbours[other].append(one)
    return [
        _run(order, points, neighbours, junction, closed) for order, closed in _walks(neighbours, crowded)
    ], middles


def _run(
    order: list[int],
    points: NDArray[np.intp],
    neighbours: list[list[int]],
    junction: NDArray[np.intp],
    closed: bool,
) -> Run:
    ends = [-1, -1]
    if not closed:
        first = [int(junction[n]) for n in neighbours[order[0]] if junction[n] >= 0]
        last = [int(junction[n]) for n in neighbours[order[-1]] if junction[n] >= 0]
        if len(order) == 1:
            ends = [*first, -1, -1][:2]
        else:
            ends = [first[0] if first else -1, last[0] if last else -1]
    return points[order + order[:1] if closed else order], (ends[0], ends[1]), closed


def _walks(neighbours: list[list[int]], crowded: NDArray[np.bool_]) -> Iterator[tuple[list[int], bool]]:
    """Yield the points of each branch in order, and whether it is a ring."""
    inner = [[n for n in around if not crowded[n]] for around in neighbours]
    seen = crowded.copy()
    starts = [point for point, around in enumerate(inner) if len(around) < 2]
    for start in (*starts, *range(len(inner))):  # what is left after the open ones are rings
        if seen[start]:
            continue
        order, here = [start], start
        seen[start] = True
        while ahead := [n for n in inner[here] if not seen[n]]:
            here = ahead[0]
            seen[here] = True
            order.append(here)
        yield order, len(inner[start]) == 2 and len(order) > 2


def _links(thin: NDArray[np.bool_], points: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return pairs of neighbours (m, 2); a diagonal only where no other point bridges it."""
    thin = np.pad(thin, 1)
    number = np.full(thin.shape, -1, np.int32)
    rows, cols = points.T + 1
    number[rows, cols] = np.arange(len(points))
    links = [np.empty((0, 2), np.intp)]
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        other = number[rows + down, cols + across]
        linked = other >= 0
        if down and across:
            linked &= ~thin[rows + down, cols] & ~thin[rows, cols + across]
        links.append(np.stack([np.flatnonzero(linked), other[linked]], axis=1))
    return np.concatenate(links)
