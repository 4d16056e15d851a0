"""Projected potential of a scene: what shifts the phase of the electron wave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from napari_cellseg.images.simulate.ice import Surroundings
from napari_cellseg.images.simulate.optics import interaction_rad_per_volt_angstrom
from napari_cellseg.images.simulate.thin_filament import Blobs, ThinFilament

if TYPE_CHECKING:
    from napari_cellseg.images.simulate.settings import SimulateSettings

# One kDa of protein in ice: 1210 A^3 (0.73 cm^3/g) at 7.4 - 4.9 V above the mean inner
# potential of ice (Vulovic et al., J. Struct. Biol. 183, 19-32, 2013).
_VOLT_ANGSTROM3_PER_KDA = 1210 * 2.5
# Contrast in real micrographs stays well below that of the bare potential (hydration, inelastic
# scattering, motion): set so that filaments stand out as particles do in real ones.
_SEEN = 0.7
_CARBON_GRAIN, _CARBON_RAD = 2.2, 0.5  # noise relative to that of ice; phase of some 20 nm of carbon
_LUMP_RAD = 2.0  # phase of ice one mean free path thick, softened
PAD_NM = 12.0
"""How far the plane reaches beyond the field, so that fringes of what lies there come in."""


def phase_shift(
    threads: list[ThinFilament], around: Surroundings, rng: np.random.Generator, settings: SimulateSettings
) -> NDArray[np.float32]:
    """Phase shift by protein, ice and carbon, in radians, on a plane larger than the field.

    Returns
    -------
    (y + at least 2 pad, x + at least 2 pad) float32
        Of a size that is quick to transform; the field begins at ``pad = ceil(PAD_NM / pixel_nm)``.
    """
    pad = int(np.ceil(PAD_NM / settings.pixel_nm))
    shape = tuple(scipy.fft.next_fast_len(n + 2 * pad, real=True) for n in settings.shape)
    inner = (slice(pad, pad + settings.shape[0]), slice(pad, pad + settings.shape[1]))
    angstrom = settings.pixel_nm * 10
    phase = rng.standard_normal(shape, dtype=np.float32)
    phase *= np.float32(settings.ice_granularity / angstrom)
    if around.carbon is not None:
        film = np.pad(around.carbon, _pads(shape, settings.shape, pad), mode="edge")
        phase *= 1 + film * np.float32(_CARBON_GRAIN - 1)
        phase += film * np.float32(_CARBON_RAD)
    for lump in around.lumps:
        phase[inner][lump.rows, lump.cols] += np.minimum(lump.thickness * np.float32(_LUMP_RAD), 1)
    high = settings.field_nm
    per_kda = (
        _SEEN * _VOLT_ANGSTROM3_PER_KDA * interaction_rad_per_volt_angstrom(settings.voltage_kv) / angstrom**2
    )
    for thread in threads:
        splat(phase, thread.blobs(high, tropomyosin=settings.tropomyosin), per_kda, pad, settings.pixel_nm)
    splat(phase, _loose_monomers(rng, settings), per_kda, pad, settings.pixel_nm)
    return phase


def _pads(outer: tuple[int, ...], inner: tuple[int, ...], pad: int) -> list[tuple[int, int]]:
    return [(pad, big - small - pad) for big, small in zip(outer, inner, strict=True)]


def _loose_monomers(rng: np.random.Generator, settings: SimulateSettings) -> Blobs:
    """Actin that did not polymerise, in any orientation: round clouds of 42 kDa."""
    high = np.asarray(settings.field_nm)
    count = rng.poisson(settings.monomers_per_um2 * high.prod() / 1e6)
    centres = rng.uniform(0, 1, (count, 1, 2)) * high
    places = centres + rng.normal(0, 1, (count, 40, 2)) * rng.uniform(0.9, 1.7, (count, 1, 2))
    return Blobs(places.reshape(-1, 2), np.full(count * 40, 42.0 / 40))


def splat(plane: NDArray[np.float32], blobs: Blobs, per_kda: float, pad: int, pixel_nm: float) -> None:
    """Add point masses to a plane, each shared between the four nearest pixels.

    Parameters
    ----------
    plane : (y, x) float32
        Added to in place; masses beyond it are left out.
    blobs : Blobs
        The masses, in nm from the field's first pixel.
    per_kda : float
        What one kDa adds to a pixel.
    pad : int
        Row and column of the field's first pixel in the plane.
    pixel_nm : float
        Pixel size.

    Examples
    --------
    >>> plane = np.zeros((2, 3), np.float32)
    >>> splat(plane, Blobs(np.array([[0.0, 0.5]]), np.array([2.0])), 1.0, 0, 1.0)
    >>> plane.tolist()
    [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    places = blobs.places_nm / pixel_nm + pad
    inside = ((places >= 0) & (places < np.asarray(plane.shape) - 1)).all(axis=1)
    corner = np.floor(places[inside]).astype(np.intp)
    share = (places[inside] - corner).astype(np.float32)
    weight = (blobs.kda[inside] * per_kda).astype(np.float32)
    flat, first = plane.ravel(), corner[:, 0] * plane.shape[1] + corner[:, 1]
    for row in (0, 1):
        for col in (0, 1):
            part = np.abs(1 - row - share[:, 0]) * np.abs(1 - col - share[:, 1])
            np.add.at(flat, first + (row * plane.shape[1] + col), weight * part)
