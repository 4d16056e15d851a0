"""Contrast transfer and exposure."""

import numpy as np
import pytest

from napari_cellseg.images.simulate.optics import contrast_transfer, expose, image_contrast


def test_zeros_lie_where_theory_says() -> None:
    transfer = contrast_transfer((64, 4096), pixel_nm=0.1, defocus_um=2.0, cs_mm=0, amplitude_contrast=0)[0]
    frequency = np.fft.rfftfreq(4096, 1.0)
    first = frequency[1:][np.diff(np.sign(transfer[1:]), prepend=-1) != 0][0]
    assert first == pytest.approx((0.0197 * 2e4) ** -0.5, rel=0.02)


def test_astigmatism_has_its_axis() -> None:
    spec = {"pixel_nm": 0.2, "defocus_um": 2.0, "cs_mm": 0.0, "amplitude_contrast": 0.0}
    along = contrast_transfer((64, 64), astigmatism_um=0.5, astigmatism_degrees=0, **spec)
    np.testing.assert_allclose(
        along[0], contrast_transfer((64, 64), **{**spec, "defocus_um": 2.5})[0], atol=1e-3
    )
    np.testing.assert_allclose(
        along[:32, 0], contrast_transfer((64, 64), **{**spec, "defocus_um": 1.5})[:32, 0], atol=1e-3
    )
    turned = contrast_transfer((64, 64), astigmatism_um=0.5, astigmatism_degrees=90, **spec)
    np.testing.assert_allclose(
        turned[0], contrast_transfer((64, 64), **{**spec, "defocus_um": 1.5})[0], atol=1e-3
    )


def test_the_envelope_damps() -> None:
    plain, damped = (
        contrast_transfer((32, 48), pixel_nm=0.15, defocus_um=1, b_factor_angstrom2=b) for b in (0, 200)
    )
    assert (np.abs(damped) <= np.abs(plain) + 1e-6).all()
    assert np.abs(damped[:, -1]).max() < 0.01


def test_odd_shapes_keep_their_size() -> None:
    phase = np.zeros((33, 47), np.float32)
    assert image_contrast(phase, contrast_transfer((33, 47), pixel_nm=0.2, defocus_um=1)).shape == (33, 47)


def test_no_noise_no_blur_is_the_expectation() -> None:
    flat = np.random.default_rng(0).uniform(1, 9, (20, 30)).astype(np.float32)
    np.testing.assert_array_equal(expose(flat, np.random.default_rng(0), blur=0, shot_noise=False), flat)


def test_blur_keeps_the_electrons() -> None:
    flat = np.full((64, 96), 30, np.float32)
    sharp, blurred = (expose(flat, np.random.default_rng(1), blur=b) for b in (0.0, 0.1))
    assert blurred.mean() == pytest.approx(sharp.mean(), rel=2e-3)
    assert blurred.var() < 0.6 * sharp.var()
