"""Image formation in the electron microscope: contrast transfer, dose, detector."""

import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

ANGSTROM_PER_NM = 10.0


def electron_wavelength_angstrom(voltage_kv: float) -> float:
    """Relativistic wavelength of the electron.

    Examples
    --------
    >>> round(electron_wavelength_angstrom(300), 4)
    0.0197
    """
    volts = voltage_kv * 1e3
    return 12.2643 / math.sqrt(volts * (1 + 0.978466e-6 * volts))


def interaction_rad_per_volt_angstrom(voltage_kv: float) -> float:
    """Phase shift of the electron wave by one volt over one angstrom.

    Kirkland, Advanced Computing in Electron Microscopy, eq. 5.6.

    Examples
    --------
    >>> f"{interaction_rad_per_volt_angstrom(300):.2e}"
    '6.53e-04'
    """
    volts, rest = voltage_kv * 1e3, 510_998.95
    wavelength = electron_wavelength_angstrom(voltage_kv)
    return 2 * math.pi / (wavelength * volts) * (rest + volts) / (2 * rest + volts)


def contrast_transfer(
    shape: tuple[int, int],
    *,
    pixel_nm: float,
    defocus_um: float,
    astigmatism_um: float = 0.0,
    astigmatism_degrees: float = 0.0,
    voltage_kv: float = 300.0,
    cs_mm: float = 2.7,
    amplitude_contrast: float = 0.1,
    b_factor_angstrom2: float = 0.0,
) -> NDArray[np.float32]:
    """Transfer of phase to image contrast, on the half plane of `scipy.fft.rfft2`.

    Negative at low spatial frequencies under focus (positive `defocus_um`): matter is
    dark. Sign and parameters as in CTFFIND4 (Rohou and Grigorieff, J. Struct. Biol. 192,
    216-221, 2015), times the envelope ``exp(-B k^2 / 4)``.

    Parameters
    ----------
    shape : (y, x)
        Shape of the image in pixels.
    pixel_nm, defocus_um, astigmatism_um, astigmatism_degrees, voltage_kv, cs_mm : float
        Pixel size, mean underfocus, half the difference of the two defoci, the angle of
        the larger one to the columns' axis, and the microscope.
    amplitude_contrast : float
        Share of amplitude contrast, 0 to 1.
    b_factor_angstrom2 : float
        Envelope; 0 for none.

    Returns
    -------
    (y, x // 2 + 1) float32
        Between -1 and 1.

    Examples
    --------
    >>> transfer = contrast_transfer((32, 48), pixel_nm=0.2, defocus_um=2.0)
    >>> transfer.shape, round(float(transfer[0, 0]), 2)
    ((32, 25), -0.1)
    """
    pixel = pixel_nm * ANGSTROM_PER_NM
    wavelength = electron_wavelength_angstrom(voltage_kv)
    ky = scipy.fft.fftfreq(shape[0], pixel).astype(np.float32)[:, None]
    kx = scipy.fft.rfftfreq(shape[1], pixel).astype(np.float32)[None, :]
    k2 = ky**2 + kx**2
    angle = math.radians(2 * astigmatism_degrees)
    # defocus(angle) * k^2 = (mean + half difference * cos 2(angle - axis)) * k^2
    squeeze = math.cos(angle) * (kx**2 - ky**2) + (2 * math.sin(angle)) * (kx * ky)
    turns = math.pi * wavelength * 1e4
    phase = np.float32(turns * defocus_um) * k2
    phase += np.float32(turns * astigmatism_um) * squeeze
    phase -= np.float32(math.pi / 2 * cs_mm * 1e7 * wavelength**3) * k2**2
    phase += np.float32(math.asin(amplitude_contrast))
    transfer = -np.sin(phase)
    falloff = b_factor_angstrom2 / 4
    transfer *= np.exp(-falloff * ky**2) * np.exp(-falloff * kx**2)
    return np.asarray(transfer, np.float32)


def image_contrast(phase: NDArray[np.float32], transfer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Relative intensity (0 = mean) of a weak phase object seen through `transfer`.

    Parameters
    ----------
    phase : (y, x) float32
        Phase shift of the exit wave in radians.
    transfer : (y, x // 2 + 1) float32
        As from `contrast_transfer`.

    Examples
    --------
    >>> phase = np.zeros((32, 48), np.float32)
    >>> phase[15:18, 23:26] = 0.1
    >>> transfer = contrast_transfer((32, 48), pixel_nm=0.5, defocus_um=1.0)
    >>> bool(image_contrast(phase, transfer)[16, 24] < 0)
    True
    """
    spectrum = scipy.fft.rfft2(phase, workers=2)
    spectrum *= transfer
    spectrum *= np.float32(2)
    return np.asarray(scipy.fft.irfft2(spectrum, s=phase.shape, workers=2, overwrite_x=True), np.float32)


def expose(
    intensity: NDArray[np.float32], rng: np.random.Generator, *, blur: float = 0.08, shot_noise: bool = True
) -> NDArray[np.float32]:
    """Electrons recorded in every pixel, after the detector's blur.

    Parameters
    ----------
    intensity : (y, x) float32
        Electrons expected in a pixel; not negative.
    rng : numpy.random.Generator
        Source of the shot noise.
    blur : float
        Share of a pixel's signal that goes to either neighbour along an axis: the
        transfer at the Nyquist frequency is ``1 - 4 * blur`` along rows and columns.
    shot_noise : bool
        Without it the expected values are returned, blurred.

    Returns
    -------
    (y, x) float32

    Examples
    --------
    >>> flat = np.full((64, 96), 50, np.float32)
    >>> recorded = expose(flat, np.random.default_rng(0), blur=0)
    >>> bool(40 < recorded.var() < 60)
    True
    """
    recorded = rng.poisson(intensity).astype(np.float32) if shot_noise else intensity.astype(np.float32)
    if blur:
        weights = np.asarray([blur, 1 - 2 * blur, blur], np.float32)
        for axis in (0, 1):
            recorded = ndimage.correlate1d(recorded, weights, axis=axis, mode="reflect")
    return recorded
