"""What surrounds the molecules: ice of uneven thickness, contamination, the carbon edge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from napari_cellseg.images.simulate.settings import SimulateSettings

_FREE_PATH_NM = 300.0  # of 300 kV electrons in ice, about


@dataclass(frozen=True)
class Lump:
    """Ice contamination: optical thickness (in mean free paths) of a block of the field.

    Attributes
    ----------
    rows, cols : slice
        The block.
    thickness : (y, x) float32
        0 outside the lump; at most 1 as drawn by `ice_lump`.
    """

    rows: slice
    cols: slice
    thickness: NDArray[np.float32]


def smooth_field(
    shape: tuple[int, int], rng: np.random.Generator, *, waves: int = 3, slope: float = 2.0
) -> NDArray[np.float32]:
    """Slowly varying random plane of mean 0 and standard deviation 1.

    Parameters
    ----------
    shape : (y, x)
        The field.
    rng : numpy.random.Generator
        Source of the plane.
    waves : int
        Half waves that fit the field at most, along either axis.
    slope : float
        Amplitudes fall as the number of waves to this power.

    Examples
    --------
    >>> field = smooth_field((64, 96), np.random.default_rng(0))
    >>> field.shape, abs(float(field.mean())) < 1e-3
    ((64, 96), True)
    """
    orders = np.arange(waves + 1)
    falloff = (1.0 + orders[:, None] ** 2 + orders[None, :] ** 2) ** (-slope / 2)
    shares = rng.standard_normal(falloff.shape) * falloff
    waves_y, waves_x = (
        np.cos(np.pi * np.linspace(0, 1, n)[:, None] * orders).astype(np.float32) for n in shape
    )
    field = waves_y @ shares.astype(np.float32) @ waves_x.T
    field -= field.mean(dtype=np.float64)
    return field / np.float32(max(field.std(dtype=np.float64), 1e-6))


def ice_lump(
    shape: tuple[int, int], centre: tuple[float, float], radius_px: float, rng: np.random.Generator
) -> Lump | None:
    """Draw a rounded, irregular lump; None where it lies outside the field.

    Parameters
    ----------
    shape : (y, x)
        The field.
    centre : (row, col)
        Middle of the lump in pixels.
    radius_px : float
        Its mean radius.
    rng : numpy.random.Generator
        Source of its outline.

    Examples
    --------
    >>> lump = ice_lump((64, 96), (30, 40), 10, np.random.default_rng(0))
    >>> float(lump.thickness.max()) <= 1
    True
    """
    reach = 1.8 * radius_px
    top, left = (max(int(c - reach), 0) for c in centre)
    bottom, right = (min(int(c + reach) + 1, n) for c, n in zip(centre, shape, strict=True))
    if top >= bottom or left >= right:
        return None
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre[0])
    cols = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(centre[1])
    angle = np.arctan2(rows, cols)
    outline = np.ones_like(angle)
    for order in range(2, 7):
        size, turn = rng.normal(0, 0.25 / order**1.6), rng.uniform(0, 2 * np.pi)
        outline += np.float32(size) * np.cos(order * angle + np.float32(turn))
    share = np.hypot(rows, cols) / (np.float32(radius_px) * np.clip(outline, 0.4, 1.8))
    thickness = np.clip(1 - share**2, 0, None) ** np.float32(0.4)
    return Lump(slice(top, bottom), slice(left, right), np.asarray(thickness, np.float32))


def carbon_film(
    shape: tuple[int, int], hole_radius_px: float, share: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Relative thickness of a carbon film: 0 in a round hole that reaches over one border.

    Parameters
    ----------
    shape : (y, x)
        The field.
    hole_radius_px : float
        Radius of the hole.
    share : float
        How far the film reaches in from the border, relative to the field.
    rng : numpy.random.Generator
        Source of the side, of the edge's roughness and of how steeply it falls off.

    Returns
    -------
    (y, x) float32
        0 to 1.

    Examples
    --------
    >>> film = carbon_film((64, 96), 200, 0.2, np.random.default_rng(0))
    >>> bool(0.02 < film.mean() < 0.5)
    True
    """
    angle = rng.uniform(0, 2 * np.pi)
    unit = np.array([np.sin(angle), np.cos(angle)])
    reach = float(np.abs(unit) @ np.asarray(shape)) / 2  # from the middle to the border along `unit`
    middle = np.asarray(shape) / 2 + unit * (reach * (1 - 2 * share) - hole_radius_px)
    rows = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(middle[0])
    cols = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(middle[1])
    knots = sum(
        ndimage.gaussian_filter1d(rng.standard_normal(4096), sigma, mode="wrap") * np.sqrt(sigma) * size
        for sigma, size in ((40.0, 0.006), (8.0, 0.003), (2.0, 0.0015))
    )
    along = (np.arctan2(rows, cols) / np.float32(2 * np.pi) + np.float32(0.5)) * np.float32(4095)
    rough = np.interp(along, np.arange(4096), knots * hole_radius_px).astype(np.float32)
    film = np.hypot(rows, cols)
    film -= rough + np.float32(hole_radius_px)
    film *= np.float32(1 / (rng.uniform(0.01, 0.03) * hole_radius_px))
    np.clip(film, 0, 1, out=film)
    film *= film * (3 - 2 * film)
    return np.asarray(film, np.float32)


@dataclass(frozen=True)
class Surroundings:
    """Everything that is not protein.

    Attributes
    ----------
    brightness : (y, x) float32
        Share of the dose that comes through.
    carbon : (y, x) float32 or None
        Relative thickness of the film.
    lumps : list of Lump
        Ice contamination.
    foreign : (y, x) bool
        Carbon and lumps.
    """

    brightness: NDArray[np.float32]
    carbon: NDArray[np.float32] | None
    lumps: list[Lump]
    foreign: NDArray[np.bool_]


def draw_surroundings(rng: np.random.Generator, settings: SimulateSettings) -> Surroundings:
    """Draw the ice, its contamination and, with the probability set, a carbon edge."""
    shape = settings.shape
    brightness = smooth_field(shape, rng)
    brightness *= np.float32(rng.uniform(0.3, 1) * settings.ice_unevenness)
    np.clip(brightness, -0.5, 0.5, out=brightness)
    brightness += 1
    # mottling down to 10 nm: ice that differs a little in thickness
    waves = int(np.clip(max(settings.field_nm) / 5, 4, 200))
    brightness += smooth_field(shape, rng, waves=waves, slope=1.2) * np.float32(settings.ice_mottling)
    foreign = np.zeros(shape, bool)
    carbon = None
    film_rng, lump_rng = rng.spawn(2)
    if film_rng.random() < settings.carbon:
        radius = settings.hole_radius_um * 1e3 / settings.pixel_nm
        carbon = carbon_film(shape, radius, film_rng.uniform(0.05, 0.3), film_rng)
        brightness *= 1 - carbon * np.float32(film_rng.uniform(0.06, 0.14))
        foreign |= carbon > 0
    lumps = []
    low, high = settings.lump_radius_nm
    for _ in range(lump_rng.integers(*settings.lumps, endpoint=True)):
        radius_nm = low * (high / low) ** lump_rng.beta(1.0, 3.0)
        centre = (lump_rng.uniform(0, shape[0]), lump_rng.uniform(0, shape[1]))
        lump = ice_lump(shape, centre, radius_nm / settings.pixel_nm, lump_rng)
        if lump is None:
            continue
        # most lumps are thin flakes
        thickest_nm = 2 * radius_nm * lump_rng.beta(1.0, 1.5)
        lump = replace(lump, thickness=lump.thickness * np.float32(thickest_nm / _FREE_PATH_NM))
        lumps.append(lump)
        brightness[lump.rows, lump.cols] *= np.exp(-lump.thickness)
        foreign[lump.rows, lump.cols] |= lump.thickness > 0.02
    return Surroundings(brightness, carbon, lumps, foreign)
