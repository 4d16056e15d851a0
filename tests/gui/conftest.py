"""A project with two small images, on disk, and viewers to open it in."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.project import Project


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two images of a bright bar, 64 x 80 px of 0.5 nm."""
    rng = np.random.default_rng(1)
    paths = []
    for number in (1, 2):
        plane = rng.normal(100, 10, (64, 80))
        plane[24:40] += 60
        path = tmp_path / f"bar_{number}.tif"
        resolution = (2e7, 2e7)  # pixels a centimetre: 0.5 nm each
        tifffile.imwrite(path, plane.astype(np.uint16), resolution=resolution, resolutionunit="CENTIMETER")
        paths.append(path)
    return paths


@pytest.fixture
def project(tmp_path: Path, images: list[Path]) -> Project:
    """A project with the images, nothing painted."""
    made = Project.create(tmp_path / "bars", Classes.of("bar", "edge"))
    for path in images:
        made.add_image(path)
    return made
