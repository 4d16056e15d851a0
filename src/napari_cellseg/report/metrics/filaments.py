"""How well whole filaments are found: one traced path for each true one.

Notation: t true filaments, p traced ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.filament import Filament

WHOLE_SHARE = 0.8  # of a true filament's length, covered by one traced path
STEP_PX = 1.0


@dataclass(frozen=True)
class FilamentScores:
    """Traced filaments against true ones.

    Attributes
    ----------
    filaments, traced : int
        How many there are.
    whole : int
        True filaments of which one traced path, matched to no other, covers 80 % of the length.
    pieces : int
        Traced paths that lie mostly on a true filament.
    seen : int
        True filaments with at least one such path.
    spurious : int
        Traced paths that lie mostly on none.
    coverage : (t,) float64
        Share of each true filament's length that its matched path covers.
    error_px : (n,) float64
        Distances of the points of matched paths, one a pixel, from their true filament; those
        further than the tolerance are left out.
    """

    filaments: int
    traced: int
    whole: int
    pieces: int
    seen: int
    spurious: int
    coverage: NDArray[np.float64]
    error_px: NDArray[np.float64]

    @property
    def whole_share(self) -> float | None:
        """Share of the true filaments that are found as one piece."""
        return self.whole / self.filaments if self.filaments else None

    @property
    def fragments_per_filament(self) -> float | None:
        """Traced paths on a true filament, where there are any."""
        return self.pieces / self.seen if self.seen else None

    @property
    def median_error_px(self) -> float | None:
        """Median of the distances."""
        return float(np.median(self.error_px)) if len(self.error_px) else None


def filament_scores(
    traced: Sequence[Filament], true: Sequence[Filament], *, tolerance_px: float
) -> FilamentScores:
    """Return how well filaments were traced.

    A true filament is matched with at most one traced path and the other way round, so that the
    length covered by all matches is largest.

    Parameters
    ----------
    traced, true : sequence of Filament
    tolerance_px : float
        How far from the true centreline a path may lie to cover it.

    Examples
    --------
    >>> true = [Filament([[5, 0], [5, 100]])]
    >>> broken = [Filament([[5, 0], [5, 40]]), Filament([[6, 50], [6, 100]])]
    >>> scores = filament_scores(broken, true, tolerance_px=2)
    >>> scores.whole, scores.fragments_per_filament, scores.coverage.round(2).tolist()
    (0, 2.0, [0.51])
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import cKDTree

    found, wanted = [_points(one) for one in traced], [_points(one) for one in true]
    found_trees, wanted_trees = [cKDTree(points) for points in found], [cKDTree(points) for points in wanted]
    covered = np.zeros((len(true), len(traced)))  # true length near a traced path
    lying = np.zeros((len(true), len(traced)))  # share of a traced path near a true one
    for t, target in enumerate(wanted):
        for p, points in enumerate(found):
            if not _boxes_meet(target, points, tolerance_px):
                continue
            covered[t, p] = np.isfinite(_distance(found_trees[p], target, tolerance_px)).mean()
            lying[t, p] = np.isfinite(_distance(wanted_trees[t], points, tolerance_px)).mean()
    length = np.array([one.length_px for one in true])
    rows, cols = linear_sum_assignment(-covered * length[:, None])
    coverage = np.zeros(len(true))
    coverage[rows] = covered[rows, cols]
    errors = [
        _error(wanted_trees[t], true[t], found[p], tolerance_px)
        for t, p in zip(rows, cols, strict=True)
        if covered[t, p]
    ]
    error_px = np.concatenate([np.empty(0), *errors])
    on = lying.max(axis=0, initial=0) >= 0.5
    owners = lying.argmax(axis=0)[on] if len(true) else np.empty(0, np.intp)
    return FilamentScores(
        len(true),
        len(traced),
        int((coverage >= WHOLE_SHARE).sum()),
        int(on.sum()),
        len(np.unique(owners)),
        int((~on).sum()),
        coverage,
        error_px,
    )


def _points(filament: Filament) -> NDArray[np.float64]:
    return filament.resampled(STEP_PX).path


def _distance(tree: Any, points: NDArray[np.float64], farthest: float) -> NDArray[np.float64]:
    """Return the distance (n,) of points from a path; infinite where it is more than `farthest`."""
    # the query leaves out what is exactly as far as its bound
    distance, _ = tree.query(points, distance_upper_bound=np.nextafter(farthest, np.inf))
    return np.asarray(distance)


def _error(tree: Any, true: Filament, points: NDArray[np.float64], farthest: float) -> NDArray[np.float64]:
    """Return how far points lie beside a true filament, those within the tolerance."""
    distance, nearest = tree.query(points, distance_upper_bound=np.nextafter(farthest, np.inf))
    near = np.isfinite(distance)
    # the nearest of points a pixel apart is up to half a pixel further on: only what is across counts
    arcs = np.linspace(0, true.length_px, tree.n)[nearest[near]]
    middle, tangent = true.at(arcs)
    away = points[near] - middle
    return np.asarray(np.abs(away[:, 0] * tangent[:, 1] - away[:, 1] * tangent[:, 0]))


def _boxes_meet(one: NDArray[np.float64], other: NDArray[np.float64], margin: float) -> bool:
    return bool(
        (one.min(axis=0) - margin <= other.max(axis=0)).all()
        and (other.min(axis=0) - margin <= one.max(axis=0)).all()
    )
