"""Simulated micrographs: image and truth agree, seeds repeat, degenerate fields work."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.simulate import (
    CellFieldSettings,
    Simulated,
    SimulateSettings,
    simulate_cells,
    simulate_micrograph,
    sparse_annotation,
    write_mask,
    write_micrograph,
    write_truth,
)

SMALL = SimulateSettings(shape=(160, 200), pixel_nm=0.8, filaments=(3, 4), carbon=0, lumps=(0, 0))


def distance_to_paths(simulated: Simulated) -> np.ndarray:
    """(y, x) distance of every pixel to the nearest sample of an axis, in pixels."""
    away = np.ones(simulated.mask.shape, bool)
    for path in simulated.filaments:
        steps = np.linspace(0, len(path) - 1, 40 * len(path))
        spots = np.stack([np.interp(steps, np.arange(len(path)), axis) for axis in path.T])
        away[tuple(np.round(spots).astype(int))] = False
    return ndimage.distance_transform_edt(away) if not away.all() else np.full(away.shape, np.inf)


def clean(**values: object) -> SimulateSettings:
    """Nothing but filaments, and no noise."""
    quiet = {"shot_noise": False, "ice_granularity": 0, "ice_unevenness": 0, "ice_mottling": 0,
             "monomers_per_um2": 0, "carbon": 0, "lumps": (0, 0)}  # fmt: skip
    return SimulateSettings.checked(
        {"shape": (256, 320), "pixel_nm": 0.5, "filaments": (3, 3), **quiet, **values}
    )


@pytest.mark.parametrize("shape", [(64, 96), (96, 64), (8, 8), (8, 200), (65, 97)])
def test_tiny_fields(shape: tuple[int, int]) -> None:
    simulated = simulate_micrograph(0, settings=SimulateSettings(shape=shape))
    assert simulated.image.shape == simulated.mask.shape == simulated.foreign.shape == shape
    assert simulated.image.dtype == np.float32
    assert simulated.mask.dtype == np.uint8
    assert np.isfinite(simulated.image).all()


def test_no_filaments() -> None:
    simulated = simulate_micrograph(3, settings=SimulateSettings(shape=(64, 96), filaments=(0, 0)))
    assert simulated.filaments == ()
    assert simulated.troponins.shape == (0, 2)
    assert (simulated.mask == 1).all()
    assert set(np.unique(sparse_annotation(simulated))) == {0, 1}


def test_the_seed_decides() -> None:
    first, again, other = (simulate_micrograph(seed, settings=SMALL) for seed in (7, 7, 8))
    for name in ("image", "mask", "foreign", "troponins", "troponin_filaments"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert all(np.array_equal(a, b) for a, b in zip(first.filaments, again.filaments, strict=True))
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.mask, other.mask)


def test_other_ice_leaves_the_filaments_where_they_are() -> None:
    first = simulate_micrograph(7, settings=SMALL)
    second = simulate_micrograph(7, settings=SMALL.model_copy(update={"lumps": (3, 3), "carbon": 1.0}))
    np.testing.assert_array_equal(first.mask, second.mask)
    assert not first.foreign.any()
    assert second.foreign.any()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(40, 90), cols=st.integers(40, 90))
def test_truth_is_consistent(seed: int, rows: int, cols: int) -> None:
    simulated = simulate_micrograph(
        seed, settings=SimulateSettings(shape=(rows, cols), pixel_nm=1.0, filaments=(0, 4), carbon=0.5)
    )
    high, half = np.array([rows - 1, cols - 1]), 5.0
    for path in simulated.filaments:
        assert path.dtype == np.float64
        assert len(path) >= 2
        assert ((path >= 0) & (path <= high)).all()
    distance = distance_to_paths(simulated)
    filament = simulated.mask == 2
    assert filament[distance < half - 1.5].all()
    inner = np.zeros(filament.shape, bool)  # nearer to the border, an axis may lie outside
    inner[5:-5, 5:-5] = True
    assert not filament[inner & (distance > half + 1.5)].any()
    assert len(simulated.troponins) == len(simulated.troponin_filaments)
    assert (simulated.troponin_filaments < max(len(simulated.filaments), 1)).all()


def test_troponins_lie_on_their_filament() -> None:
    simulated = simulate_micrograph(5, settings=SMALL)
    assert len(simulated.troponins) > 4
    rows, cols = np.round(simulated.troponins).astype(int).T
    assert (simulated.mask[rows, cols] == 2).mean() > 0.95
    for point, owner in zip(simulated.troponins, simulated.troponin_filaments, strict=True):
        path = simulated.filaments[owner]
        assert np.hypot(*(path - point).T).min() * simulated.pixel_nm < 7


def test_filaments_are_dark() -> None:
    simulated = simulate_micrograph(2, settings=clean(defocus_um=2.0, dose=30.0))
    inside = simulated.image[distance_to_paths(simulated) < 5].mean()
    assert inside < 0.995 * np.median(simulated.image[simulated.mask == 1])


def test_crossing_filaments_add_up() -> None:
    none, some = (simulate_micrograph(2, settings=clean(filaments=n)) for n in (0, 3))
    assert np.ptp(none.image) < 1e-3 * none.image.mean()
    assert np.ptp(some.image) > 0.02 * some.image.mean()


def test_the_dose_is_what_arrives() -> None:
    simulated = simulate_micrograph(
        1, settings=SMALL.model_copy(update={"dose": (20.0, 20.0), "filaments": (0, 0)})
    )
    assert simulated.image.mean() == pytest.approx(20 * 8**2, rel=0.05)


@pytest.mark.parametrize("name", ["mic.tif", "mic.mrc"])
def test_files_keep_pixels_and_pixel_size(tmp_path, name) -> None:
    simulated = simulate_micrograph(0, settings=SimulateSettings(shape=(64, 96), pixel_nm=0.137))
    image = read_image(write_micrograph(tmp_path / name, simulated))
    assert image.shape == (64, 96)
    assert image.pixel_nm == pytest.approx(0.137, rel=1e-4)
    read = image.read(slice(None), slice(None))[0].astype(float)
    assert np.corrcoef(read.ravel(), simulated.image.ravel())[0, 1] > 0.9999
    with pytest.raises(CellsegError, match="exists"):
        write_micrograph(tmp_path / name, simulated)
    write_micrograph(tmp_path / name, simulated, overwrite=True)


def test_unknown_suffix_is_refused(tmp_path) -> None:
    with pytest.raises(CellsegError, match="tif"):
        write_micrograph(
            tmp_path / "mic.bmp", simulate_cells(0, settings=CellFieldSettings(shape=(20, 30), cells=1))
        )


def test_truth_files(tmp_path) -> None:
    simulated = simulate_micrograph(5, settings=SMALL)
    mask, filaments, troponin = write_truth(tmp_path / "new", simulated, stem="mic")
    plane = read_image(mask).read(slice(None), slice(None))[0]
    np.testing.assert_array_equal(plane == 0, simulated.mask == 2)
    assert set(np.unique(plane)) == {0, 255}
    rows = list(csv.DictReader(filaments.read_text().splitlines()))
    assert len(rows) == sum(map(len, simulated.filaments))
    assert float(rows[0]["row"]) == pytest.approx(simulated.filaments[0][0, 0], abs=1e-3)
    sites = list(csv.DictReader(troponin.read_text().splitlines()))
    assert [float(site["X"]) for site in sites] == pytest.approx(simulated.troponins[:, 1], abs=1e-3)
    with pytest.raises(CellsegError, match="exists"):
        write_mask(mask, simulated)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"dose": (5, 2)}, "dose"),
        ({"dose": -1}, "dose"),
        ({"shape": (4, 9)}, "shape"),
        ({"filament": 3}, "filament"),
        ({"pixel_nm": 0}, "pixel_nm"),
    ],
)
def test_impossible_settings_are_named(values, named) -> None:
    with pytest.raises(CellsegError, match=named):
        SimulateSettings.checked(values)


def test_one_number_is_a_range() -> None:
    assert SimulateSettings.checked({"filaments": 3, "dose": 20}).filaments == (3, 3)
