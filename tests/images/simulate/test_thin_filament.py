"""Paths and the helix: rise, twist, crossover and the troponin repeat."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.images.simulate.potential import splat
from napari_cellseg.images.simulate.thin_filament import ThinFilament, clip_path, worm_like_path

PIXEL_NM = 0.25


def straight(occupancy: float = 0.0) -> ThinFilament:
    path = np.stack([np.full(401, 10.0), np.linspace(0, 800, 401)], axis=1)
    return ThinFilament.grow(path, np.random.default_rng(0), disorder_degrees=0, occupancy=occupancy)


@pytest.fixture(scope="module")
def density() -> np.ndarray:
    """(y, x) projected mass of a straight filament along the columns, ends cut off."""
    plane = np.zeros((80, 3200), np.float32)
    splat(plane, straight().blobs((20.0, 800.0), tropomyosin=False), 1.0, 0, PIXEL_NM)
    return plane[:, 100:-100]


def test_mass_per_length(density) -> None:
    assert density.sum() / (density.shape[1] * PIXEL_NM) == pytest.approx(42 / 2.75, rel=0.02)


def test_width_is_that_of_actin(density) -> None:
    profile = density.sum(axis=1)
    rows = np.flatnonzero(profile > 0.02 * profile.max())
    assert 6.5 < len(rows) * PIXEL_NM < 9.5


def test_crossovers_lie_36_to_37_nm_apart(density) -> None:
    rows = (np.arange(80) * PIXEL_NM - 10)[:, None]
    spread = (density * rows**2).sum(axis=0) / density.sum(axis=0).mean()
    spread = np.convolve(spread - spread.mean(), np.hanning(40), "valid")
    spread -= spread.mean()
    power = np.fft.irfft(np.abs(np.fft.rfft(spread, 8192)) ** 2)
    lags = np.arange(len(power)) * PIXEL_NM
    near = (lags > 25) & (lags < 50)
    assert 36 <= lags[near][power[near].argmax()] <= 38


def test_layer_lines_at_59_and_51_angstrom(density) -> None:
    power = (np.abs(np.fft.fft2(density)) ** 2).sum(axis=0)
    frequency = np.fft.fftfreq(density.shape[1], PIXEL_NM)
    near = (frequency > 1 / 7) & (frequency < 1 / 4)
    strongest = 1 / frequency[near][power[near].argmax()]
    assert min(abs(strongest - 5.94), abs(strongest - 5.12)) < 0.05


def test_troponin_repeat_on_both_strands() -> None:
    filament = straight(occupancy=1.0)
    bound = np.flatnonzero(filament.bound)
    gaps = np.diff(filament.along_nm[bound])
    assert sorted({round(gap, 2) for gap in gaps}) == [2.75, 35.75]  # 38.5 nm together
    assert len(filament.troponins_nm()) == len(bound)
    assert np.abs(filament.troponins_nm()[:, 0] - 10).max() < 5


def test_a_path_that_comes_back_is_two() -> None:
    loop = np.array([[5.0, 5], [5, 15], [8, 15], [8, 5]])
    first, second = clip_path(loop, (10, 10))
    np.testing.assert_allclose(first, [[5, 5], [5, 10]])
    np.testing.assert_allclose(second, [[8, 10], [8, 5]])


def test_a_path_outside_gives_nothing() -> None:
    assert clip_path(np.array([[-5.0, 3], [-1, 9]]), (10, 20)) == []
    assert clip_path(np.array([[3.0, 3]]), (10, 20)) == []


@given(st.integers(0, 1000), st.floats(1, 300), st.floats(1, 300))
def test_clipping_loses_nothing_inside(seed: int, height: float, width: float) -> None:
    path = worm_like_path(
        np.random.default_rng(seed),
        (height / 2, width / 2),
        seed,
        before_nm=200,
        after_nm=150,
        persistence_um=0.3,
    )
    pieces = clip_path(path, (height, width))
    kept = np.concatenate(pieces)
    assert ((kept >= 0) & (kept <= (height, width))).all()
    inside = path[((path >= 0) & (path <= (height, width))).all(axis=1)]
    gaps = np.abs(inside[:, None] - kept[None]).max(axis=2).min(axis=1)
    assert gaps.max() < 1e-6


def test_stiffer_is_straighter() -> None:
    def bend(persistence_um: float) -> float:
        path = worm_like_path(
            np.random.default_rng(1), (0, 0), 0.0, before_nm=0, after_nm=2000, persistence_um=persistence_um
        )
        return float(np.hypot(*(path[-1] - path[0])) / 2000)

    assert bend(0.2) < bend(20) <= 1.01
