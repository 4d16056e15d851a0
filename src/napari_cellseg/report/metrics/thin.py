"""How well thin structures are found: their centrelines, gaps and fragments.

Overlap alone hardly notices a filament that is broken or a little too thin. All here comes
from lengths that add up over images.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.report.metrics.centrelines import Centreline, centreline_along, centreline_of, near
from napari_cellseg.report.metrics.figures import ratio
from napari_cellseg.report.metrics.thinning import edge_of

LENGTHS = (
    "skeleton_px",  # points of the true skeleton ...
    "skeleton_covered_px",  # ... that lie in the predicted mask
    "predicted_skeleton_px",
    "predicted_skeleton_covered_px",  # ... in the true mask
    "length_px",  # of the true centreline ...
    "length_matched_px",  # ... near the predicted centreline
    "length_reached_px",  # ... near the predicted mask
    "predicted_length_px",
    "predicted_length_matched_px",  # ... near the true centreline
    "filaments",
    "filaments_found",
    "fragments",
)
FOUND_SHARE = 0.5  # of its length reached; less may be those that cross it
LEAST_TOLERANCE_PX = 1.0


def thin_lengths(
    predicted: NDArray[np.bool_],
    true: NDArray[np.bool_],
    annotated: NDArray[np.bool_],
    *,
    tolerance_px: float | None = None,
    filaments: Sequence[Any] | None = None,
) -> tuple[dict[str, float], float | None]:
    """Return the lengths and numbers that the figures of thin structures are made of.

    What is predicted or drawn where nothing is annotated counts neither for nor against.

    Parameters
    ----------
    predicted, true : (y, x) bool
        Pixels of the class.
    annotated : (y, x) bool
        Pixels that count.
    tolerance_px : float, optional
        How far a centreline may be off; by default half the width of the true structure, at
        least 1 px: the median distance from its skeleton to its edge.
    filaments : sequence of (n, 2), optional
        True paths (row, col); by default the pieces of the true skeleton between junctions,
        without those shorter than twice the tolerance.

    Returns
    -------
    lengths : dict
        One number for each of `LENGTHS`.
    tolerance_px : float or None
        What was used; None if there is nothing true to say it.

    Examples
    --------
    >>> mask = np.zeros((9, 30), bool)
    >>> mask[3:6, 2:28] = True
    >>> broken = mask.copy()
    >>> broken[:, 10:20] = False
    >>> lengths, _ = thin_lengths(broken, mask, np.ones_like(mask), tolerance_px=2)
    >>> lengths["filaments"], lengths["fragments"], lengths["length_px"] - lengths["length_reached_px"]
    (1, 2, 6.0)
    """
    predicted, true = predicted & annotated, true & annotated
    ours, skeleton = centreline_of(predicted), centreline_of(true)
    axis = skeleton if filaments is None else centreline_along(filaments, annotated)
    if tolerance_px is None and len(axis.points):
        tolerance_px = _half_width(skeleton, true)
    within = tolerance_px or 0.0
    if filaments is None:
        axis = axis.without_short(2 * within)
    matched = near(axis.points, ours.points, within)
    edge = np.argwhere(edge_of(predicted)).astype(np.float64)  # nearest to what lies outside of the mask
    reached = _inside(axis.points, predicted) | near(axis.points, edge, within)
    right = near(ours.points, axis.points, within)
    found = _found(axis, reached)
    lengths = {
        "skeleton_px": len(skeleton.points),
        "skeleton_covered_px": int(_inside(skeleton.points, predicted).sum()),
        "predicted_skeleton_px": len(ours.points),
        "predicted_skeleton_covered_px": int(_inside(ours.points, true).sum()),
        "length_px": float(axis.length_px.sum()),
        "length_matched_px": float(axis.length_px[matched].sum()),
        "length_reached_px": float(axis.length_px[reached].sum()),
        "predicted_length_px": float(ours.length_px.sum()),
        "predicted_length_matched_px": float(ours.length_px[right].sum()),
        "filaments": axis.filaments,
        "filaments_found": int(found.sum()),
        "fragments": axis.pieces(reached & np.append(found, False)[axis.filament]),
    }
    return lengths, tolerance_px


def thin_figures(lengths: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Return the figures of lengths (r,), or of sums of them over images.

    Examples
    --------
    >>> ones = {name: np.ones(1) for name in LENGTHS} | {"length_px": np.array([4.0])}
    >>> figures = thin_figures(ones)
    >>> figures["gap_rate"], figures["centreline_recall"], figures["cl_dice"]
    (array([0.75]), array([0.25]), array([1.]))
    """
    inside = ratio(lengths["predicted_skeleton_covered_px"], lengths["predicted_skeleton_px"])
    covered = ratio(lengths["skeleton_covered_px"], lengths["skeleton_px"])
    precision = ratio(lengths["predicted_length_matched_px"], lengths["predicted_length_px"])
    recall = ratio(lengths["length_matched_px"], lengths["length_px"])
    return {
        "cl_dice": _harmonic(inside, covered),
        "centreline_precision": precision,
        "centreline_recall": recall,
        "centreline_f1": _harmonic(precision, recall),
        "gap_rate": 1 - ratio(lengths["length_reached_px"], lengths["length_px"]),
        "fragments_per_filament": ratio(lengths["fragments"], lengths["filaments_found"]),
    }


def _harmonic(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the harmonic mean; 0 where one side has nothing at all and the other has."""
    neither = np.isnan(first) & np.isnan(second)
    first, second = np.nan_to_num(first), np.nan_to_num(second)
    mean = np.nan_to_num(ratio(2 * first * second, first + second))
    return np.where(neither, np.nan, mean)


def _half_width(skeleton: Centreline, true: NDArray[np.bool_]) -> float:
    from scipy.spatial import cKDTree

    if not len(skeleton.points):
        return LEAST_TOLERANCE_PX
    distance, _ = cKDTree(np.argwhere(edge_of(true))).query(skeleton.points)
    return max(LEAST_TOLERANCE_PX, float(np.median(distance)) + 0.5)  # edge pixels have their width as well


def _inside(points: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, cols = np.rint(points).astype(np.intp).T
    inside: NDArray[np.bool_] = mask[rows, cols]
    return inside


def _found(axis: Centreline, reached: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each filament whether enough of its length is reached."""
    on = axis.filament >= 0
    owner, length = axis.filament[on], axis.length_px[on]
    whole = np.bincount(owner, length, minlength=axis.filaments)
    part = np.bincount(owner, length * reached[on], minlength=axis.filaments)
    share: NDArray[np.bool_] = part >= FOUND_SHARE * whole
    return share
