"""A network small enough to build in a moment, and its file."""

import copy

import pytest

from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, new_model, save_model


@pytest.fixture(scope="session")
def spec():
    return ModelSpec(
        architecture="unet",
        encoder="resnet18",
        classes=Classes.of("filament", "carbon"),
        channels=2,
        pixel_nm=0.6,
        stride=8,
        halo_px=40,
        options={"depth": 3, "width": 4},
        provenance={"settings": {"epochs": 3}, "images": ["ä"]},
    )


@pytest.fixture(scope="session")
def _built(spec):
    return new_model(spec)


@pytest.fixture
def model(_built):
    """Return a network of the test's own: `prepare` changes its layout in place."""
    return copy.deepcopy(_built)


@pytest.fixture
def model_file(tmp_path, spec, model):
    return save_model(tmp_path / "model.safetensors", spec, model.net)
