"""Figures of each crop: shape of what is in it, brightness per channel, texture, sharpness.

They sort a gallery, and they are the features of the baseline that every network has to beat.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import regionprops

from napari_cellseg.images.crops.crops import Crops, LeftOut, read_each
from napari_cellseg.images.crops.fit import border_level

SHAPE = {
    "height_px": "rows of the crop",
    "width_px": "columns of the crop",
    "area_px2": "pixels of the object",
    "perimeter_px": "length of its outline",
    "major_px": "long axis of the ellipse of the same second moments",
    "minor_px": "its short axis",
    "eccentricity": "of that ellipse: 0 round, towards 1 long",
    "solidity": "share of its convex hull that it fills",
    "extent": "share of its bounding box that it fills",
    "roundness": "4 pi area / perimeter squared: 1 for a disc",
    "parts": "separate pieces in the crop",
}
BRIGHTNESS = {
    "border": "level of the crop's outermost pixels",
    "mean": "mean of the object above that level",
    "std": "spread within the object",
    "p5": "5th percentile of the object above the border",
    "p50": "median",
    "p95": "95th percentile",
    "total": "sum over the object above the border",
    "inner": "mean of the inner half of the object less that of the outer half",
    "offset_px": "distance of the brightness centre from the middle of the object",
    "gradient": "mean slope in the object, by its spread",
    "blur": "variance of the Laplacian by that of the pixels, about the object: low where out of focus",
}
"""What is measured in every channel; the column is `Ch4_mean`."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """A table of figures: column names and ``(n, f)`` float32; a row of NaN where nothing could be read."""

    names: tuple[str, ...]
    values: NDArray[np.float32]

    def column(self, name: str) -> NDArray[np.float32]:
        """Return one column, (n,)."""
        column: NDArray[np.float32] = self.values[:, self.names.index(name)]
        return column


def measured_names(channels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns for crops of these channels.

    Examples
    --------
    >>> measured_names(("grey",))[-1]
    'grey_blur'
    """
    return (*SHAPE, *(f"{channel}_{name}" for channel in channels for name in BRIGHTNESS))


def measure_each(crops: Crops) -> Iterator[NDArray[np.float32]]:
    """Yield the figures of one crop after another, (f,); NaN where a crop cannot be read.

    Examples
    --------
    >>> disc = np.hypot(*np.mgrid[-9:10, -9:10]) < 6
    >>> [row.shape for row in measure_each(Crops.from_arrays([disc * 50.0]))]
    [(22,)]
    """
    count = len(SHAPE) + len(crops.channels) * len(BRIGHTNESS)
    for pixels in read_each(crops):
        yield np.full(count, np.nan, np.float32) if isinstance(pixels, LeftOut) else measure_crop(pixels)


def measure_crops(crops: Crops) -> Measurements:
    """Return the figures of all crops as one table.

    Examples
    --------
    >>> disc = np.hypot(*np.mgrid[-9:10, -9:10]) < 6
    >>> float(measure_crops(Crops.from_arrays([disc * 50.0])).column("area_px2")[0])
    109.0
    """
    names = measured_names(crops.channels)
    values = np.empty((len(crops), len(names)), np.float32)
    for index, row in enumerate(measure_each(crops)):
        values[index] = row
    return Measurements(names, values)


def measure_crop(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the figures of one crop, (f,), in the order of `measured_names`.

    Parameters
    ----------
    pixels : (c, y, x)
        Raw intensities.
    """
    values = pixels.astype(np.float32)
    level = border_level(values)
    mask, parts = object_mask(values - level[:, None, None])
    figures = _shape(mask, parts)
    near = _around(mask)  # the rest of the crop tells nothing more, and may be most of it
    mask, values = mask[near], values[:, near[0], near[1]]
    depth = ndimage.distance_transform_edt(mask)[mask]
    core = depth >= np.median(depth)
    rows, cols = np.nonzero(mask)
    offsets = (rows - rows.mean(), cols - cols.mean())
    for plane, ground in zip(values, level.tolist(), strict=True):
        figures += _brightness(plane, ground, mask, core, offsets)
    return np.array(figures, np.float32)


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the part of the crop that holds the object, with two pixels around it."""
    spans = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    down, across = (slice(max(int(hit[0]) - 2, 0), int(hit[-1]) + 3) for hit in spans)
    return down, across


def object_mask(above: NDArray[np.float32]) -> tuple[NDArray[np.bool_], int]:
    """Return the largest thing that stands out of the border level, holes filled, and how many there are.

    Parameters
    ----------
    above : (c, y, x)
        Intensities above (or below) the border level.

    Returns
    -------
    (y, x) bool
        Never empty: all of the crop if nothing stands out.
    int
    """
    spread = above.std(axis=(1, 2))
    strength = np.sqrt(((above / np.where(spread > 0, spread, 1)[:, None, None]) ** 2).sum(axis=0))
    if strength.max() <= strength.min():
        return np.ones(strength.shape, bool), 1
    # in the square root of the contrast faint parts of a cell still count
    root = np.sqrt(ndimage.gaussian_filter(strength, 0.6))
    split = root > threshold_otsu(root)  # type: ignore[no-untyped-call]
    # Otsu's threshold lies anywhere between two clear levels; at half contrast the outline is in place
    half = np.sqrt((root[split].mean() ** 2 + root[~split].mean() ** 2) / 2)
    found, count = ndimage.label(root > half)
    if not count:
        return np.ones(strength.shape, bool), 1
    sizes = np.bincount(found.ravel())[1:]
    largest = ndimage.binary_fill_holes(found == 1 + int(sizes.argmax()))
    return np.asarray(largest, bool), int((sizes >= 0.02 * sizes.max()).sum())


def _shape(mask: NDArray[np.bool_], parts: int) -> list[float]:
    region = regionprops(mask.astype(np.uint8))[0]  # type: ignore[no-untyped-call]
    area, perimeter = float(region.area), float(region.perimeter)
    flat = min(mask.shape) < 2 or region.axis_minor_length == 0  # a line has no convex hull
    return [
        *map(float, mask.shape),
        area,
        perimeter,
        float(region.axis_major_length),
        float(region.axis_minor_length),
        float(region.eccentricity),
        1.0 if flat or area < 4 else float(region.solidity),
        float(region.extent),
        min(4 * np.pi * area / perimeter**2, 2.0) if perimeter else 1.0,
        float(parts),
    ]


def _brightness(
    raw: NDArray[np.float32],
    ground: float,
    mask: NDArray[np.bool_],
    core: NDArray[np.bool_],
    offsets: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> list[float]:
    inside = raw[mask] - ground
    weight = np.abs(inside)
    total = float(weight.sum()) or 1.0
    centre = [float((weight * offset).sum()) / total for offset in offsets]
    spread, mean, variance = float(inside.std()), float(inside.mean()), float(raw.var())
    ranked = np.sort(inside)
    low, middle, high = (ranked[round(share * (len(ranked) - 1))] for share in (0.05, 0.5, 0.95))
    slope = np.zeros_like(raw)
    if min(raw.shape) > 1:
        slope = np.hypot(np.gradient(raw, axis=0), np.gradient(raw, axis=1))
    outer = inside[~core]
    return [
        ground,
        mean,
        spread,
        float(low),
        float(middle),
        float(high),
        float(inside.sum()),
        float(inside[core].mean() - outer.mean()) if len(outer) else 0.0,
        math.hypot(*centre),
        float(slope[mask].mean()) / spread if spread else 0.0,
        float(ndimage.laplace(raw).var()) / variance if variance else 0.0,
    ]
