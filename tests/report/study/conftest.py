"""Small fields of cells with masks, and the study file that goes with them."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellseg.images.simulate.cell_field import CellFieldSettings, simulate_cells

TINY = CellFieldSettings(shape=(64, 72), cells=6, radius_px=8)
STUDY = """\
title: Cells
images: images/*.tif
masks: masks/*.tif
classes: cell
polarity: bright
thin: []
split: {holdout: 0.4, seed: 42}
settings: {architecture: unet-light, epochs: 2, steps: 40, batch: 4, window_px: 32, depth: 3, width: 4,
  pretrained: false, device: cpu}
segmenting: {device: cpu}
systems:
  - default
"""


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """A folder of five fields."""
    return write_fields(tmp_path / "fields")


def write_fields(folder: Path, count: int = 5) -> Path:
    """Write fields of cells, their masks and ``STUDY.yaml``."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        field = simulate_cells(number, settings=TINY)
        density = (1e7 / field.pixel_nm, 1e7 / field.pixel_nm)
        tifffile.imwrite(
            folder / f"images/donor{number // 2}_{number}.tif",
            field.image,
            resolution=density,
            resolutionunit="CENTIMETER",
        )
        mask = np.where(field.mask == 2, 255, 0).astype(np.uint8)
        tifffile.imwrite(folder / f"masks/donor{number // 2}_{number}_mask.tif", mask)
    (folder / "STUDY.yaml").write_text(STUDY)
    return folder
