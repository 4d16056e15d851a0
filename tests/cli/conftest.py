"""A folder with two models of random weights and an image, for all tests of commands."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, new_model, save_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one.safetensors and two.safetensors find "bar"; a.tif has 80 x 96 px of noise."""
    folder = tmp_path_factory.mktemp("commands")
    options = {"depth": 3, "width": 4}
    spec = ModelSpec("unet", "resnet18", Classes.of("bar"), stride=8, halo_px=16, options=options)
    for name in ("one", "two"):
        save_model(folder / f"{name}.safetensors", spec, new_model(spec).net)
    tifffile.imwrite(folder / "a.tif", np.random.default_rng(0).normal(0, 1, (80, 96)).astype(np.float32))
    return folder
