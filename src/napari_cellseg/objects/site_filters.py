"""Sites on filaments found in the micrograph itself, by filters learned from points in seconds.

All sites look alike but for how they are turned about the filament, which shows as how far the
molecules lie off its axis. So for each of some such distances the mean of the straightened patches is
taken, less that of any place along filaments, and what tells the two apart best in the noise there is
(a linear discriminant, Fisher 1936, doi:10.1111/j.1469-1809.1936.tb02137.x) becomes a filter. Its answer
is a log-likelihood ratio: e times as likely to be a site as not is 1.

Notation: b distances off the axis, k pixels of a patch, n places along a filament.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.objects.points import DEFAULTS, owned
from napari_cellseg.objects.settings import PointSettings
from napari_cellseg.objects.spacing import CLOSEST, best_chain
from napari_cellseg.objects.straighten import Strip, straighten

GRID_NM = 0.8
PATCH_NM = (9.0, 11.5)
"""Half a patch, across and along."""
STRIP_NM = 52.0
SMOOTH_NM = 20.0
"""Brightness that changes over more than this is taken out."""
OFF_NM = 0.8 * np.arange(-6, 7)
BLUR_NM = 0.65
"""How far off a learned site may be to count for a distance."""
RIDGE = 0.3
"""Share of the mean variance that is added to every pixel's: few patches, many pixels."""
SAME_SITE_NM = 6.0
"""Points closer along a filament are the two molecules of one site."""
LEAST_SITES = 30
FAR_APART_NM = 12.0
"""Sites are at least so far apart where the spacing is not used."""
DOUBTFUL = -2.0
NO_FILTERS = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)
"""What comes of a file that is something else."""
MIRRORED = ((1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True, eq=False)
class SiteFilters:
    """What sites look like beside filaments.

    Attributes
    ----------
    mean : (k,) float32
        Patch of any place along filaments.
    filters : (b, k) float32
        One for each of `OFF_NM`.
    bias : (b,) float32
        What is taken off the answer of each.
    sites : int
        How many were learned from.
    """

    mean: NDArray[np.float32]
    filters: NDArray[np.float32]
    bias: NDArray[np.float32]
    sites: int

    def save(self, path: Path) -> None:
        """Write the filters, whole or not at all."""
        with replace_whole(path) as part, part.open("wb") as file:
            np.savez(file, mean=self.mean, filters=self.filters, bias=self.bias, sites=self.sites)

    @classmethod
    def load(cls, path: Path) -> "SiteFilters":
        """Read filters.

        Raises
        ------
        CellsegError
            If there are none in the file.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                found = cls(held["mean"], held["filters"], held["bias"], int(held["sites"]))
        except NO_FILTERS as error:
            raise CellsegError(
                f"{path}: no filters of sites ({error})", "what `learn-points` wrote", "learn them again"
            ) from None
        if found.filters.shape != (len(OFF_NM), _patch_grid()[0].size):
            raise CellsegError(f"{path}: filters of shape {found.filters.shape}", remedy="learn them again")
        return found

    def evidence(self, strip: NDArray[np.float32], middle_row: float, grid_nm: float) -> NDArray[np.float32]:
        """Return the log-likelihood ratios (b, n) of a site at every column of a strip."""
        patches = _patches(_levelled(strip, grid_nm), np.arange(strip.shape[1]), middle_row, grid_nm)
        answers: NDArray[np.float32] = self.filters @ (patches - self.mean).T - self.bias[:, None]
        return answers


def learn_sites(
    examples: Iterable[tuple[Any, Coordinates]], *, settings: PointSettings = DEFAULTS
) -> SiteFilters:
    """Return filters learned from points along filaments.

    Parameters
    ----------
    examples : iterable of ((y, x), Coordinates)
        Micrographs with their filaments and all points on them, and pixel size.
    settings : PointSettings
        How many strands there are.

    Raises
    ------
    CellsegError
        If there are too few sites, or a pixel size is missing.
    """
    rng = np.random.default_rng(0)
    seen, anywhere, off = [], [], []
    for image, truth in examples:
        for strip, grid_nm, points in _strips(image, truth):
            for down, along in MIRRORED:
                pixels, places = strip.pixels[::down, ::along], points.copy()
                rows, cols = pixels.shape
                places[:, 0] = places[:, 0] if down > 0 else rows - 1 - places[:, 0]
                places[:, 1] = places[:, 1] if along > 0 else cols - 1 - places[:, 1]
                level = _levelled(pixels, grid_nm)
                sites = _sites(places, strip.middle_row, grid_nm, settings)
                sites = sites[np.abs(sites[:, 0] - cols / 2) < cols / 2 - PATCH_NM[1] / grid_nm]
                seen.append(_patches(level, sites[:, 0], strip.middle_row, grid_nm))
                off.append(sites[:, 1])
                ends = PATCH_NM[1] / grid_nm
                drawn = rng.uniform(ends, max(ends + 1, cols - ends), cols // 6)
                anywhere.append(_patches(level, drawn, strip.middle_row, grid_nm))
    count = sum(map(len, off)) // len(MIRRORED)
    if count < LEAST_SITES:
        raise CellsegError(
            f"{count} sites with points on filaments", f"at least {LEAST_SITES}", "mark points in more images"
        )
    return _discriminants(np.concatenate(seen), np.concatenate(off), np.concatenate(anywhere), count)


def find_sites(
    image: Any,
    filaments: Sequence[Filament],
    filters: SiteFilters,
    *,
    pixel_nm: float | None,
    settings: PointSettings,
) -> Coordinates:
    """Return the points on filaments of a micrograph: both molecules of every site that is found.

    Parameters
    ----------
    image : (y, x)
    filaments : sequence of Filament
    filters : SiteFilters
    pixel_nm : float
    settings : PointSettings

    Raises
    ------
    CellsegError
        If the pixel size is missing.
    """
    plane = np.asarray(image)
    lines = Coordinates(tuple(filaments), pixel_nm=pixel_nm, shape=(plane.shape[0], plane.shape[1]))
    if not filaments:
        return lines
    owners, parts = [], []
    factor = _factor(pixel_nm)
    for strip, grid_nm, _ in _strips(plane, lines):
        places, scores = _row(strip, grid_nm, filters, settings)
        owners += [strip.filament.id] * len(places)
        parts.append(np.column_stack([strip.to_micrograph(places), scores, places[:, 1]]))
    rows, cols, scores, arcs = np.concatenate([np.zeros((0, 4)), *parts]).T
    places, numbers = np.stack([rows, cols], -1), np.array(owners, np.int64)
    found = Coordinates(points=places, scores=scores, owners=numbers, arcs_px=arcs).scaled(factor)
    inside = ((found.points >= -0.5) & (found.points < np.asarray(plane.shape) - 0.5)).all(axis=1)
    facts = {name: getattr(found, name)[inside] for name in ("points", "scores", "owners", "arcs_px")}
    return replace(lines, **facts)


def _row(
    strip: Strip, grid_nm: float, filters: SiteFilters, settings: PointSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the points (n, 2) of the likeliest row of sites on a strip, in order, and their scores."""
    evidence = filters.evidence(strip.pixels, strip.middle_row, grid_nm)
    around = (3, 2 * int(2.5 / grid_nm) + 1)
    which, along = np.nonzero((evidence == ndimage.maximum_filter(evidence, around)) & (evidence > DOUBTFUL))
    order = np.lexsort((which, along))
    which, along = which[order], along[order]
    found = evidence[which, along].astype(np.float64) - settings.least_evidence
    chosen = best_chain(
        (along * grid_nm).astype(np.float64),
        OFF_NM[which].astype(np.float64),
        found,
        spacing_nm=settings.spacing_nm if settings.use_spacing else FAR_APART_NM / CLOSEST,
        spread_nm=settings.spread_nm,
        weight=settings.prior if settings.use_spacing else 0.0,
    )
    off, sites = OFF_NM[which[chosen]] / grid_nm, along[chosen].astype(np.float64)
    scores = 1 / (1 + np.exp(-np.clip(found[chosen], -30, 30)))
    half = _half_px(settings, grid_nm)
    places = np.stack([strip.middle_row + off, sites - half], -1)
    if settings.strands == 2:
        opposite = np.stack([strip.middle_row - off, sites + half], -1)
        places, scores = np.concatenate([places, opposite]), np.tile(scores, 2)
    order = np.argsort(places[:, 1], kind="stable")
    return places[order], scores[order]


def _factor(pixel_nm: float | None) -> int:
    if pixel_nm is None:
        raise CellsegError("points in an image without a pixel size", "one", "give --pixel-nm")
    return max(1, round(GRID_NM / pixel_nm))


def _strips(image: Any, truth: Coordinates) -> Iterable[tuple[Strip, float, NDArray[np.float64]]]:
    """Yield each filament straightened on the coarser grid, its pixel size, and its own points there."""
    factor = _factor(truth.pixel_nm)
    grid_nm = (truth.pixel_nm or 0) * factor
    plane = np.asarray(image)
    rows, cols = (side // factor for side in plane.shape)
    if not rows or not cols:
        return
    plane = plane[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor)
    coarse = plane.mean((1, 3), dtype=np.float32)
    lines = truth.scaled(1 / factor)
    width = 2 * round(STRIP_NM / grid_nm / 2)
    scores = np.zeros(len(lines.points))
    points = owned(lines.points, scores, lines.filaments, PATCH_NM[0] / grid_nm)
    for filament in lines.filaments:
        if filament.length_px < 2 * PATCH_NM[1] / grid_nm:
            continue
        strip = straighten(coarse, filament, width)
        yield strip, grid_nm, strip.to_strip(points.points[points.owners == filament.id])


def _sites(
    points: NDArray[np.float64], middle_row: float, grid_nm: float, settings: PointSettings
) -> NDArray[np.float64]:
    """Return sites (s, 2): column of the middle, and how far in nm the first molecule lies off the axis."""
    half, together = _half_px(settings, grid_nm), SAME_SITE_NM / grid_nm if settings.strands == 2 else 0.0
    points = points[np.argsort(points[:, 1], kind="stable")]
    sites, number = [], 0
    while number < len(points):
        row, col = points[number]
        following = points[number + 1 : number + 2]
        if len(following) and following[0, 1] - col < together:
            sites.append(((col + following[0, 1]) / 2, (row - following[0, 0]) / 2 * grid_nm))
            number += 2
        else:
            sites.append((col + half, (row - middle_row) * grid_nm))
            number += 1
    return np.array(sites, np.float64).reshape(-1, 2)


def _half_px(settings: PointSettings, grid_nm: float) -> float:
    """Return half of how far the second molecule of a site lies ahead."""
    return settings.stagger_nm / 2 / grid_nm if settings.strands == 2 else 0.0


def _levelled(strip: NDArray[np.float32], grid_nm: float) -> NDArray[np.float32]:
    level = strip - ndimage.gaussian_filter(strip, SMOOTH_NM / grid_nm)
    scaled: NDArray[np.float32] = (level - level.mean()) / max(float(level.std()), 1e-12)
    return scaled


def _patch_grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns of a patch's pixels in nm from its middle."""
    rows, cols = (GRID_NM * np.arange(-int(half / GRID_NM), int(half / GRID_NM) + 1) for half in PATCH_NM)
    across, along = np.meshgrid(rows, cols, indexing="ij")
    return across.ravel(), along.ravel()


def _patches(
    level: NDArray[np.float32], columns: NDArray[Any], middle_row: float, grid_nm: float
) -> NDArray[np.float32]:
    """Return the pixels (n, k) around places on the axis of a strip."""
    across, along = _patch_grid()
    rows = np.broadcast_to(middle_row + across / grid_nm, (len(columns), len(across)))
    cols = np.asarray(columns)[:, None] + along / grid_nm
    patches: NDArray[np.float32] = ndimage.map_coordinates(
        level, [rows, cols], np.float32, order=1, mode="nearest"
    )
    return patches


def _discriminants(
    seen: NDArray[np.float32], off_nm: NDArray[np.float64], anywhere: NDArray[np.float32], count: int
) -> SiteFilters:
    mean = anywhere.mean(axis=0)
    spread = np.cov((anywhere - mean).T)
    spread += RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    weights = np.exp(-0.5 * ((OFF_NM[:, None] - off_nm) / BLUR_NM) ** 2) + 1e-9
    looks = weights @ (seen - mean) / weights.sum(axis=1, keepdims=True)
    filters = np.linalg.solve(spread, looks.T).T
    bias = 0.5 * (filters * looks).sum(axis=1)
    return SiteFilters(mean, filters.astype(np.float32), bias.astype(np.float32), count)
