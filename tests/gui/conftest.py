"""A project with two small images, on disk, and a model for them."""

import shutil
import subprocess
import sys
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


# torch stays out of this process, as it does out of the viewer's: see gui.block_process
MAKE_MODEL = """
import sys
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, new_model, save_model

provenance = {"images": ["bar_1"], "validation_dice": 0.9}
options = {"depth": 3, "width": 4}
spec = ModelSpec(
    "unet", "resnet18", Classes.of("bar", "edge"), stride=8, halo_px=16, options=options,
    provenance=provenance,
)
save_model(sys.argv[1], spec, new_model(spec).net)
"""


@pytest.fixture(scope="session")
def made_model(tmp_path_factory):
    """A tiny network with random weights."""
    path = tmp_path_factory.mktemp("model") / "bars.safetensors"
    subprocess.run([sys.executable, "-W", "ignore", "-c", MAKE_MODEL, str(path)], check=True)
    return path


@pytest.fixture
def model_file(project, made_model):
    """The network, in the project."""
    return Path(shutil.copy(made_model, project.path / "models"))
