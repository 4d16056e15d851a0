"""How well points are found: each found one matches at most one true one, and the other way round."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree

SAME_SITE = 0.25
"""Points of a filament closer than this share of the expected spacing count as one site."""


@dataclass(frozen=True)
class PointScores:
    """Found points against true ones.

    Attributes
    ----------
    found, true : int
        How many there are.
    matched : int
        Pairs of them that are at most as far apart as the tolerance; the most there can be.
    """

    found: int
    true: int
    matched: int

    @property
    def precision(self) -> float | None:
        """Share of the found points that are true."""
        return self.matched / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """Share of the true points that were found."""
        return self.matched / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both; None where there are neither found nor true points.

        Examples
        --------
        >>> PointScores(found=4, true=2, matched=2).f1
        0.6666666666666666
        """
        both = self.found + self.true
        return 2 * self.matched / both if both else None

    def __add__(self, other: "PointScores") -> "PointScores":
        return PointScores(self.found + other.found, self.true + other.true, self.matched + other.matched)


def point_scores(found: ArrayLike, true: ArrayLike, *, tolerance_px: float) -> PointScores:
    """Return how well points (n, 2) were found.

    Parameters
    ----------
    found, true : (n, 2), (m, 2)
        Rows and columns in pixels of the same image.
    tolerance_px : float
        How far a found point may be from the true one it matches.

    Examples
    --------
    >>> point_scores([[0, 0], [0, 1], [9, 9]], [[0, 2]], tolerance_px=3)
    PointScores(found=3, true=1, matched=1)
    """
    here, there = (np.asarray(points, np.float64).reshape(-1, 2) for points in (found, true))
    if not len(here) or not len(there):
        return PointScores(len(here), len(there), 0)
    near = cKDTree(here).query_ball_tree(cKDTree(there), tolerance_px)
    rows = np.repeat(np.arange(len(here)), [len(one) for one in near])
    cols = np.array([place for one in near for place in one], np.intp)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, cols)), (len(here), len(there))).tocsr()
    return PointScores(len(here), len(there), int((maximum_bipartite_matching(graph) >= 0).sum()))


def spacings(
    owners: Sequence[int] | NDArray[np.int64], arcs: ArrayLike, expected: float
) -> NDArray[np.float64]:
    """Return the distances from each site to the next along all filaments.

    Points on either strand that lie side by side are one site, in their middle.

    Parameters
    ----------
    owners : (n,) int
        Number of each point's filament; points of none (0) are left out.
    arcs : (n,)
        Place along it, in any unit.
    expected : float
        Known spacing in that unit: points closer than a quarter of it are one site.

    Examples
    --------
    >>> spacings([1, 1, 1, 2, 0], [0.0, 3.0, 41.5, 7.0, 9.0], 38.5).tolist()
    [40.0]
    """
    numbers, places = np.asarray(owners), np.asarray(arcs, np.float64)
    distances = [np.empty(0)]
    for number in np.unique(numbers[numbers > 0]):
        along = np.sort(places[numbers == number])
        site = np.concatenate([[0], np.cumsum(np.diff(along) >= SAME_SITE * expected)])
        distances.append(np.diff(np.bincount(site, along) / np.bincount(site)))
    return np.concatenate(distances)
