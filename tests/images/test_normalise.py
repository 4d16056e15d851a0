import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.normalise import Figures, intensity_figures

DTYPES = [
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "uint64",
    "float16",
    "float32",
    "float64",
    ">u2",
    ">f4",
]


def figures_of(pixels) -> Figures:
    return intensity_figures(Image.from_array(np.asarray(pixels)))


def test_constant_image_is_centred_and_not_scaled():
    figures = figures_of(np.full((5, 7), 42, np.uint16))
    assert figures == Figures((42.0,), (1.0,), (42.0,), (42.0,))
    assert not figures.apply(np.full((1, 5, 7), 42, np.uint16)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_image_without_finite_values_becomes_zeros(value):
    figures = figures_of(np.full((3, 4), value, np.float32))
    assert figures == Figures((0.0,), (1.0,), (0.0,), (0.0,))
    assert not figures.apply(np.full((1, 3, 4), value, np.float32)).any()


def test_one_pixel():
    figures = figures_of([[3]])
    assert figures.apply(np.array([[[3]]])).tolist() == [[[0.0]]]


def test_nan_is_left_out_and_becomes_zero():
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    with_gap = pixels.copy()
    with_gap[1, 2] = np.nan
    with_gap[0, 0] = np.inf
    figures = figures_of(with_gap)
    assert np.isfinite([figures.mean, figures.std, figures.low, figures.high]).all()
    out = figures.apply(with_gap[np.newaxis])
    assert out[0, 1, 2] == 0
    assert np.isfinite(out).all()
    assert np.isnan(with_gap[1, 2]), "the block itself is left as it is"


def test_outliers_are_clipped():
    pixels = np.random.default_rng(0).normal(100, 5, (400, 300))
    hot = pixels.copy()
    hot[::97, ::89] = 65535
    figures, plain = figures_of(hot), figures_of(pixels)
    assert figures.std[0] == pytest.approx(plain.std[0], rel=0.1)
    assert figures.apply(hot[np.newaxis]).max() < 10


def test_a_few_bright_pixels_on_nothing_are_the_picture():
    pixels = np.zeros((500, 500), np.uint8)
    pixels[250, 100:110] = 1
    figures = figures_of(pixels)
    assert figures.high == (1.0,)
    assert figures.apply(pixels[np.newaxis]).max() > 10


def test_each_channel_has_its_own_figures():
    pixels = np.stack([np.zeros((6, 9)), np.arange(54.0).reshape(6, 9) * 1000])
    figures = figures_of(pixels)
    assert figures.mean == pytest.approx((0.0, 26500.0))
    assert figures.apply(pixels)[1].std() == pytest.approx(1, abs=1e-3)


def test_wrong_number_of_channels_is_an_error():
    with pytest.raises(ValueError, match="1 channel"):
        Figures((0.0,), (1.0,), (0.0,), (1.0,)).apply(np.zeros((2, 3, 3)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_gives_the_same_numbers(dtype):
    pixels = np.random.default_rng(1).integers(0, 100, (2, 300, 310)).astype(dtype)
    out = figures_of(pixels).apply(pixels)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, figures_of(pixels.astype(float)).apply(pixels.astype(float)), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e200])
def test_wild_values(scale):
    pixels = np.random.default_rng(2).normal(size=(50, 60)) * scale
    out = figures_of(pixels).apply(pixels[np.newaxis])
    assert out.std() == pytest.approx(1, abs=0.05)


def test_large_offset_keeps_its_digits():
    pixels = np.random.default_rng(3).normal(6802, 8.9, (300, 300)).astype(np.float32)
    out = figures_of(pixels).apply(pixels[np.newaxis])
    assert out.mean() == pytest.approx(0, abs=0.01)
    assert out.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("shape", [(9000, 9000), (1, 200_000), (200_000, 1), (2049, 70_000)])
def test_large_images_are_sampled_evenly(shape):
    import dask.array as da

    reads = []

    class Spy:
        ndim = 2
        dtype = np.dtype(np.float32)

        def __init__(self):
            self.shape = shape

        def __getitem__(self, key):
            reads.append(key)
            rows, cols = (range(size)[part] for part, size in zip(key, shape, strict=True))
            return np.add.outer(np.asarray(rows), np.asarray(cols)).astype(np.float32)

    lazy = da.from_array(Spy(), chunks=1024, meta=np.empty((0, 0), np.float32))
    figures = intensity_figures(Image(lazy, "big"))
    assert len(reads) <= 256
    assert figures.mean[0] == pytest.approx(sum(shape) / 2, rel=0.02)


@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-1e6, 1e6, width=32)
    )
)
def test_figures_are_bounded_and_the_same_twice(pixels):
    figures = figures_of(pixels)
    assert figures == figures_of(pixels)
    rounding = 1e-9 * np.abs(pixels).max()
    assert pixels.min() <= figures.low[0] <= figures.mean[0] + rounding
    assert figures.mean[0] - rounding <= figures.high[0] <= pixels.max()
    assert figures.std[0] > 0
    assert np.isfinite(figures.apply(pixels[np.newaxis])).all()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 3))
def test_a_block_is_normalised_like_the_whole(rows, cols, seed):
    pixels = np.random.default_rng(seed).integers(0, 65536, (1, 64, 64)).astype(np.uint16)
    figures = figures_of(pixels)
    whole = figures.apply(pixels)
    np.testing.assert_array_equal(figures.apply(pixels[:, :rows, :cols]), whole[:, :rows, :cols])
