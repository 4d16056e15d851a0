import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import image_from, linked
from napari_cellseg.gui.opening import open_image
from napari_cellseg.gui.prediction.asking import (
    Answer,
    add_answer,
    cursor_place,
    marked_place,
    places_layer,
    write_pixels,
)
from napari_cellseg.gui.prediction.explain import ExplainBox
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.predict import explainers
from napari_cellseg.predict.explain import Explanation


def test_an_answer_lies_where_its_pixels_lie():
    viewer = ViewerModel()
    place = {"scale": (0.5, 0.25), "translate": (3, 4), "rotate": 30, "shear": [0.2]}
    source = viewer.add_image(np.zeros((60, 80)), name="a", **place)
    found = Explanation(np.eye(10, dtype=np.float32), slice(20, 30), slice(30, 40), "bar", 1.0)
    layer = add_answer(viewer, source, Answer(found, "lime"))
    assert layer.name == "a why bar (lime)"
    for point in ((0, 0), (5, 9)):
        there = source.data_to_world(np.add(point, (20, 30)))
        np.testing.assert_allclose(layer.data_to_world(point), there)
    assert tuple(layer.contrast_limits) == (-1, 1)


def test_the_place_is_the_selected_point_or_the_last_one():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((60, 80)), name="a", scale=(0.5, 0.5))
    with pytest.raises(CellsegError, match="no place is marked"):
        marked_place(viewer, source)
    points = places_layer(viewer, source)
    assert places_layer(viewer, source) is points
    points.data = np.array([[1.0, 2.0], [3.0, 4.0]])
    points.selected_data = set()
    assert marked_place(viewer, source) == (3, 4)
    viewer.layers.selection.active = points
    points.selected_data = {0}
    assert marked_place(viewer, source) == (1, 2)
    other = viewer.add_points([[5.0, 5.0]], name="somebody's")  # in world coordinates of scale 1
    viewer.layers.selection.active = other
    assert marked_place(viewer, source) == (10, 10)


def test_the_place_under_the_cursor():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((3, 60, 80)), name="a", scale=(1, 0.5, 0.5))
    viewer.cursor.position = (0, 10, 20)
    assert cursor_place(viewer, source) == (20, 40)


@pytest.fixture
def box(make_napari_viewer_proxy, qtbot, project, model_file):
    viewer = make_napari_viewer_proxy()
    open_image(viewer, project, "bar_1")
    made = ExplainBox(viewer, lambda: (viewer.layers["bar_1"], model_file, "cpu"))
    viewer.window.add_dock_widget(made, name="explain")
    made.offer(Classes.of("bar", "edge"))
    made.methods.setCurrentText("grad-cam")
    made.heard = []
    made.said.connect(lambda text, tone: made.heard.append((text, tone)))
    yield made
    made.closed()
    qtbot.waitUntil(lambda: made.job is None, timeout=60_000)


def test_a_place_is_explained_over_the_image(qtbot, box):
    box.ask()
    assert "Mark a place" in box.heard[-1][0]
    box.mark()
    (points,) = linked(box.viewer, "places")
    assert str(points.mode) == "add"
    points.data = np.array([[30.0, 40.0]])
    box.classes.setCurrentText("bar")
    box.ask()
    assert not box.ask_button.isEnabled()
    qtbot.waitUntil(lambda: box.job is None, timeout=120_000)
    assert "bar, log-odds" in box.heard[-1][0]
    (layer,) = linked(box.viewer, "explanation")
    source = box.viewer.layers["bar_1"]
    assert layer.data.shape == (64, 80)
    np.testing.assert_array_equal(layer.scale, source.scale)
    assert layer.units == source.units
    assert np.isfinite(layer.data).all()


def test_stopping_ends_the_process(qtbot, box):
    box.viewer.cursor.position = tuple(box.viewer.layers["bar_1"].data_to_world((30, 40)))
    box.methods.setCurrentText("lime")
    box.ask_here()
    qtbot.waitUntil(lambda: box.question.child.process is not None)
    box.stop()
    qtbot.waitUntil(lambda: box.job is None, timeout=20_000)
    assert box.question.child.process.returncode != 0
    assert box.heard[-1][0] == "Stopped."
    assert not linked(box.viewer, "explanation")


def test_what_the_command_complains_about_is_told_in_the_dock(qtbot, box, model_file):
    model_file.unlink()
    box.viewer.cursor.position = (3, 3)
    box.ask_here()
    qtbot.waitUntil(lambda: box.job is None, timeout=60_000)
    assert box.heard[-1][0].startswith(f"{model_file}: no such model file")
    assert box.heard[-1][1] == "bad"


def test_without_captum_it_says_how_to_get_it(box, monkeypatch):
    monkeypatch.setattr(explainers, "find_spec", lambda name: None)
    box.ask_here()
    assert "pip install" in box.heard[-1][0]
    assert box.job is None


@pytest.mark.parametrize("shape", [(40, 50), (2, 40, 50), (40, 50, 3)])
def test_pixels_without_a_file_are_handed_over(shape, tmp_path):
    viewer = ViewerModel()
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    source = viewer.add_image(pixels, name="made", rgb=shape[-1] == 3)
    expected = image_from(source)
    write_pixels(tmp_path / "image.tif", expected)
    found = read_image(tmp_path / "image.tif")
    assert found.channels == expected.channels
    np.testing.assert_array_equal(found.data.compute(), expected.data.compute())
