"""Middles of filaments of which only one edge is free.

Where filaments lie side by side, or one ends upon another, `objects.segments` sees no stretch of
one filament alone. But along most of such a place one edge of each filament is an edge of the
mask, and its middle lies half a width within. The outline of the mask is cut at its corners
(where the edge of one filament meets that of another, or a tip begins); every smooth piece,
moved inwards, is a stretch of a middle. It takes filaments of one width; where they are of
several, nothing is looked for.

Notation: n points of a piece of the outline.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_cellseg.objects.curves import arc, evenly, normals_of, tangents_of
from napari_cellseg.objects.profiles import first_below, sampled
from napari_cellseg.objects.segments import LEAST_POINTS, Segment, end_of

SPACING_WIDTHS = 0.1
BLUR_WIDTHS = 0.15  # of the outline
WINDOW_WIDTHS = 0.2  # to either side of a point, over which the outline turns
DENT, BULGE = 0.06, 0.12  # radians it turns there at a corner between filaments, and at a tip
TIP_BULGE, TIP_TURN = 0.3, 0.3  # radians, of the window at a tip, and in all
THICKEST_WIDTHS = 3.2  # what is thicker is no bundle of filaments
LEAST_WIDTHS = 1.0
KNOWN_WIDTHS, KNOWN_COSINE = 0.3, 0.9  # a middle so close to a known one, and along it, is the same
STEADY, STEADY_SHARE = 0.15, 0.8  # share of the length whose width is the usual one but for so much
MERGED = 1.25  # a stretch so much wider than usual is several filaments


def usual_width(segments: Sequence[Segment]) -> float | None:
    """Return the width in pixels that most of the length has; None if widths differ."""
    if not segments:
        return None
    width = np.array([one.width_px for one in segments])
    length = np.array([one.length_px for one in segments])
    order = np.argsort(width, kind="stable")
    middle = float(width[order][np.searchsorted(np.cumsum(length[order]), length.sum() / 2)])
    alike = np.abs(width / middle - 1) <= STEADY
    return middle if length[alike].sum() >= STEADY_SHARE * length.sum() else None


def with_edges(
    segments: list[Segment], means: NDArray[Any], factor: int, threshold: float
) -> tuple[list[Segment], NDArray[np.float64]]:
    """Return the segments that are one filament each, with those of which one edge is seen, and tips.

    Parameters
    ----------
    segments : list of Segment
        Those with both edges free.
    means : (y, x) float32
        Means of blocks of `factor` pixels a side.
    factor : int
    threshold : float
        Value at the edge of a filament.

    Returns
    -------
    segments : list of Segment
    tips : (t, 2) float64
        Where filaments end, as far as the outline shows it; nothing where widths differ.
    """
    width = usual_width(segments)
    if width is None:
        return segments, np.empty((0, 2))
    known = [one for one in segments if one.width_px < MERGED * width]
    pieces: list[NDArray[np.float64]] = []
    tips: list[NDArray[np.float64]] = []
    for outline in _outlines(means, factor, threshold, width):
        smooth, round_ = _middles(outline, means, factor, threshold, width)
        pieces += smooth
        tips += round_
    pieces.sort(key=lambda piece: -len(piece))
    return known + _not_known(pieces, known, width), np.array(tips).reshape(-1, 2)


def _not_known(pieces: list[NDArray[np.float64]], known: list[Segment], width: float) -> list[Segment]:
    """Return what of the pieces, the longest first, is not along a known segment or a piece before."""
    points = np.concatenate([one.points for one in known])
    along = np.concatenate([tangents_of(one.points) for one in known])
    added: list[Segment] = []
    for piece in pieces:
        direction = tangents_of(piece)
        distance, nearest = cKDTree(points).query(piece)
        new = distance > KNOWN_WIDTHS * width
        new |= np.abs((along[nearest] * direction).sum(axis=1)) < KNOWN_COSINE
        for run in _runs(new, closed=False):
            part = piece[run]
            if len(run) < LEAST_POINTS or arc(part)[-1] < LEAST_WIDTHS * width:
                continue
            ends = (end_of(part[::-1], width, width, True), end_of(part, width, width, True))
            added.append(Segment(part, width, ends))
            points = np.concatenate([points, part])
            along = np.concatenate([along, direction[run]])
    return added


def _outlines(
    means: NDArray[Any], factor: int, threshold: float, width: float
) -> list[tuple[NDArray[np.float64], bool]]:
    """Return the outlines of the mask in pixels, evenly spaced, and whether each is closed."""
    from skimage.measure import find_contours

    found = []
    for line in find_contours(means, threshold):  # type: ignore[no-untyped-call]
        closed = bool((line[0] == line[-1]).all())
        line = (line + 0.5) * factor - 0.5
        if len(line) < LEAST_POINTS or arc(line)[-1] < 2 * LEAST_WIDTHS * width:
            continue
        even = evenly(line, SPACING_WIDTHS * width)
        even = even[:-1] if closed else even
        blur, mode = BLUR_WIDTHS / SPACING_WIDTHS, "wrap" if closed else "nearest"
        found.append((ndimage.gaussian_filter1d(even, blur, axis=0, mode=mode), closed))
    return found


def _middles(
    outline: tuple[NDArray[np.float64], bool],
    means: NDArray[Any],
    factor: int,
    threshold: float,
    width: float,
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return the smooth pieces of an outline, moved inwards by half a width, and the middles of tips."""
    line, closed = outline
    ring = np.concatenate([line, line[:1]]) if closed else line
    inwards = -normals_of(ring, closed=closed)[: len(line)]
    way = inwards[:, 0] + 1j * inwards[:, 1]
    reach = round(WINDOW_WIDTHS / SPACING_WIDTHS)
    padded = np.pad(way, reach, mode="wrap" if closed else "edge")
    turn = np.angle(padded[: -2 * reach] * np.conj(padded[2 * reach :]))  # at a tip positive
    middle = line + 0.5 * width * inwards
    limit = (np.array(means.shape) * factor) - 0.5
    smooth = (turn > -DENT) & (turn < BULGE)
    smooth &= _thin(line, inwards, means, factor, threshold, width)
    smooth &= ((middle >= -0.5) & (middle <= limit)).all(axis=1)
    tips = [
        middle[run].mean(axis=0)
        for run in _runs(turn >= TIP_BULGE, closed)
        if turn[run].sum() / (2 * reach) >= TIP_TURN
    ]
    pieces = [middle[run] for run in _runs(smooth, closed) if len(run) * SPACING_WIDTHS >= LEAST_WIDTHS]
    return pieces, tips


def _runs(chosen: NDArray[np.bool_], closed: bool) -> list[NDArray[np.intp]]:
    """Return the runs of points (n,) that are chosen, on a ring also through its seam."""
    order = np.arange(len(chosen))
    if closed and not chosen.all():
        order = np.roll(order, -int(np.argmin(chosen)))
    change = np.flatnonzero(np.diff(np.r_[False, chosen[order], False])).reshape(-1, 2)
    return [order[first:stop] for first, stop in change.tolist()]


def _thin(
    line: NDArray[np.float64],
    inwards: NDArray[np.float64],
    means: NDArray[Any],
    factor: int,
    threshold: float,
    width: float,
) -> NDArray[np.bool_]:
    """Return where (n,) the mask is no thicker than a bundle of filaments."""
    depth = width * np.arange(SPACING_WIDTHS, THICKEST_WIDTHS, SPACING_WIDTHS)
    places = (line[:, None] + depth[:, None] * inwards[:, None] + 0.5) / factor - 0.5
    values = sampled(means, places)
    values[((places < -0.5) | (places > np.array(means.shape) - 0.5)).any(axis=2)] = 0
    return np.asarray(np.isfinite(first_below(values, threshold)))
