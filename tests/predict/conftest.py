"""Networks small enough to be checked, and one of numpy that is exactly local."""

from collections.abc import Callable

import numpy as np
import pytest

from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets import backends
from napari_cellseg.nets.backends import BACKENDS, Backend
from napari_cellseg.nets.model import Model, ModelSpec
from napari_cellseg.predict import segment_file


def local_forward(stride: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a forward pass that sees `stride` cells' neighbours: less than ``3 * stride`` px."""

    def forward(windows: np.ndarray) -> np.ndarray:
        n, _, height, width = windows.shape
        assert height % stride == width % stride == 0
        plane = windows.sum(1)
        cells = plane.reshape(n, height // stride, stride, width // stride, stride).max((2, 4))
        around = np.pad(cells, [(0, 0), (1, 1), (1, 1)])
        mixed = around[:, :-2, 1:-1] + around[:, 2:, 1:-1] - around[:, 1:-1, :-2] - 0.5 * around[:, 1:-1, 2:]
        fine = np.pad(plane, [(0, 0), (1, 1), (1, 1)])
        edges = fine[:, 1:-1, 2:] - fine[:, :-2, 1:-1]
        score = mixed.repeat(stride, 1).repeat(stride, 2) + edges
        filament = (1 / (1 + np.exp(-score))).astype(np.float32)
        return np.stack([1 - filament, filament], 1)

    return forward


@pytest.fixture(autouse=True)
def _numpy_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = Backend(lambda model, device, precision: local_forward(model.spec.stride), str, "for tests")
    monkeypatch.setitem(BACKENDS, "numpy", numpy)
    monkeypatch.setattr(backends, "pick_device", lambda device="auto": "cpu")  # spares the import of torch


@pytest.fixture(autouse=True)
def _no_model_of_another_test() -> None:
    segment_file._loaded.cache_clear()


@pytest.fixture(scope="session")
def local_model() -> Callable[..., Model]:
    """Return a maker of models for the backend "numpy"; they need a halo of ``3 * stride``."""

    def make(stride: int = 8, channels: int = 1, pixel_nm: float | None = None, **changes: object) -> Model:
        values = {"halo_px": 3 * stride, "classes": Classes.of("filament")} | changes
        spec = ModelSpec("unet", "resnet18", channels=channels, pixel_nm=pixel_nm, stride=stride, **values)
        return Model(spec, None, sha256=f"model-{stride}-{channels}")

    return make


@pytest.fixture(scope="session")
def small_net() -> Callable[..., Model]:
    """Return a maker of models with a real, tiny network of torch: it sees 7 px around a pixel."""

    def make(classes: int = 2) -> Model:
        import torch
        from torch import nn

        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(6, classes, 3, padding=1),
        )
        names = [f"class {index}" for index in range(classes - 1)]
        return Model(ModelSpec("unet", "resnet18", Classes.of(*names), stride=2, halo_px=8), net.eval())

    return make
