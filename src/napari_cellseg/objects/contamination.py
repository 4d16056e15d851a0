"""Carbon film and lumps of ice, found by their darkness where no network has learned them.

A plain detector for exclusion: what is much darker than the vitreous ice over tens of
nanometres. Who needs borders to a pixel, or to tell carbon from ice, paints a class
"contamination" (or "carbon", "ice") and trains a model on it; see `contamination_indices`.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import Settings

NAMES = {"contamination", "carbon", "ice"}
BINS_IN_BLUR = 3  # pixels that the blur is wide on the smaller copy it is measured on
AROUND_SCALES, ICE_PERCENT = (16.0, 48.0), 75  # the ice is what is bright within so many scales
LEAST_CONTRAST = 0.03  # of the ice's brightness
CALM = 1.4826  # a median deviation in standard deviations of a normal distribution


class ContaminationSettings(Settings):
    """How carbon and ice are found; a length given in px wins over the same in nm."""

    scale_nm: float = Field(
        10.0, gt=0, description="Brightness is averaged over this; about a filament's width."
    )
    scale_px: float | None = Field(None, gt=0, description="The same in pixels; without a pixel size needed.")
    darkness: float = Field(
        4.0,
        gt=0,
        le=50,
        description="How much darker than the ice, in standard deviations of the ice at that scale.",
    )
    smallest: float = Field(
        4.0, ge=0, description="Smaller pieces are left out: their area in squares of the scale."
    )
    margin: float = Field(0.5, ge=0, description="What is found is widened by this, in scales.")


DEFAULTS = ContaminationSettings()


def contamination_indices(classes: Sequence[str]) -> list[int]:
    """Return which classes are contamination by their names: they speak of carbon, ice or contamination.

    Examples
    --------
    >>> contamination_indices(["not annotated", "background", "filament", "Carbon edge", "device"])
    [3]
    """
    return [
        index for index, name in enumerate(classes) if NAMES & set(re.findall(r"[^\W\d_]+", name.lower()))
    ]


def find_contamination(
    image: Any, *, pixel_nm: float | None = None, settings: ContaminationSettings = DEFAULTS
) -> NDArray[np.bool_]:
    """Return where carbon or ice lies in a micrograph with dark protein.

    Parameters
    ----------
    image : (y, x)
        What is no number counts as contamination.
    pixel_nm : float, optional
        Pixel size.
    settings : ContaminationSettings

    Returns
    -------
    (y, x) bool

    Raises
    ------
    CellsegError
        If the image is no plane, or neither the pixel size nor `scale_px` is known.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(100, 5, (400, 500))
    >>> image[:, :100] -= 30
    >>> found = find_contamination(image, pixel_nm=1)
    >>> bool(found[:, :90].all()), bool(found[:, 130:].any())
    (True, False)
    """
    plane = np.asarray(image)
    if plane.ndim != 2:
        raise CellsegError(f"an image of shape {plane.shape}", "(y, x)", "choose a channel")
    if settings.scale_px is None and pixel_nm is None:
        raise CellsegError("no pixel size", "scale_px, or the pixel size in nm", "give one of them")
    scale = settings.scale_px or settings.scale_nm / (pixel_nm or 1.0)
    factor = max(1, min(int(scale / BINS_IN_BLUR), min(plane.shape)))
    small = _binned(plane, factor)
    missing = ~np.isfinite(small)
    if missing.all():
        return np.ones(plane.shape, bool)
    small[missing] = np.median(small[~missing])
    blur = scale / factor
    even = ndimage.gaussian_filter(small, blur, mode="nearest")
    dark = missing.copy()
    for around in AROUND_SCALES:  # the narrow one finds lumps, the wide one carbon
        ice = _ice(even, around * blur, blur)
        usual, spread = _calm((even - ice)[~missing])
        least = np.maximum(settings.darkness * spread - usual, LEAST_CONTRAST * np.abs(ice))
        dark |= even < ice - least
    numbered, count = ndimage.label(dark)
    area = np.bincount(numbered.ravel(), minlength=count + 1)
    large = area >= settings.smallest * blur**2
    large[0] = False
    found = large[numbered] | missing
    if settings.margin and found.any():
        found = ndimage.distance_transform_edt(~found) <= settings.margin * blur
    rows, cols = (
        np.minimum(np.arange(side) // factor, small.shape[axis] - 1) for axis, side in enumerate(plane.shape)
    )
    return np.asarray(found[rows[:, None], cols[None, :]], np.bool_)


def _binned(plane: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Return the means of whole blocks of `factor` pixels a side."""
    rows, cols = (side // factor for side in plane.shape)
    blocks = plane[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def _ice(even: NDArray[np.float32], around: float, blur: float) -> NDArray[np.float32]:
    """Return how bright the ice is around each place: its thickness, and the beam, change slowly."""
    step = max(1, int(blur))
    coarse = even[::step, ::step]
    size = min(int(around / step) | 1, 2 * max(coarse.shape) + 1)
    bright = ndimage.percentile_filter(coarse, ICE_PERCENT, size=size)
    bright = ndimage.gaussian_filter(bright, around / 4 / step, mode="nearest")
    rows, cols = (np.arange(side) / step for side in even.shape)
    places = np.meshgrid(rows, cols, indexing="ij")
    return np.asarray(ndimage.map_coordinates(bright, places, np.float32, order=1, mode="nearest"))


def _calm(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return brightness and spread of the ice: of the commonest values and what is brighter.

    Whatever is foreign is darker, so that the brighter side of the commonest value is ice alone.
    """
    low, high = np.percentile(values, [0.5, 99.5])
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        return float(high), 0.0
    counts, edges = np.histogram(values, 64, (low, high))
    place = int(np.convolve(counts, np.ones(5), "same").argmax())
    usual = float(edges[place] + edges[place + 1]) / 2
    brighter = values[values >= usual] - usual
    return usual, CALM * float(np.median(brighter))
