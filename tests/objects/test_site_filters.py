"""Filters learned from points, and the sites they find."""

import numpy as np
import pytest
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.settings import PointSettings
from napari_cellseg.objects.site_filters import SiteFilters, find_sites, learn_sites

PIXEL_NM = 0.8
STEP, HALF = 38.5 / PIXEL_NM, 2.75 / PIXEL_NM / 2
SETTINGS = PointSettings()


def micrograph(seed, noise=1.0):
    """Four straight filaments in noise, with two molecules at every site on either side."""
    rng = np.random.default_rng(seed)
    plane, lines, points = np.zeros((320, 820)), [], []
    for number, row in enumerate((50, 120, 190, 260), start=1):
        lines.append(Filament([[row, 0], [row, 819]], number))
        plane[row - 2 : row + 3] += 4
        turns = rng.uniform(0, 2 * np.pi) + 0.12 * np.arange(16)
        for k, off in enumerate(6 * np.cos(turns)):
            col = 40 + rng.uniform(-1, 1) + k * STEP
            points += [(row + off, col - HALF), (row - off, col + HALF)]
    blobs = np.zeros(plane.shape)
    rows, cols = np.rint(np.array(points)).astype(int).T
    blobs[rows, cols] = 1
    plane += 60 * ndimage.gaussian_filter(blobs, 2)
    plane += ndimage.gaussian_filter(rng.normal(0, noise, plane.shape), 0.7) * 2
    return plane, Coordinates(tuple(lines), np.array(points), pixel_nm=PIXEL_NM, shape=plane.shape)


@pytest.fixture(scope="module")
def filters():
    return learn_sites([micrograph(1), micrograph(2)])


def shares(found, true, tolerance_nm=4.0):
    """Share of the found points near a true one, and of the true ones near a found one."""
    gaps = np.linalg.norm(found.points[:, None] - true.points[None], axis=-1) * PIXEL_NM
    return (gaps.min(axis=1) < tolerance_nm).mean(), (gaps.min(axis=0) < tolerance_nm).mean()


def test_too_few_sites():
    image, truth = micrograph(1)
    few = Coordinates(truth.filaments, truth.points[:8], pixel_nm=PIXEL_NM)
    for examples in ([], [(image, few)], [(image, Coordinates(pixel_nm=PIXEL_NM))]):
        with pytest.raises(CellsegError, match="sites with points on filaments"):
            learn_sites(examples)


def test_no_pixel_size(filters):
    image, truth = micrograph(3)
    with pytest.raises(CellsegError, match="pixel size"):
        learn_sites([(image, Coordinates(truth.filaments, truth.points))])
    with pytest.raises(CellsegError, match="pixel size"):
        find_sites(image, truth.filaments, filters, pixel_nm=None, settings=SETTINGS)


@pytest.mark.parametrize("lines", [(), (Filament([[5, 5], [5, 9]]),)])
@pytest.mark.parametrize("image", [np.zeros((40, 60)), np.ones((1, 1))])
def test_where_nothing_can_be_found(image, lines, filters):
    found = find_sites(image, lines, filters, pixel_nm=PIXEL_NM, settings=SETTINGS)
    assert found.points.shape == (0, 2)


def test_a_flat_image_has_no_sites(filters):
    _, truth = micrograph(3)
    found = find_sites(
        np.full((320, 820), 7.0), truth.filaments, filters, pixel_nm=PIXEL_NM, settings=SETTINGS
    )
    assert len(found.points) == 0


def test_sites_of_an_unseen_micrograph_are_found(filters):
    image, truth = micrograph(3)
    found = find_sites(image, truth.filaments, filters, pixel_nm=PIXEL_NM, settings=SETTINGS)
    right, seen = shares(found, truth)
    assert right > 0.9
    assert seen > 0.9
    assert set(found.owners) == {1, 2, 3, 4}
    assert np.abs(found.arcs_px - found.points[:, 1]).max() < 0.1
    assert ((found.scores > 0) & (found.scores <= 1)).all()


def test_at_another_pixel_size_they_are_where_they_were(filters):
    image, truth = micrograph(3)
    fine = np.kron(image, np.ones((2, 2)))
    lines = truth.scaled(2).filaments
    found = find_sites(fine, lines, filters, pixel_nm=PIXEL_NM / 2, settings=SETTINGS)
    once = find_sites(image, truth.filaments, filters, pixel_nm=PIXEL_NM, settings=SETTINGS)
    np.testing.assert_allclose(found.points, (once.points + 0.5) * 2 - 0.5, atol=1e-6)


def test_noise_without_sites_has_hardly_any(filters):
    rng = np.random.default_rng(5)
    image = ndimage.gaussian_filter(rng.normal(0, 1, (320, 820)), 0.7) * 2
    for row in (50, 120, 190, 260):
        image[row - 2 : row + 3] += 4
    _, truth = micrograph(3)
    found = find_sites(image, truth.filaments, filters, pixel_nm=PIXEL_NM, settings=SETTINGS)
    assert len(found.points) < 0.25 * len(truth.points)


def test_filters_are_kept_in_a_file(filters, tmp_path):
    filters.save(tmp_path / "a.npz")
    back = SiteFilters.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(back.filters, filters.filters)
    assert back.sites == filters.sites == 128


@pytest.mark.parametrize("content", [b"", b"not filters", None])
def test_other_files_are_no_filters(content, tmp_path):
    path = tmp_path / "a.npz"
    if content is None:
        np.savez(path, mean=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(CellsegError, match="no filters of sites"):
        SiteFilters.load(path)
    with pytest.raises(CellsegError, match="no filters of sites"):
        SiteFilters.load(tmp_path / "missing.npz")
