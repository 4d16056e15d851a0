"""The skeleton of a mask as a graph: branches between junctions and ends.

Notation: b branches, n points of a branch. The skeleton is taken of a smaller copy of the
mask, some 10 to 20 pixels across a filament: that is several times faster, and ragged edges
leave no spurs. Places come back in pixels of the mask; `objects.centrelines` refines them there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_cellseg.objects.runs import Run, runs_of

EIGHT = np.ones((3, 3), np.uint8)
PRUNE_ROUNDS = 4
SMOOTH_WIDTHS = 0.08  # probabilities are blurred by this
SPUR_WIDTHS = 0.75  # a dead end this short is the corner of a filament's end, or a ragged edge


@dataclass(frozen=True)
class Branch:
    """A run of skeleton points without a junction inside.

    Attributes
    ----------
    points : (n, 2) float64
        (row, col) in pixels of the mask.
    half_width : (n,) float64
        Distance from the point to the edge of the mask in pixels.
    junctions : (2,) int
        Number of the junction beyond the first and the last point; -1 where the mask ends.
    closed : bool
        A ring without any junction.
    """

    points: NDArray[np.float64]
    half_width: NDArray[np.float64]
    junctions: tuple[int, int]
    closed: bool = False

    @property
    def length_px(self) -> float:
        """Length along the points."""
        return float(np.hypot(*np.diff(self.points, axis=0).T).sum())


@dataclass(frozen=True)
class Skeleton:
    """Branches of a mask, and where they meet.

    Attributes
    ----------
    branches : tuple of Branch
    junctions : (j, 2) float64
        (row, col) of the junctions in pixels of the mask.
    reduction : int
        Mask pixels along a pixel the skeleton was taken on.
    means : (y, x) float32
        Of the mask or the probabilities, the mean in each of these.
    """

    branches: tuple[Branch, ...]
    junctions: NDArray[np.float64]
    reduction: int
    means: NDArray[np.float32]


def mean_width(mask: NDArray[np.bool_]) -> float:
    """Return about how wide long thin things are, in pixels: twice their area over their outline.

    Examples
    --------
    >>> mask = np.zeros((100, 400), bool)
    >>> mask[20:28] = mask[60:68] = True
    >>> round(mean_width(mask))
    10
    """
    area = int(np.count_nonzero(mask))
    steps = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    if not steps:
        return float("inf") if area else 0.0
    return 2 * area / (steps * np.pi / 4)  # pi / 4: lines in all directions, counted along rows and columns


def skeleton_graph(plane: NDArray[Any], threshold: float, width_px: float) -> Skeleton:
    """Return the branches of the skeleton of what is likely a filament, without spurs.

    Beyond the border the plane is taken to go on as it leaves, so that a filament that leaves
    the field keeps its middle to the last row.

    Parameters
    ----------
    plane : (y, x)
        Probabilities or a mask.
    threshold : float
        Value of the plane at the edge of a filament.
    width_px : float
        About the width of a filament.
    """
    factor = reduction(width_px)
    means = _block_means(plane, factor, width_px)
    margin = int(np.ceil(width_px / factor)) + 1
    small = _tidied(means >= threshold, width_px / factor)
    padded = np.pad(np.pad(small, margin, mode="edge"), 1)
    thin = _thinned(padded)
    distance = np.asarray(ndimage.distance_transform_edt(padded), np.float64)
    inside = np.zeros_like(thin)
    inside[margin + 1 : -margin - 1, margin + 1 : -margin - 1] = True
    thin &= inside
    runs, middles = runs_of(thin)
    for _ in range(PRUNE_ROUNDS):
        spurs = _spurs(runs, middles, distance)
        if not len(spurs):
            break
        thin[spurs[:, 0], spurs[:, 1]] = False
        thin = _thinned(thin)
        runs, middles = runs_of(thin)

    def placed(pixels: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray((pixels - margin - 1 + 0.5) * factor - 0.5, np.float64)

    return Skeleton(
        tuple(
            Branch(
                placed(pixels),
                (distance[pixels[:, 0], pixels[:, 1]] - 0.5) * factor,
                ends,
                closed,
            )
            for pixels, ends, closed in runs
        ),
        placed(middles),
        factor,
        means,
    )


def reduction(width_px: float) -> int:
    """Return how many pixels along may become one with filaments this wide.

    Gaps between filaments narrower than this close, so it stays small; only what is far too
    wide for a filament is looked at more coarsely.

    Examples
    --------
    >>> [reduction(width) for width in (5, 20, 73, 900)]
    [1, 2, 4, 28]
    """
    return max(1, min(4, int(width_px / 8)), int(width_px / 32) if width_px > 128 else 1)


def _block_means(plane: NDArray[Any], factor: int, width_px: float) -> NDArray[np.float32]:
    """Return the means of blocks of `factor` pixels a side; of probabilities a little blurred."""
    rows, cols = (-(-side // factor) for side in plane.shape)
    if plane.shape != (rows * factor, cols * factor):
        lacking = [(0, rows * factor - plane.shape[0]), (0, cols * factor - plane.shape[1])]
        plane = np.pad(plane, lacking, mode="edge")
    plane = plane.view(np.uint8) if plane.dtype == bool else plane
    kind = np.uint16 if plane.dtype == np.uint8 else np.float32
    total = plane
    if factor > 1:
        # row by row first: whole rows are added at memory speed
        bands = plane.reshape(rows, factor, cols * factor)
        band = bands.sum(axis=1, dtype=kind)
        total = band.reshape(rows, cols, factor).sum(axis=2, dtype=kind)
    if kind is np.float32:  # probabilities are less even than what a person draws
        total = ndimage.gaussian_filter(total, SMOOTH_WIDTHS * width_px / factor, mode="nearest")
    return np.asarray(total, np.float32) / np.float32(factor**2)


def _tidied(mask: NDArray[np.bool_], width: float) -> NDArray[np.bool_]:
    """Return the mask without specks and pinholes, both small beside a filament's width."""
    tidy = mask.copy()
    for value, largest in ((False, 0.1 * width**2), (True, 0.5 * width**2)):
        numbered, count = ndimage.label(tidy == value, None if not value else EIGHT)
        size = np.bincount(numbered.ravel(), minlength=count + 1)
        small = size < largest
        small[0] = False
        if small.any():
            tidy[small[numbered]] = not value
    return tidy


def _thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(skeletonize(mask), np.bool_)  # type: ignore[no-untyped-call]


def _spurs(runs: list[Run], middles: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the pixels (n, 2) of dead ends that are short beside the width where they begin."""
    spurs = [np.empty((0, 2), np.intp)]
    for pixels, ends, closed in runs:
        if closed or (ends[0] < 0) == (ends[1] < 0):
            continue
        row, col = np.rint(middles[max(ends)]).astype(int)
        tip = pixels[-1] if ends[0] >= 0 else pixels[0]
        if np.hypot(*(tip - middles[max(ends)])) < SPUR_WIDTHS * 2 * distance[row, col]:
            spurs.append(pixels)
    return np.concatenate(spurs)
