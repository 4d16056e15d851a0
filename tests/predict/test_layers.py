import numpy as np
import pytest

from napari_cellseg.images.micrographs import Image
from napari_cellseg.predict.layers import sample_windows


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [
        Image.from_array(rng.normal(size=shape), name) for shape, name in (((90, 130), "a"), ((40, 200), "b"))
    ]


def test_windows_come_from_all_images(images, local_model):
    windows = sample_windows(images, local_model(), count=10, side_px=60)
    assert windows.shape == (10, 1, 64, 64)  # to the stride; the image of 40 rows is mirrored
    assert abs(windows.mean()) < 0.2
    assert len(np.unique(windows[:, 0, 0, 0])) > 5
    np.testing.assert_array_equal(windows, sample_windows(images, local_model(), count=10, side_px=60))


def test_a_network_for_whole_images_sees_every_view(images, local_model):
    windows = sample_windows(images, local_model(input_px=32))
    assert windows.shape == (16, 1, 32, 32)
    np.testing.assert_allclose(windows[1].mean(), windows[0].mean(), rtol=1e-4)
