"""A simulated field of cells, as a fluorescence microscope shows them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from scipy import ndimage

from napari_cellseg.images.simulate.ice import smooth_field
from napari_cellseg.settings import Settings

_TRIES = 40


class CellFieldSettings(Settings):
    """How a field of cells is simulated."""

    shape: tuple[PositiveInt, PositiveInt] = Field((512, 640), description="Rows and columns in pixels.")
    pixel_nm: float = Field(325.0, gt=0, description="Pixel size in nm.")
    cells: int = Field(60, ge=0, le=5000, description="Number of cells tried; crowded fields take fewer.")
    radius_px: float = Field(16.0, ge=2, le=500, description="Mean radius of a cell.")
    elongation: float = Field(0.35, ge=0, lt=1, description="How far a cell may be from round.")
    overlap: float = Field(
        0.12, ge=0, lt=1, description="Share of a cell that may lie on others: cells touch."
    )
    photons: float = Field(60.0, gt=0, description="Mean photons of a cell's pixel.")
    background: float = Field(8.0, ge=0, description="Photons of the background.")
    unevenness: float = Field(0.25, ge=0, le=1, description="Spread of the illumination.")


@dataclass(frozen=True)
class SimulatedCells:
    """A simulated field of cells and what is true of it.

    Attributes
    ----------
    image : (y, x) float32
        Counts; cells are bright.
    mask : (y, x) uint8
        Annotation indices: 1 = background, 2 = cell.
    instances : (y, x) uint16
        0 = background, then one number a cell, without gaps.
    pixel_nm : float
        Pixel size.
    seed : int
        What it was drawn from.
    settings : CellFieldSettings
        And how.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    pixel_nm: float
    seed: int
    settings: CellFieldSettings


def simulate_cells(seed: int, *, settings: CellFieldSettings | None = None) -> SimulatedCells:
    """Simulate touching, roughly elliptic cells under uneven light, with their labels.

    Parameters
    ----------
    seed : int
        The same seed and settings give the same arrays.
    settings : CellFieldSettings
        Default: some 50 cells in 512 x 640 pixels.

    Examples
    --------
    >>> field = simulate_cells(0, settings=CellFieldSettings(shape=(96, 128), cells=6))
    >>> int(field.instances.max())
    6
    """
    settings = settings or CellFieldSettings()
    rng = np.random.default_rng([seed, 11])
    instances = np.zeros(settings.shape, np.uint16)
    light = np.zeros(settings.shape, np.float32)
    for _ in range(settings.cells):
        _add_cell(instances, light, rng, settings)
    light *= settings.photons
    light += settings.background
    light *= 1 + np.clip(smooth_field(settings.shape, rng, waves=2) * settings.unevenness, -0.8, 0.8)
    light = ndimage.gaussian_filter(light, 1.0)
    image = rng.poisson(light).astype(np.float32) + rng.normal(100, 1.5, light.shape).astype(np.float32)
    mask = np.where(instances > 0, 2, 1).astype(np.uint8)
    return SimulatedCells(np.clip(image, 0, None), mask, instances, settings.pixel_nm, seed, settings)


def _add_cell(
    instances: NDArray[np.uint16],
    light: NDArray[np.float32],
    rng: np.random.Generator,
    settings: CellFieldSettings,
) -> None:
    """Put one more cell where it fits; none after some tries."""
    rows, cols = np.ogrid[: settings.shape[0], : settings.shape[1]]
    for _ in range(_TRIES):
        centre = rng.uniform(0, 1, 2) * settings.shape
        stretch = 1 + settings.elongation * rng.random()
        radius = settings.radius_px * rng.uniform(0.75, 1.25)
        angle = rng.uniform(0, np.pi)
        reach = int(radius * stretch * 1.4) + 2
        box = tuple(slice(max(int(c) - reach, 0), int(c) + reach + 1) for c in centre)
        y, x = rows[box[0]] - centre[0], cols[:, box[1]] - centre[1]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        bearing = np.arctan2(across, along)
        outline = 1 + sum(rng.normal(0, 0.05) * np.cos(n * bearing + rng.uniform(0, 6.3)) for n in (2, 3, 4))
        depth = 1 - np.hypot(along / stretch, across * stretch) / (radius * outline)
        cell = depth > 0
        taken = cell & (instances[box] > 0)
        if not cell.any() or taken.sum() > settings.overlap * cell.sum():
            continue
        fresh = cell & ~taken
        instances[box][fresh] = instances.max() + 1
        texture = 1 + 0.25 * ndimage.gaussian_filter(rng.standard_normal(cell.shape), 2.0) * 7
        glow = rng.lognormal(0, 0.3) * np.sqrt(np.clip(depth, 0, 1)) * np.clip(texture, 0.3, 2)
        light[box][fresh] = glow[fresh]
        return
