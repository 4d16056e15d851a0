"""Crops a second: from files to the input of a network, on one core, without the network.

    python benchmarks/crops.py [--cells 2000] [--data DATA]

Processor time, so it holds on a busy machine; files are in the system's cache (the second reading counts).
"""

import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cyclopts
import numpy as np
import tifffile
from real_data import DATA

from napari_cellseg.images.crops import Crops, channel_bounds, fit_crop, measure_each, read_crops, read_each
from napari_cellseg.images.simulate.ideas_export import ideas_tiff

SIZE, LIMIT = (64, 32), 5000


def crops(*, cells: int = 2000, data: Path = DATA) -> None:
    """Time reading, fitting and measuring.

    Parameters
    ----------
    cells
        How many of each kind.
    data
        Folder of the real images.
    """
    rng = np.random.default_rng(0)
    line = {"benchmark": "crops", "cells": cells, "size": SIZE, "machine": platform.machine()}
    with tempfile.TemporaryDirectory() as folder:
        kinds = {
            "ideas_64x32x3": export(Path(folder) / "small", cells, lambda: SIZE, rng),
            "ideas_real_sizes": export(
                Path(folder) / "real", cells, lambda: (rng.integers(69, 126), rng.integers(58, 115)), rng
            ),
            "rgb_tiff_64x32": colours(Path(folder) / "rgb", cells, rng),
        }
        if (data / "flowcam-protists").is_dir():
            kinds["flowcam_png"] = data / "flowcam-protists"
        for name, path in kinds.items():
            line[f"{name}_per_second"] = round(per_second(read_crops(path)))
        measured = read_crops(kinds["ideas_real_sizes"]).take(np.arange(min(cells, 200)))
        began = time.process_time()
        done = sum(1 for _ in measure_each(measured))
        line["measured_ms"] = round(1000 * (time.process_time() - began) / done, 2)
    line["limits"] = {"ideas_64x32x3_per_second": LIMIT}
    print(json.dumps(line))


def per_second(found: Crops) -> float:
    """Return how many crops a core reads and fits in a second."""
    bounds = channel_bounds(found)
    for _ in range(2):
        began = time.process_time()
        for pixels in read_each(found):
            assert isinstance(pixels, np.ndarray)
            fit_crop(pixels, SIZE, bounds)
        took = time.process_time() - began
    return len(found) / took


def export(folder: Path, cells: int, size: Callable[[], tuple[int, int]], rng: np.random.Generator) -> Path:
    """Write cells of noise as IDEAS does, three files each."""
    folder.mkdir()
    for number in range(cells):
        shape = size()
        for channel in (4, 5, 6):
            plane = rng.integers(0, 4096, shape).astype(np.uint16)
            content = ideas_tiff(plane, channel, number, "noise")
            (folder / f"noise_{number}_Ch{channel}.ome.tif").write_bytes(content)
    return folder


def colours(folder: Path, cells: int, rng: np.random.Generator) -> Path:
    """Write RGB cells of noise, one file each."""
    folder.mkdir()
    for number in range(cells):
        pixels = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        tifffile.imwrite(folder / f"{number}.tif", pixels, photometric="rgb")
    return folder


if __name__ == "__main__":
    cyclopts.run(crops)
