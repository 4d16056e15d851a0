import dask.array as da
import numpy as np
import pytest

from napari_cellseg.gui.layers import image_layer
from napari_cellseg.gui.overview import OVERVIEW, Overview, start_filling
from napari_cellseg.images.micrographs import Image

PIXELS = np.arange(1, 201 * 300 + 1, dtype=np.uint32).reshape(201, 300)


@pytest.mark.parametrize("shape", [(201, 300), (2, 201, 300)])
@pytest.mark.parametrize("step", [2, 7, 500])
def test_every_nth_pixel(shape, step):
    pixels = np.resize(PIXELS, shape)
    overview = Overview(da.from_array(pixels, chunks=64), step)
    assert not overview.pixels.any()
    assert list(overview.fill())[-1] == -(-201 // step)
    np.testing.assert_array_equal(overview.pixels, pixels[..., ::step, ::step])


def test_colours_have_their_rows_first():
    pixels = np.resize(PIXELS, (41, 30, 3))
    overview = Overview(da.from_array(pixels), 4, rows_axis=0)
    list(overview.fill())
    np.testing.assert_array_equal(overview.pixels, pixels[::4, ::4])


@pytest.fixture
def large(monkeypatch):
    """An image that counts as large."""
    monkeypatch.setattr("napari_cellseg.gui.layers.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("napari_cellseg.gui.layers.PYRAMID_PX", 100)
    return image_layer(Image(da.from_array(PIXELS, chunks=64), "large"))


def test_it_fills_in_while_it_is_shown(qtbot, make_napari_viewer_proxy, large):
    data, keywords, _ = large
    layer = make_napari_viewer_proxy().add_image(data, **keywords)
    assert not data[-1].any()
    worker = start_filling(layer.metadata)
    with qtbot.waitSignal(worker.finished, raising=False):
        pass
    qtbot.waitUntil(lambda: bool(data[-1].all()))
    np.testing.assert_array_equal(data[-1], PIXELS[::4, ::4])


def test_taking_the_layer_off_ends_it(qtbot, make_napari_viewer_proxy, large, monkeypatch):
    import threading

    data, keywords, _ = large
    viewer, go_on = make_napari_viewer_proxy(), threading.Event()
    fill = Overview.fill

    def slow(overview):
        for rows in fill(overview):
            yield rows
            go_on.wait(0.05)

    monkeypatch.setattr(Overview, "fill", slow)
    monkeypatch.setattr("napari_cellseg.gui.overview.REFRESH_SECONDS", 0)
    layer = viewer.add_image(data, **keywords)
    worker, ended = start_filling(layer.metadata), []
    worker.finished.connect(lambda: ended.append(True))
    qtbot.waitUntil(lambda: bool(data[-1].any()))
    qtbot.wait(100)
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: bool(ended), timeout=30_000)
    assert not data[-1].all()


def test_a_layer_without_one_needs_nothing():
    assert start_filling({}) is None
    assert OVERVIEW not in image_layer(Image.from_array(PIXELS, "small"))[1]["metadata"]
