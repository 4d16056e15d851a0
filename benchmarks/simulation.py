"""Simulated micrographs beside real ones: noise, contrast, power spectrum, time.

    python benchmarks/simulation.py --data DATA [--picture docs/images/simulation.png]

DATA holds `cryoem-mrc/Ucsf_stack_1142_DW.mrc` (a real micrograph, binned and dose-weighted)
and `cryoem-bgal-empiar10017/` (two real micrographs with particle masks, as JPG). Prints
one JSON line last.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import scipy.fft
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph

BGAL_NM = 0.177  # Falcon II, EMPIAR-10017
BIN_NM = 2.16
SEEDS = (1, 2, 3, 4)


def binned(plane: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of `factor` pixels a side."""
    rows, cols = (n // factor for n in plane.shape)
    return (
        plane[: rows * factor, : cols * factor]
        .reshape(rows, factor, cols, factor)
        .mean((1, 3), dtype=np.float32)
    )


def flattened(plane: np.ndarray, sigma_px: float) -> np.ndarray:
    """Keep what is smaller than `sigma_px`."""
    return plane - ndimage.gaussian_filter(plane, sigma_px)


def distinctness(
    image: np.ndarray, mask: np.ndarray, valid: np.ndarray, pixel_nm: float, bin_nm: float
) -> float:
    """How much darker the mask is than the rest, in standard deviations of the rest.

    In pixels binned to about `bin_nm`, after dropping what is larger than 60 nm.
    """
    factor = max(round(bin_nm / pixel_nm), 1)
    filled = np.where(valid, image, image[valid].mean()).astype(np.float32)
    small = flattened(binned(filled, factor), 60 / (factor * pixel_nm))
    share, ok = binned(mask.astype(np.float32), factor), binned(valid.astype(np.float32), factor) > 0.99
    inside, outside = small[(share > 0.9) & ok], small[(share < 0.1) & ok]
    return float((outside.mean() - inside.mean()) / outside.std())


def spectrum(plane: np.ndarray, size: int = 256) -> np.ndarray:
    """Radial power, median over windows of the whole field, relative to that near Nyquist."""
    ky, kx = scipy.fft.fftfreq(size)[:, None], scipy.fft.fftfreq(size)[None, :]
    ring = np.round(np.hypot(ky, kx) * size).astype(int)
    taper = np.outer(np.hanning(size), np.hanning(size))
    powers = []
    for row in range(0, plane.shape[0] - size + 1, size):
        for col in range(0, plane.shape[1] - size + 1, size):
            window = plane[row : row + size, col : col + size]
            power = np.abs(scipy.fft.fft2((window - window.mean()) * taper)) ** 2
            powers.append(ndimage.mean(power, ring, np.arange(size // 2)))
    radial = np.median(powers, axis=0)
    return radial / radial[-size // 16 :].mean()


def steepness(radial: np.ndarray) -> float:
    """Slope of log power over log frequency between 1/64 and 1/8 of a pixel."""
    at = np.arange(4, 33)
    return float(np.polyfit(np.log(at), np.log(radial[at]), 1)[0])


def shown(plane: np.ndarray, side: int, text: str) -> Image.Image:
    """Middle of the plane as a square picture, grey values from the 0.5th to the 99.5th percentile."""
    cut = min(plane.shape)
    top, left = ((n - cut) // 2 for n in plane.shape)
    low, high = np.percentile(plane, (0.5, 99.5))
    grey = (np.clip((plane[top : top + cut, left : left + cut] - low) / (high - low), 0, 1) * 255).astype(
        np.uint8
    )
    picture = Image.fromarray(grey).resize((side, side), Image.Resampling.BOX)
    ImageDraw.Draw(picture).text((6, 4), text, fill=255, stroke_width=2, stroke_fill=0)
    return picture


def bgal_micrographs(data: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, particle mask and what lies off the padded rim, for both real micrographs."""
    found = []
    for path in sorted((data / "cryoem-bgal-empiar10017/images").glob("*.jpg")):
        image = np.asarray(iio.imread(path), np.float32)
        mask = np.asarray(iio.imread(path.parent.parent / "masks" / f"{path.stem}_mask.jpg")) > 127
        image, mask = (plane[..., 0] if plane.ndim == 3 else plane for plane in (image, mask))
        valid = np.zeros(image.shape, bool)
        valid[500:-500, 500:-500] = True
        found.append((image, mask, valid))
    return found


def main() -> None:
    """Simulate, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--picture", type=Path, default=None)
    arguments = parser.parse_args()
    real = read_image(arguments.data / "cryoem-mrc/Ucsf_stack_1142_DW.mrc").read(slice(None), slice(None))[0]
    seconds, processor, peaks, pictures = [], [], [], []
    seen, noise, slopes = [], [], []
    for seed in SEEDS:
        begin, used = time.perf_counter(), time.process_time()
        simulated = simulate_micrograph(seed, settings=SimulateSettings())
        seconds.append(time.perf_counter() - begin)
        processor.append(time.process_time() - used)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        image, filament = simulated.image, simulated.mask == 2
        seen.append(distinctness(image, filament, ~simulated.foreign, simulated.pixel_nm, BIN_NM))
        ground = image[~filament & ~simulated.foreign]
        noise.append(float(ground.std() / ground.mean()))
        four = binned(image, 4)
        slopes.append(steepness(spectrum(four)))
        title = f"simulated, seed {seed}: {simulated.dose:.0f} e/A2, {simulated.defocus_um:.1f} um"
        pictures.append(shown(four, 480, title))
    bgal = bgal_micrographs(arguments.data)
    if arguments.picture:
        sheet = Image.new("L", (2 * 480, 2 * 480))
        for index, picture in enumerate(pictures[:4]):  # real ones are not ours to show
            sheet.paste(picture, (index % 2 * 480, index // 2 * 480))
        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(arguments.picture, optimize=True)
    calm = real[450:, :]  # without the large lump of ice
    result = {
        "seconds": round(float(np.median(seconds)), 2),
        "cpu_seconds": round(float(np.median(processor)), 2),
        "peak_mb": round(peaks[0]),  # the first, before anything was measured on it
        "distinctness_simulated": [round(value, 3) for value in seen],
        "distinctness_real_bgal": [round(distinctness(*planes, BGAL_NM, BIN_NM), 3) for planes in bgal],
        "noise_over_mean_simulated": [round(value, 3) for value in noise],
        "slope_simulated": [round(value, 2) for value in slopes],
        "slope_real_ucsf": round(steepness(spectrum(calm)), 2),
        "slope_real_bgal": [
            round(steepness(spectrum(binned(i[500:-500, 500:-500], 4))), 2) for i, *_ in bgal
        ],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
