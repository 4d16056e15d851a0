"""Two plain ways of tracing, to compare ours with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.objects.centrelines import Centreline
from napari_cellseg.objects.skeleton import skeleton_graph

HOUGH_SEED = 0
HOUGH_VOTES = 10


def skeleton_branches(
    plane: NDArray[Any],
    threshold: float,
    *,
    width_px: float,
    gap_px: float,
    image: NDArray[Any] | None = None,
) -> list[Centreline]:
    """Return the branches of the skeleton, each by itself: every crossing ends a filament."""
    skeleton = skeleton_graph(plane, threshold, width_px)
    return [
        Centreline(branch.points, 2 * float(np.median(branch.half_width)))
        for branch in skeleton.branches
        if len(branch.points) > 1
    ]


def hough_lines(
    plane: NDArray[Any],
    threshold: float,
    *,
    width_px: float,
    gap_px: float,
    image: NDArray[Any] | None = None,
) -> list[Centreline]:
    """Return straight lines of the skeleton, found by a probabilistic Hough transform.

    See Galamhos, Matas and Kittler (1999), doi:10.1109/CVPR.1999.786993.
    """
    from skimage.transform import probabilistic_hough_line

    skeleton = skeleton_graph(plane, threshold, width_px)
    factor = skeleton.reduction
    thin = np.zeros([-(-side // factor) for side in plane.shape], bool)
    for branch in skeleton.branches:
        rows, cols = np.rint((branch.points + 0.5) / factor - 0.5).astype(np.intp).T
        thin[rows, cols] = True
    lines = probabilistic_hough_line(  # type: ignore[no-untyped-call]
        thin,
        threshold=HOUGH_VOTES,
        line_length=max(2, round(3 * width_px / factor)),
        line_gap=max(1, round(max(width_px, gap_px) / factor)),
        rng=HOUGH_SEED,
    )
    ends = [np.array([(row, col) for col, row in line], np.float64) for line in lines]
    return [Centreline((points + 0.5) * factor - 0.5, width_px) for points in ends]
