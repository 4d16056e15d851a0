"""How much of the surroundings a trained network needs to see around a block."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.micrographs import Image
from napari_cellseg.predict.blocks import DEFAULTS
from napari_cellseg.predict.labels import labels_from
from napari_cellseg.predict.plan import plan_grid
from napari_cellseg.predict.segment import segment_grid
from napari_cellseg.predict.tiles import Grid, round_up
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model

CROP_PX = 768  # working pixels of the part that is tried, a side
PARTS = 3  # blocks along it: borders lie denser than at the usual block sizes
CANDIDATES_PX = (32, 64, 96, 128, 192, 256)
AGREEMENT = 0.9995
BAND_PX = 8  # on either side of a border
BAND_AGREEMENT = 0.998
LEAST_SHARE = 0.005  # of a second class in the crop; with less in it, nothing is measured
UNMEASURED_PX = 64


def measure_halo(model: Model, image: Image, *, settings: SegmentSettings = DEFAULTS) -> int:
    """Return the smallest halo at which labels do not depend on where blocks begin.

    A part of the image is segmented whole and in blocks with growing halos, until at
    least 99.95 % of the labels agree, and 99.8 % of those within 8 px of a border.

    Parameters
    ----------
    model : Model
    image : Image
        One the model segments well; at most 768 x 768 working pixels of its middle are used.
    settings : SegmentSettings
        Device, backend and precision; its block and halo do not count.

    Returns
    -------
    int
        Working pixels, a multiple of the model's stride. At least 64 where the part holds
        no more than one class, since nothing can be measured there.
    """
    stride = model.spec.stride
    if model.spec.input_px is not None:
        return 0  # it sees whole images only
    crop = _middle(image, model, settings)
    shape = plan_grid(crop, model, settings=_sized(settings, CROP_PX, 0)).working or crop.shape
    side = max(stride, round_up(max(shape) / PARTS, stride))
    chosen = _sized(settings, max(CROP_PX, *shape) + stride, stride)
    whole = _labels(crop, model, plan_grid(crop, model, settings=chosen), chosen)
    shares = np.bincount(whole.ravel(), minlength=2) / whole.size
    least = 0 if np.sort(shares)[-2] >= LEAST_SHARE else UNMEASURED_PX
    candidates = sorted({round_up(px, stride) for px in CANDIDATES_PX if px >= least})
    for halo in candidates[:-1]:
        chosen = _sized(settings, side, halo)
        grid = plan_grid(crop, model, settings=chosen)
        if max(grid.counts) == 1:
            return max(halo, round_up(UNMEASURED_PX, stride))
        if _agrees(_labels(crop, model, grid, chosen), whole, grid):
            return halo
    return candidates[-1]


def _middle(image: Image, model: Model, settings: SegmentSettings) -> Image:
    working = plan_grid(image, model, settings=_sized(settings, CROP_PX, 0)).working or image.shape
    parts = []
    for size, other in zip(image.shape, working, strict=True):
        kept = min(size, max(1, round(CROP_PX * size / other)))
        start = (size - kept) // 2
        parts.append(slice(start, start + kept))
    return replace(image, data=image.data[..., parts[0], parts[1]])


def _sized(settings: SegmentSettings, block_px: int, halo_px: int) -> SegmentSettings:
    plain = {"threshold": None, "views": 1, "uncertainty": "none"}
    return settings.model_copy(update=plain | {"block_px": block_px, "halo_px": halo_px})


def _labels(crop: Image, model: Model, grid: Grid, settings: SegmentSettings) -> NDArray[np.uint8]:
    lazy = labels_from(segment_grid(crop, model, grid, settings=settings))
    labels: NDArray[np.uint8] = lazy.compute(scheduler="synchronous")
    return labels


def _agrees(labels: NDArray[np.uint8], whole: NDArray[np.uint8], grid: Grid) -> bool:
    same = labels == whole
    band = np.zeros(same.shape, bool)
    for axis, chunks in enumerate(grid.chunks):
        for border in np.cumsum(chunks)[:-1]:
            near = [slice(None), slice(None)]
            near[axis] = slice(max(0, border - BAND_PX), border + BAND_PX)
            band[tuple(near)] = True
    return bool(same.mean() >= AGREEMENT and same[band].mean() >= BAND_AGREEMENT)
