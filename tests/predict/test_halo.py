import numpy as np
import pytest

from napari_cellseg.images.micrographs import Image
from napari_cellseg.nets.backends import BACKENDS, Backend
from napari_cellseg.predict.halo import measure_halo
from napari_cellseg.settings import SegmentSettings

NUMPY = SegmentSettings(backend="numpy")


def box_model(local_model, radius: int, monkeypatch: pytest.MonkeyPatch, *, stride: int = 8):
    """Return a model that labels what is above the mean of a box."""
    from scipy.ndimage import uniform_filter

    def forward(windows):
        mean = uniform_filter(windows, (0, 0, 2 * radius + 1, 2 * radius + 1), mode="constant")
        filament = 1 / (1 + np.exp(-np.clip(50 * mean, -40, 40)))
        return np.concatenate([1 - filament, filament], 1).astype(np.float32)

    monkeypatch.setitem(BACKENDS, "numpy", Backend(lambda *_: forward, str, "a box"))
    return local_model(stride)


def picture(side: int) -> Image:
    from scipy.ndimage import gaussian_filter

    return Image.from_array(gaussian_filter(np.random.default_rng(1).normal(size=(side, side)), 6))


@pytest.mark.parametrize(("radius", "expected"), [(5, {32}), (60, {64}), (90, {96})])
def test_halo_follows_what_the_network_sees(radius, expected, local_model, monkeypatch):
    assert measure_halo(box_model(local_model, radius, monkeypatch), picture(500), settings=NUMPY) in expected


def test_halo_is_a_multiple_of_the_stride(local_model, monkeypatch):
    model = box_model(local_model, 5, monkeypatch, stride=20)
    assert measure_halo(model, picture(300), settings=NUMPY) == 40


@pytest.mark.parametrize("shape", [(1, 1), (20, 30), (300, 300)])
def test_nothing_can_be_measured_without_a_picture(shape, local_model):
    assert measure_halo(local_model(), Image.from_array(np.zeros(shape)), settings=NUMPY) >= 64


def test_only_the_middle_of_a_large_image_is_read(local_model, monkeypatch):
    import dask.array as da

    touched = []

    def read(block):
        touched.append(1)
        return block

    pixels = da.random.default_rng(0).normal(size=(8000, 8000), chunks=1000)
    image = Image(pixels.map_blocks(read, dtype=float, meta=np.empty((0, 0))), "large")
    measure_halo(box_model(local_model, 5, monkeypatch), image, settings=NUMPY)
    assert len(touched) < 64
