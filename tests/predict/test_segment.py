import logging
import pickle

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image
from napari_cellseg.nets.backends import BACKENDS, Backend
from napari_cellseg.predict.blocks import BlockPass
from napari_cellseg.predict.plan import plan_grid
from napari_cellseg.predict.segment import (
    blocks_by_distance,
    compute_blocks,
    segment,
    segment_grid,
)
from napari_cellseg.predict.tiles import Grid
from napari_cellseg.settings import SegmentSettings

NUMPY = SegmentSettings(backend="numpy", block_px=4096)


def noise(*shape: int, pixel_nm: float | None = None) -> Image:
    pixels = np.random.default_rng(0).normal(30_000, 500, shape)
    return Image.from_array(pixels.clip(0, 65_535).astype(np.uint16), pixel_nm=pixel_nm)


def computed(image: Image, model, settings=NUMPY) -> np.ndarray:
    return segment(image, model, settings=settings).compute(scheduler="synchronous")


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (5, 3), (31, 33), (100, 64)])
def test_any_size(shape, local_model):
    probabilities = computed(noise(*shape), local_model())
    assert probabilities.shape == (2, *shape)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_an_image_without_a_picture(value, local_model):
    assert np.isfinite(computed(Image.from_array(np.full((40, 50), value)), local_model())).all()


def test_nothing_is_computed_before_it_is_asked_for(local_model):
    def read(block: np.ndarray) -> np.ndarray:
        raise AssertionError("pixels were read")

    pixels = da.zeros((5000, 4000), chunks=1000).map_blocks(read, dtype=np.float32, meta=np.empty((0, 0)))
    lazy = segment(
        Image(pixels, "lazy"), local_model(), settings=SegmentSettings(backend="numpy", block_px=512)
    )
    assert lazy.shape == (2, 5000, 4000)
    assert lazy.chunksize == (2, 512, 512)
    with pytest.raises(AssertionError, match="pixels were read"):
        lazy[:, :10, :10].compute(scheduler="synchronous")


@given(
    shape=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    stride=st.sampled_from([1, 2, 4, 8]),
    blocks=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    more_halo=st.integers(0, 2),
    working_nm=st.sampled_from([None, 0.5, 0.8, 1.7, 3.0]),
)
def test_tiled_equals_untiled(local_model, shape, stride, blocks, more_halo, working_nm):
    model = local_model(stride, pixel_nm=working_nm)
    image = noise(*shape, pixel_nm=1.0)
    settings = SegmentSettings(backend="numpy", halo_px=(3 + more_halo) * stride)
    whole = plan_grid(image, model, settings=settings.model_copy(update={"block_px": 10_000}))
    assert whole.counts == (1, 1)
    # at least 24 px, or most of the time goes into thousands of blocks
    block = tuple(max(24, count * stride) for count in blocks)
    grid = Grid(image.shape, block, whole.halo, stride, whole.working)
    tiled = segment_grid(image, model, grid, settings=settings).compute(scheduler="synchronous")
    untiled = segment_grid(image, model, whole, settings=settings).compute(scheduler="synchronous")
    np.testing.assert_array_equal(tiled, untiled)


@given(shape=st.tuples(st.integers(1, 80), st.integers(1, 80)), block_px=st.integers(32, 80))
def test_tiled_equals_untiled_with_a_network(small_net, shape, block_px):
    image, model = noise(*shape), small_net(3)
    tiled = computed(image, model, SegmentSettings(block_px=block_px, device="cpu", precision="float32"))
    untiled = computed(image, model, SegmentSettings(block_px=2000, device="cpu", precision="float32"))
    np.testing.assert_allclose(tiled, untiled, atol=1e-5)


def test_a_halo_too_small_is_seen(local_model):
    image = noise(128, 128)
    narrow = SegmentSettings(backend="numpy", block_px=32, halo_px=0)
    wide = SegmentSettings(backend="numpy", block_px=32)
    assert (computed(image, local_model(), narrow) != computed(image, local_model(), wide)).any()


def test_beyond_the_edges_the_image_is_mirrored(local_model):
    image = noise(64, 64)
    mirrored = Image.from_array(np.pad(image.data.compute(), 24, mode="reflect"))
    model, whole = local_model(), plan_grid(image, local_model(), settings=NUMPY)
    larger = plan_grid(mirrored, model, settings=NUMPY)
    figures = BlockPass(image, model, whole, NUMPY)
    figures((0, 0, 0))
    here = segment_grid(image, model, whole, settings=NUMPY, figures=figures.figures)
    there = segment_grid(mirrored, model, larger, settings=NUMPY, figures=figures.figures)
    inside = there.compute(scheduler="synchronous")[:, 24:-24, 24:-24]
    np.testing.assert_array_equal(here.compute(scheduler="synchronous"), inside)


@pytest.mark.parametrize("working_nm", [0.25, 0.5, 2.0, 4.0])
def test_resampling_moves_nothing(working_nm, local_model):
    rows, cols = np.mgrid[:96, :96]
    blob = np.exp(-((rows - 40.3) ** 2 + (cols - 57.8) ** 2) / 2 / 8**2)
    as_it_is = lambda model, device, precision: lambda x: np.concatenate([1 - x, x], 1)  # noqa: E731
    image = Image.from_array(blob, pixel_nm=1.0)
    model = local_model(8, pixel_nm=working_nm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "numpy", Backend(as_it_is, str, "the image itself"))
        out = computed(image, model)[1].astype(float)
    out -= out.min()
    assert (out * rows).sum() / out.sum() == pytest.approx(40.3, abs=0.15)
    assert (out * cols).sum() / out.sum() == pytest.approx(57.8, abs=0.15)


def test_pixel_sizes_that_are_alike_are_not_resampled(local_model):
    model = local_model(pixel_nm=1.0)
    assert plan_grid(noise(64, 64, pixel_nm=1.015), model, settings=NUMPY).working == (64, 64)
    assert plan_grid(noise(64, 64, pixel_nm=1.03), model, settings=NUMPY).working == (66, 66)


def test_an_image_without_a_pixel_size_is_taken_as_it_is(local_model, caplog):
    with caplog.at_level(logging.WARNING):
        assert plan_grid(noise(64, 64), local_model(pixel_nm=0.6), settings=NUMPY).working == (64, 64)
    assert "no pixel size" in caplog.text


def test_a_wide_halo_gets_larger_blocks_rather_than_many(local_model, monkeypatch):
    monkeypatch.setattr("napari_cellseg.predict.memory.bytes_per_px", lambda model: 3000.0)
    image, settings = noise(2000, 2000), (SegmentSettings(halo_px=px) for px in (32, 256))
    near, far = (plan_grid(image, local_model(), settings=one) for one in settings)
    assert near.window[0] * near.window[1] * 3000 < 1e9 < far.window[0] * far.window[1] * 3000
    assert near.cost < far.cost < 4


def test_an_implausible_pixel_size_is_an_error(local_model):
    with pytest.raises(CellsegError, match="--pixel-nm"):
        segment(noise(64, 64, pixel_nm=100.0), local_model(pixel_nm=0.6))


@pytest.mark.parametrize(("shape", "channels"), [((3, 20, 20), 1), ((20, 20), 3)])
def test_other_channels_than_the_model_takes(shape, channels, local_model):
    with pytest.raises(CellsegError, match=r"channel.*expected \d.*model"):
        segment(noise(*shape), local_model(channels=channels))


def test_several_channels(local_model):
    assert computed(noise(3, 40, 50), local_model(channels=3)).shape == (2, 40, 50)


def test_a_block_can_be_sent_to_another_process(small_net):
    image, model = noise(40, 40), small_net()
    work = BlockPass(image, model, plan_grid(image, model), SegmentSettings(device="cpu"))
    first = work((0, 0, 0))
    copy = pickle.loads(pickle.dumps(work))  # noqa: S301
    np.testing.assert_array_equal(copy((0, 0, 0)), first)


def test_the_nearest_blocks_come_first():
    lazy = da.zeros((2, 100, 130), chunks=(2, 50, 50))
    assert blocks_by_distance(lazy, (90, 60))[0] == (1, 1)
    assert blocks_by_distance(lazy, (10, 129))[:2] == [(0, 2), (0, 1)]
    assert sorted(blocks_by_distance(lazy, (-500, 3000))) == sorted(np.ndindex(2, 3))


def test_blocks_are_computed_in_the_order_asked_for(local_model):
    lazy = segment(noise(100, 90), local_model(), settings=SegmentSettings(backend="numpy", block_px=32))
    expected = lazy.compute(scheduler="synchronous")
    order = blocks_by_distance(lazy, (99, 0))
    starts = []
    for rows, cols, block in compute_blocks(lazy, order):
        starts.append((rows.start // 32, cols.start // 32))
        np.testing.assert_array_equal(block, expected[:, rows, cols])
    assert starts == order


def test_closing_drops_what_has_not_begun(local_model):
    passes = []
    lazy = segment(noise(320, 320), local_model(), settings=SegmentSettings(backend="numpy", block_px=32))
    counted = lazy.map_blocks(lambda block: passes.append(1) or block, dtype=np.float32, meta=lazy._meta)
    blocks = compute_blocks(counted)
    next(blocks)
    blocks.close()
    assert len(passes) <= 4
