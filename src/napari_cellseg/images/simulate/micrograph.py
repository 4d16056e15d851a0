"""Simulated images with known truth: cryo-EM micrographs of thin filaments, and cells.

A micrograph is made as the microscope makes it: projected potential of actin, tropomyosin
and troponin on curved paths in granular ice, contrast transfer, dose, shot noise,
detector. See docs/simulation.md for what is modelled and what is not.
"""

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.simulate.ice import Surroundings, draw_surroundings
from napari_cellseg.images.simulate.optics import contrast_transfer, expose, image_contrast
from napari_cellseg.images.simulate.potential import PAD_NM, phase_shift
from napari_cellseg.images.simulate.settings import SimulateSettings
from napari_cellseg.images.simulate.simulated import Simulated
from napari_cellseg.images.simulate.strokes import paint_stroke
from napari_cellseg.images.simulate.thin_filament import ThinFilament, clip_path, worm_like_path

BACKGROUND, FILAMENT = 1, 2

_KEEP = 0.05  # no pixel gets less than this share of the dose


def simulate_micrograph(seed: int, *, settings: SimulateSettings | None = None) -> Simulated:
    """Simulate a cryo-EM micrograph of thin filaments, with its truth.

    Parameters
    ----------
    seed : int
        The same seed and settings give the same arrays.
    settings : SimulateSettings
        Default: a 3838 x 3710 micrograph at 0.137 nm a pixel.

    Examples
    --------
    >>> small = SimulateSettings(shape=(96, 128), pixel_nm=0.5, filaments=(2, 2))
    >>> simulated = simulate_micrograph(0, settings=small)
    >>> simulated.image.shape, sorted(np.unique(simulated.mask).tolist())
    ((96, 128), [1, 2])
    """
    settings = settings or SimulateSettings()
    # one stream for each part: more lumps do not move the filaments
    rngs = [np.random.default_rng([seed, part]) for part in range(5)]
    threads = _draw_filaments(rngs[0], settings)
    around = draw_surroundings(rngs[1], settings)
    dose, defocus = rngs[2].uniform(*settings.dose), rngs[2].uniform(*settings.defocus_um)
    phase = phase_shift(threads, around, rngs[3], settings)
    image = _expected(phase, around, defocus, rngs[2], settings)
    image *= np.float32(dose * (settings.pixel_nm * 10) ** 2)
    image = expose(image, rngs[4], blur=settings.detector_blur, shot_noise=settings.shot_noise)
    paths, troponins, owners = _truth(threads, settings)
    mask = np.full(settings.shape, BACKGROUND, np.uint8)
    for thread in threads:
        near = _near_field(thread.path_nm, settings)
        for run in near:
            paint_stroke(mask, run / settings.pixel_nm, settings.width_nm / settings.pixel_nm / 2, FILAMENT)
    return Simulated(
        image=image,
        mask=mask,
        foreign=around.foreign,
        filaments=paths,
        troponins=troponins,
        troponin_filaments=owners,
        pixel_nm=settings.pixel_nm,
        defocus_um=defocus,
        dose=dose,
        seed=seed,
        settings=settings,
    )


def _near_field(path_nm: NDArray[np.float64], settings: SimulateSettings) -> list[NDArray[np.float64]]:
    """Pieces of the path in the field or so close that their width reaches into it."""
    high, margin = settings.field_nm, settings.width_nm
    shifted = clip_path(path_nm + margin, (high[0] + 2 * margin, high[1] + 2 * margin))
    return [piece - margin for piece in shifted]


def _draw_filaments(rng: np.random.Generator, settings: SimulateSettings) -> list[ThinFilament]:
    """Draw places, directions and lengths."""
    high = settings.field_nm
    common, spread = rng.uniform(0, np.pi), np.radians(settings.spread_degrees)
    threads = []
    for _ in range(rng.integers(*settings.filaments, endpoint=True)):
        start = (rng.uniform(0, high[0]), rng.uniform(0, high[1]))
        # both arms exponential with half the mean length each, no longer than anything in view needs
        arms = np.minimum(rng.exponential(settings.length_um * 500, 2), 2 * (sum(high) + 100))
        path = worm_like_path(
            rng,
            start,
            common + rng.normal(0, spread),
            before_nm=arms[0],
            after_nm=arms[1],
            persistence_um=rng.uniform(*settings.persistence_um),
        )
        threads.append(
            ThinFilament.grow(
                path,
                rng,
                disorder_degrees=settings.disorder_degrees,
                occupancy=settings.troponin_occupancy,
            )
        )
    return threads


def _expected(
    phase: NDArray[np.float32],
    around: Surroundings,
    defocus_um: float,
    rng: np.random.Generator,
    settings: SimulateSettings,
) -> NDArray[np.float32]:
    """(y, x) expected share of the dose in every pixel."""
    transfer = contrast_transfer(
        phase.shape,
        pixel_nm=settings.pixel_nm,
        defocus_um=defocus_um,
        astigmatism_um=settings.astigmatism_um,
        astigmatism_degrees=rng.uniform(0, 180),
        voltage_kv=settings.voltage_kv,
        cs_mm=settings.cs_mm,
        amplitude_contrast=rng.uniform(*settings.amplitude_contrast),
        b_factor_angstrom2=rng.uniform(*settings.b_factor_angstrom2),
    )
    pad = int(np.ceil(PAD_NM / settings.pixel_nm))
    contrast = image_contrast(phase, transfer)
    expected = contrast[pad : pad + settings.shape[0], pad : pad + settings.shape[1]] + np.float32(1)
    expected *= around.brightness
    np.maximum(expected, np.float32(_KEEP), out=expected)
    return expected


def _truth(
    threads: list[ThinFilament], settings: SimulateSettings
) -> tuple[tuple[NDArray[np.float64], ...], NDArray[np.float64], NDArray[np.int64]]:
    """Pieces of the axes in the field, and the troponins with the piece each sits on."""
    high = settings.field_nm
    paths: list[NDArray[np.float64]] = []
    points, owners = [np.empty((0, 2))], [np.empty(0, np.int64)]
    for thread in threads:
        pieces = clip_path(thread.path_nm, high)
        sites = thread.troponins_nm()
        sites = sites[((sites >= 0) & (sites <= np.asarray(high))).all(axis=1)]
        if pieces and len(sites):
            gaps = [
                np.hypot(*(piece[:, None] - sites[None]).transpose(2, 0, 1)).min(axis=0) for piece in pieces
            ]
            points.append(sites / settings.pixel_nm)
            owners.append(np.argmin(gaps, axis=0) + len(paths))
        paths += [piece / settings.pixel_nm for piece in pieces]
    return tuple(paths), np.concatenate(points), np.concatenate(owners)
