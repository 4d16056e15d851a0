import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image
from napari_cellseg.nets.backends import BACKENDS, Backend
from napari_cellseg.predict.network import Network
from napari_cellseg.predict.segment import segment
from napari_cellseg.predict.tiles import Grid
from napari_cellseg.settings import SegmentSettings


def noise(*shape: int) -> Image:
    return Image.from_array(np.random.default_rng(0).integers(28_000, 32_000, shape, np.uint16))


def computed(image: Image, model) -> np.ndarray:
    settings = SegmentSettings(backend="numpy", block_px=4096)
    return segment(image, model, settings=settings).compute(scheduler="synchronous")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_halves_the_block(error, local_model, caplog):
    seen = []

    def prepare(model, device, precision):
        forward = real(model, device, precision)

        def limited(windows):
            seen.append(windows.shape[2:])
            if windows.size > 90 * 90:
                raise error
            return forward(windows)

        return limited

    image, model, real = noise(300, 200), local_model(), BACKENDS["numpy"].prepare
    expected = computed(image, model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "numpy", Backend(prepare, str, "little memory"))
        np.testing.assert_array_equal(computed(image, model), expected)
        failed = sum(rows * cols > 90 * 90 for rows, cols in seen)
        assert failed <= 6  # it is remembered: a window that was too large is not tried again
    assert "out of memory" in caplog.text


def test_no_memory_at_all_is_a_clear_error(local_model):
    def prepare(model, device, precision):
        def forward(windows):
            raise MemoryError

        return forward

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "numpy", Backend(prepare, str, "no memory"))
        with pytest.raises(CellsegError, match="not enough memory"):
            computed(noise(100, 100), local_model())


def test_other_errors_of_a_network_are_not_hidden(local_model):
    def prepare(model, device, precision):
        def forward(windows):
            raise RuntimeError("shapes do not match")

        return forward

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "numpy", Backend(prepare, str, "broken"))
        with pytest.raises(RuntimeError, match="shapes"):
            computed(noise(100, 100), local_model())


def test_the_first_image_comes_first(local_model):
    settings, grid = SegmentSettings(backend="numpy"), Grid((8, 8), (8, 8), 0, 8)
    first, second = (Network(local_model(), grid, settings, turn) for turn in (1, 2))
    order, held, window = [], threading.Event(), np.zeros((1, 8, 8), np.float32)

    def noted(name):
        def launch(window, keep):
            held.wait(20)
            order.append(name)
            return lambda: window

        return launch

    first.launch, second.launch = noted("first"), noted("second")
    with ThreadPoolExecutor(5) as pool:
        for network in (second, second, second, first, first):
            pool.submit(network, window, (slice(None), slice(None)))
            time.sleep(0.05)  # the first of them is at work by now, the others wait
        held.set()
    assert order == ["second", "first", "first", "second", "second"]
