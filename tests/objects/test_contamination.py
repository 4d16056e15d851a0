"""Carbon and ice, found by their darkness."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph
from napari_cellseg.objects.contamination import ContaminationSettings, find_contamination


def noise(shape=(300, 420)):
    return np.random.default_rng(1).normal(100, 5, shape)


def test_no_plane_and_no_pixel_size():
    with pytest.raises(CellsegError, match="shape"):
        find_contamination(np.zeros((2, 3, 4)), pixel_nm=1)
    with pytest.raises(CellsegError, match="pixel size"):
        find_contamination(noise())


@pytest.mark.parametrize("image", [np.zeros((40, 60)), np.full((40, 60), 7.0), np.zeros((1, 1))])
def test_an_even_image_has_none(image):
    assert not find_contamination(image, pixel_nm=1).any()


def test_what_is_no_number_is_contamination():
    image = noise()
    image[:, :60] = np.nan
    found = find_contamination(image, pixel_nm=1)
    assert found[:, :55].all()
    assert not found[:, 100:].any()
    assert find_contamination(np.full((30, 30), np.nan), pixel_nm=1).all()


def test_clean_ice_has_none():
    assert find_contamination(noise(), pixel_nm=1).mean() < 0.002


def test_settings_in_pixels_need_no_pixel_size():
    image = noise()
    image[100:160, 200:260] -= 30
    found = find_contamination(image, settings=ContaminationSettings(scale_px=10))
    assert found[110:150, 210:250].all()
    assert found.mean() < 0.1


def test_carbon_of_a_simulated_micrograph():
    settings = SimulateSettings(shape=(450, 480), pixel_nm=1.0, carbon=1.0, dose=30, lumps=(2, 2))
    simulated = simulate_micrograph(3, settings=settings)
    found = find_contamination(simulated.image, pixel_nm=1.0)
    assert found[simulated.foreign].mean() > 0.5
    assert found[~simulated.foreign].mean() < 0.1
