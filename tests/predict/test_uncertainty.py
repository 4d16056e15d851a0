import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import Image
from napari_cellseg.nets.backends import BACKENDS, Backend
from napari_cellseg.predict.plan import label_threshold, plan_grid
from napari_cellseg.predict.segment import segment, segment_grid, segment_with_uncertainty
from napari_cellseg.predict.tiles import Grid
from napari_cellseg.predict.uncertainty import VIEWS, combine, entropy
from napari_cellseg.settings import SegmentSettings


def noise(*shape: int, pixel_nm: float | None = None) -> Image:
    pixels = np.random.default_rng(0).normal(30_000, 500, shape).clip(0, 65_535)
    return Image.from_array(pixels.astype(np.uint16), pixel_nm=pixel_nm)


def computed(image, model, **settings) -> np.ndarray:
    chosen = SegmentSettings(backend="numpy", **{"block_px": 4096} | settings)
    return segment(image, model, settings=chosen).compute(scheduler="synchronous")


def test_the_views_are_the_symmetries_of_the_square():
    plane = np.arange(6).reshape(2, 3)
    seen = {(view.of(plane).shape, view.of(plane).tobytes()) for view in VIEWS}
    assert len(seen) == len(VIEWS) == 8
    assert all(view.of(plane).shape == plane.shape for view in VIEWS[:4])
    assert (VIEWS[0].of(plane) == plane).all()
    for view in VIEWS:
        np.testing.assert_array_equal(view.back(view.of(plane)), plane)


@given(view=st.sampled_from(VIEWS), start=st.integers(0, 3), size=st.integers(1, 3))
def test_a_region_is_found_in_every_view(view, start, size):
    planes = np.arange(2 * 6 * 9).reshape(2, 6, 9)
    region = slice(start, start + size), slice(2 * start, 2 * start + size)
    seen = view.of(planes)[:, *view.region(region, (6, 9))]
    np.testing.assert_array_equal(view.back(seen), planes[:, *region])


def test_one_look_is_left_as_it_is():
    look = np.array([[[0.25]], [[0.75]]], np.float32)
    assert combine([look]) is look
    assert combine([look], "spread")[2].item() == 0


def test_mean_and_spread_of_several_looks():
    looks = np.random.default_rng(0).dirichlet((1, 1, 1), (5, 4, 6)).transpose(0, 3, 1, 2).astype(np.float32)
    before = looks.copy()
    out = combine(iter(looks), "spread")
    np.testing.assert_array_equal(looks, before)
    np.testing.assert_allclose(out[:3], looks.mean(0), atol=1e-6)
    np.testing.assert_allclose(out[3], 2 * looks.std(0).max(0), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_entropy_runs_from_sure_to_clueless(classes):
    sure, clueless = np.eye(classes, 1), np.full((classes, 1), 1 / classes)
    both = np.concatenate([sure, clueless], 1)[:, None].astype(np.float32)
    np.testing.assert_allclose(entropy(both), [[0, 1]], atol=1e-6)


@pytest.mark.parametrize("views", [4, 8])
def test_the_mean_of_views_turns_with_the_image(views, local_model):
    """All of a group's views are in the mean, so turning the image turns the result."""
    image, model = noise(48, 48), local_model(8, halo_px=24)
    plain = computed(image, model)
    out = computed(image, model, views=views)
    assert not np.allclose(out, plain, atol=1e-3)
    for view in VIEWS[:views]:
        turned = Image.from_array(view.of(image.data.compute()))
        np.testing.assert_allclose(view.back(computed(turned, model, views=views)), out, atol=1e-6)


@given(
    shape=st.tuples(st.integers(1, 100), st.integers(1, 100)),
    block=st.tuples(st.integers(24, 80), st.integers(24, 80)),
    views=st.sampled_from([4, 8]),
    working_nm=st.sampled_from([None, 0.8, 1.7]),
)
def test_tiled_equals_untiled_in_every_view(local_model, shape, block, views, working_nm):
    model, image = local_model(4, pixel_nm=working_nm), noise(*shape, pixel_nm=1.0)
    settings = SegmentSettings(backend="numpy", views=views, uncertainty="spread", block_px=10_000)
    whole = plan_grid(image, model, settings=settings)
    assert whole.counts == (1, 1)
    grid = Grid(image.shape, block, whole.halo, 4, whole.working)
    tiled = segment_grid(image, model, grid, settings=settings).compute(scheduler="synchronous")
    untiled = segment_grid(image, model, whole, settings=settings).compute(scheduler="synchronous")
    np.testing.assert_array_equal(tiled, untiled)


def test_an_ensemble_is_the_mean_of_its_models(local_model):
    """Also where they work at other pixel sizes and strides, and in blocks."""
    image = noise(90, 70, pixel_nm=1.0)
    models = [local_model(4), local_model(8, pixel_nm=0.7), local_model(2, pixel_nm=2.0)]
    expected = np.mean([computed(image, model) for model in models], axis=0)
    np.testing.assert_allclose(computed(image, models), expected, atol=1e-6)
    np.testing.assert_allclose(computed(image, models, block_px=32), expected, atol=1e-6)


def test_probabilities_and_uncertainty_come_together(local_model):
    image, model, passes = noise(50, 60), local_model(), []
    settings = SegmentSettings(backend="numpy", block_px=32, views=4)

    def prepare(*arguments):
        forward = real(*arguments)
        return lambda windows: passes.append(1) or forward(windows)

    real = BACKENDS["numpy"].prepare
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "numpy", Backend(prepare, str, "counted"))
        both = segment_with_uncertainty(image, model, settings=settings)
        probabilities, doubt = dask.compute(*both, scheduler="synchronous")
    assert len(passes) == 4 * 4
    assert probabilities.shape == (2, 50, 60)
    np.testing.assert_allclose(doubt, entropy(probabilities), atol=1e-6)
    assert segment(image, model, settings=settings).shape == (2, 50, 60)


def test_a_spread_needs_something_to_spread(local_model):
    settings = SegmentSettings(backend="numpy", uncertainty="spread")
    with pytest.raises(CellsegError, match="--views 4"):
        segment_with_uncertainty(noise(9, 9), local_model(), settings=settings)
    two = [local_model(), local_model(4)]
    assert segment_with_uncertainty(noise(9, 9), two, settings=settings.model_copy(update={"block_px": 32}))[
        1
    ].shape == (9, 9)


def test_models_that_find_different_things_are_no_ensemble(local_model):
    with pytest.raises(CellsegError, match=r"finds a.*filament"):
        computed(noise(9, 9), [local_model(), local_model(classes=Classes.of("a"))])
    with pytest.raises(CellsegError, match="no model"):
        computed(noise(9, 9), [])


def test_the_threshold_set_wins_over_the_one_found_in_training(local_model):
    found, validated = local_model(threshold=0.3), SegmentSettings(validated_threshold=True)
    assert label_threshold(found, SegmentSettings()) is None
    assert label_threshold(found, validated) == 0.3
    assert label_threshold(found, SegmentSettings(threshold=0.7, validated_threshold=True)) == 0.7
    assert label_threshold([found, local_model(threshold=0.5)], validated) == pytest.approx(0.4)
    with pytest.raises(CellsegError, match="without a threshold from validation"):
        label_threshold([found, local_model()], validated)
