import json
import subprocess
import sys

import numpy as np
import pytest

from napari_cellseg.gui.layers import is_changed
from napari_cellseg.gui.opening import open_image
from napari_cellseg.gui.prediction.block_process import BlockDone
from napari_cellseg.gui.prediction.result_layers import ResultLayers
from napari_cellseg.gui.segment import SegmentDock
from napari_cellseg.images.annotation import Classes


@pytest.fixture
def dock(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    made = SegmentDock(viewer)
    viewer.window.add_dock_widget(made, name="Segment")
    return made


def finished(dock):
    return lambda: dock.job is None


def test_the_next_image_is_opened_and_segmented(qtbot, dock, project, model_file, monkeypatch):
    viewer, order, fill = dock.viewer, [], ResultLayers.fill
    monkeypatch.setattr(ResultLayers, "fill", lambda self, block: (order.append(block), fill(self, block)))
    open_image(viewer, project, "bar_1")
    assert dock.project.path == project.path
    dock.form.rows["block_px"].value = "32"
    dock.form.rows["views"].value = 4
    dock.form.rows["uncertainty"].value = "spread"
    dock.segment_next()
    qtbot.waitUntil(finished(dock), timeout=280_000)
    assert "Done" in dock.message.text()
    names = [
        "bar_2",
        *(f"bar_2 probabilities ({x})" for x in ("bar", "edge")),
        "bar_2 uncertainty",
        "bar_2 labels",
        "bar_2 annotation",
    ]
    assert [layer.name for layer in viewer.layers] == names
    labels, source = viewer.layers["bar_2 labels"], viewer.layers["bar_2"]
    assert labels.data.dtype == np.uint8
    assert labels.data.min() >= 1
    assert viewer.layers["bar_2 uncertainty"].data.any()
    assert dock.refining.labels == labels
    assert dock.images.count() == 1  # what we made is no image to segment
    np.testing.assert_array_equal(labels.scale, source.scale)
    assert labels.units == source.units
    assert not labels.locked
    assert viewer.layers.selection.active == viewer.layers["bar_2 annotation"]
    assert order[0].cols.start <= 40 <= order[0].cols.stop  # the middle of what is seen
    assert order[-1].told.done == order[-1].told.blocks == len(order) == 6


def test_layers_fill_in_and_are_locked_meanwhile(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    source = viewer.add_image(np.zeros((8, 8)), name="a")
    viewer.add_labels(np.ones((8, 8), np.uint8), name="a labels")
    results = ResultLayers(viewer, source, Classes.of("x"), (8, 8), uncertainty=True)
    assert all(layer.locked for layer in results.all)
    assert results.labels.name != "a labels"
    part = np.s_[0:4, 2:8]
    probabilities = np.full((2, 4, 6), 200, np.uint8)
    told = BlockDone((0, 4), (2, 8), 1, 2, 1.0, 2.0)
    from napari_cellseg.gui.prediction.blocks import Block

    viewer.layers.remove(results.probabilities[0])
    results.fill(Block(*part, probabilities, np.full((4, 6), 2, np.uint8), np.full((4, 6), 9), told))
    assert np.count_nonzero(results.labels.data == 2) == 24
    assert np.count_nonzero(results.uncertainty.data == 9) == 24
    results.finish()
    assert not results.labels.locked
    assert not is_changed(results.labels)
    results.labels.paint((1, 1), 1)
    assert is_changed(results.labels)
    results.labels.undo()
    assert not is_changed(results.labels)


def test_the_process_says_in_a_line_why_it_cannot(tmp_path, images, model_file):
    request = {
        "image": str(tmp_path / "none.tif"),
        "name": "a",
        "pixel_nm": None,
        "models": [str(model_file)],
    }
    (tmp_path / "request.json").write_text(json.dumps(request | {"center": [0, 0], "settings": {}}))
    command = [sys.executable, "-m", "napari_cellseg.gui.prediction.block_process", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "none.tif" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_image_too_large_for_the_viewer_is_refused_with_a_way_out(dock, model_file, monkeypatch):
    monkeypatch.setattr("napari_cellseg.gui.layers.MOST_PX", 99)
    dock.viewer.add_image(np.zeros((10, 10)))
    dock.model_row.choose(model_file)
    dock.start()
    assert "10 x 10 px" in dock.message.text()
    assert "napari-cellseg segment" in dock.message.text()
    assert dock.job is None


def test_a_renamed_image_keeps_its_place_and_another_model_clears_what_was_said(dock, model_file):
    layer = dock.viewer.add_image(np.zeros((40, 40)), name="before")
    layer.name = "after"
    assert [dock.images.itemText(i) for i in range(dock.images.count())] == ["after"]
    dock.message.say("out of memory", "bad")
    dock.model_row.choose(model_file)
    assert dock.message.text() == ""
