"""Points of what a network says: peaks of its probabilities, and those that belong on filaments.

Notation: a heat map is the smoothed probabilities, on a grid of about `GRID_NM`; a site is a place
on a filament where molecules sit, one on each strand; n points, s sites.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.settings import PointSettings
from napari_cellseg.objects.spacing import best_chain
from napari_cellseg.objects.straighten import Strip, straighten

GRID_NM = 0.5
ARC_STEP_PX = 1.0
DEFAULTS = PointSettings()


def find_points(
    probabilities: Any,
    filaments: Sequence[Filament] = (),
    *,
    pixel_nm: float | None,
    settings: PointSettings = DEFAULTS,
) -> Coordinates:
    """Return the points that a network found, on filaments where these are given.

    Parameters
    ----------
    probabilities : (y, x)
        Of the class that was trained from points; 0 to 1.
    filaments : sequence of Filament
        In pixels of the same plane. Points that lie on none of them are left out; where the
        spacing is used, points are looked for along each filament.
    pixel_nm : float
        Pixel size.
    settings : PointSettings

    Returns
    -------
    Coordinates
        Points with scores, the number of their filament and their place along it; and the
        filaments.

    Raises
    ------
    CellsegError
        If the probabilities are no plane or have no pixel size.

    Examples
    --------
    >>> plane = np.zeros((40, 60))
    >>> plane[18:21, 30:33] = 1
    >>> found = find_points(plane, pixel_nm=1.0)
    >>> found.points.round(1).tolist(), found.owners.tolist()
    ([[19.0, 31.0]], [0])
    """
    plane = np.asarray(probabilities)
    if plane.ndim != 2:
        raise CellsegError(f"probabilities of shape {plane.shape}", "(y, x)", "choose one class")
    if pixel_nm is None:
        raise CellsegError("points in an image without a pixel size", "one", "give --pixel-nm")
    heat, factor = heat_map(plane, pixel_nm, settings)
    grid_nm = pixel_nm * factor
    shape = (plane.shape[0], plane.shape[1])
    lines = Coordinates(tuple(filaments)).scaled(1 / factor).filaments
    if filaments and settings.use_spacing:
        found = [_along(heat, line, grid_nm, settings) for line in lines]
        points = Coordinates(
            points=np.concatenate([places for places, _, _ in found]),
            scores=np.concatenate([scores for _, scores, _ in found]),
            owners=np.repeat([line.id for line in lines], [len(scores) for _, scores, _ in found]),
            arcs_px=np.concatenate([arcs for _, _, arcs in found]),
        )
    else:
        points = owned(*peaks(heat, grid_nm, settings), lines, settings.reach_nm / grid_nm)
    placed = points.scaled(factor)
    return Coordinates(
        tuple(filaments),
        placed.points,
        placed.scores,
        owners=placed.owners,
        arcs_px=placed.arcs_px,
        pixel_nm=pixel_nm,
        shape=shape,
    )


def heat_map(
    probabilities: NDArray[Any], pixel_nm: float, settings: PointSettings = DEFAULTS
) -> tuple[NDArray[np.float32], int]:
    """Return smoothed probabilities and how many pixels one of theirs is wide.

    NaN counts as 0. What is left of the last row or column of large pixels is filled up with 0.
    """
    factor = max(1, int(GRID_NM / pixel_nm))
    plane = np.nan_to_num(np.asarray(probabilities, np.float32))
    if factor > 1:
        plane = np.pad(plane, [(0, -side % factor) for side in plane.shape])
        rows, cols = (side // factor for side in plane.shape)
        plane = plane.reshape(rows, factor, cols, factor).mean((1, 3), dtype=np.float32)
    smooth = ndimage.gaussian_filter(plane, settings.smooth_nm / (pixel_nm * factor), mode="constant")
    return np.asarray(smooth, np.float32), factor


def peaks(
    heat: NDArray[np.float32], grid_nm: float, settings: PointSettings = DEFAULTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the highest points (n, 2) of a heat map between its pixels, and their heights (n,).

    No two are closer than `apart_nm`; the higher one stays.
    """
    apart_px = settings.apart_nm / grid_nm
    side = 2 * max(1, int(apart_px / 2**0.5)) + 1  # a square, which is fast, within the disc that counts
    top = (heat >= settings.min_score) & (heat == ndimage.maximum_filter(heat, side))
    places = np.argwhere(top)
    places = places[np.argsort(-heat[top], kind="stable")]
    lower: dict[int, list[int]] = {}
    if len(places):
        for higher, other in sorted(cKDTree(places).query_pairs(apart_px)):
            lower.setdefault(higher, []).append(other)
    beaten: set[int] = set()
    for number in range(len(places)):
        if number not in beaten:
            beaten.update(lower.get(number, ()))
    places = places[[number for number in range(len(places)) if number not in beaten]]
    scores = np.clip(heat[places[:, 0], places[:, 1]], 0, 1).astype(np.float64)
    return places + _between_pixels(heat, places), scores


def _between_pixels(heat: NDArray[np.float32], places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how far (n, 2) the top of a parabola through a peak and its neighbours lies from the pixel."""
    shift = np.zeros(places.shape)
    for axis in (0, 1):
        step = np.eye(2, dtype=int)[axis]
        before, after = (
            heat[tuple(np.clip(places + sign * step, 0, np.array(heat.shape) - 1).T)].astype(float)
            for sign in (-1, 1)
        )
        here = heat[tuple(places.T)].astype(float)
        bend = before - 2 * here + after
        shift[:, axis] = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0)
    return np.clip(shift, -0.5, 0.5)


def owned(
    points: NDArray[np.float64], scores: NDArray[np.float64], lines: Sequence[Filament], reach_px: float
) -> Coordinates:
    """Return points (n, 2) with the filament each lies on and where along it; the others are left out.

    All are kept, as on none, if there are no filaments.
    """
    if not lines or not len(points):
        nowhere = np.zeros(len(points))
        kept = np.full(len(points), not lines)
        return Coordinates(
            points=points[kept], scores=scores[kept], owners=nowhere[kept], arcs_px=nowhere[kept]
        )
    arcs = [
        np.arange(0, line.length_px + ARC_STEP_PX, ARC_STEP_PX).clip(max=line.length_px) for line in lines
    ]
    tree = cKDTree(np.concatenate([line.at(along)[0] for line, along in zip(lines, arcs, strict=True)]))
    distance, which = tree.query(points)
    near = distance <= reach_px
    owners = np.repeat([line.id for line in lines], [len(along) for along in arcs])[which[near]]
    return Coordinates(
        points=points[near], scores=scores[near], owners=owners, arcs_px=np.concatenate(arcs)[which[near]]
    )


def _along(
    heat: NDArray[np.float32], line: Filament, grid_nm: float, settings: PointSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the points (n, 2) on one filament, their scores and places along it, with the known spacing."""
    rows = 2 * int(settings.reach_nm / grid_nm) + 1
    strip = straighten(heat, line, rows)
    half = settings.stagger_nm / grid_nm / 2 if settings.strands == 2 else 0.0
    evidence = _evidence(strip.pixels, half, settings.strands)
    sites, values = _candidates(evidence, grid_nm, settings)
    middle = strip.middle_row
    chosen = best_chain(
        sites[:, 1] * grid_nm,
        (sites[:, 0] - middle) * grid_nm,
        values - settings.strands * settings.min_score,
        spacing_nm=settings.spacing_nm,
        spread_nm=settings.spread_nm,
        weight=settings.prior,
    )
    sites = sites[chosen]
    off = sites[:, 0] - middle
    places = np.stack([sites[:, 0], sites[:, 1] - half], -1)
    if settings.strands == 2:  # the partner lies opposite, one step of the helix further on
        places = np.concatenate([places, np.stack([middle - off, sites[:, 1] + half], -1)])
    return _seen(strip, places, settings)


def _evidence(strip: NDArray[np.float32], half_px: float, strands: int) -> NDArray[np.float32]:
    """Return how much of a site is seen (width, length) if its first molecule lies at that row.

    The middle of the site along the filament is the column. Of two strands the sum is taken of
    both molecules, which lie opposite each other, `half_px` before and behind.
    """
    if strands == 1:
        return strip
    before = ndimage.shift(strip, (0, half_px), order=1, mode="constant")
    after = ndimage.shift(strip, (0, -half_px), order=1, mode="constant")
    both: NDArray[np.float32] = before + after[::-1]
    return both


def _candidates(
    evidence: NDArray[np.float32], grid_nm: float, settings: PointSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places (s, 2) on the strip where a site may be, in order along it, and the evidence."""
    size = 2 * max(1, int(settings.apart_nm / grid_nm / 2)) + 1
    highest = ndimage.maximum_filter(evidence, size)
    top = (evidence == highest) & (evidence >= settings.strands * settings.min_score * settings.doubtful)
    places = np.argwhere(top)
    places = places[np.lexsort((places[:, 0], places[:, 1]))]
    return places.astype(np.float64), evidence[places[:, 0], places[:, 1]].astype(np.float64)


def _seen(
    strip: Strip, places: NDArray[np.float64], settings: PointSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return those places that have evidence of their own, in the micrograph."""
    scores = ndimage.map_coordinates(strip.pixels, places.T, order=1, mode="constant").astype(np.float64)
    kept = scores >= settings.min_score * settings.doubtful
    order = np.argsort(places[kept, 1], kind="stable")
    places, scores = places[kept][order], scores[kept][order]
    return strip.to_micrograph(places), np.clip(scores, 0, 1), places[:, 1]
