import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_cellseg.gui.block_process import BlockDone
from napari_cellseg.gui.opening import open_image
from napari_cellseg.gui.result_layers import ResultLayers
from napari_cellseg.gui.segment import SegmentDock, describe
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import read_spec

# torch stays out of this process, as it does out of the viewer's: see gui.block_process
MAKE_MODEL = """
import sys
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, new_model, save_model

provenance = {"images": ["bar_1"], "validation_dice": 0.9}
options = {"depth": 3, "width": 4}
spec = ModelSpec(
    "unet", "resnet18", Classes.of("bar", "edge"), stride=8, halo_px=16, options=options,
    provenance=provenance,
)
save_model(sys.argv[1], spec, new_model(spec).net)
"""


@pytest.fixture(scope="session")
def made_model(tmp_path_factory):
    """A tiny network with random weights."""
    path = tmp_path_factory.mktemp("model") / "bars.safetensors"
    subprocess.run([sys.executable, "-W", "ignore", "-c", MAKE_MODEL, str(path)], check=True)
    return path


@pytest.fixture
def model_file(project, made_model):
    """The network, in the project."""
    return Path(shutil.copy(made_model, project.path / "models"))


@pytest.fixture
def dock(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    made = SegmentDock(viewer)
    viewer.window.add_dock_widget(made, name="Segment")
    return made


def finished(dock):
    return lambda: dock.job is None


def test_without_a_model_it_says_so(dock):
    assert "no model yet" in dock.about.text()
    assert not dock.start_button.isEnabled()


def test_a_foreign_file_is_refused_in_a_line(dock, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    dock.choose_model(tmp_path / "x.safetensors")
    assert "x.safetensors" in dock.about.text()


def test_a_new_model_is_chosen_by_itself(qtbot, dock, project, model_file):
    dock.set_project(project)
    assert dock.models.currentText() == "bars"
    other = model_file.with_name("newer.safetensors")
    other.write_bytes(model_file.read_bytes())
    qtbot.waitUntil(lambda: dock.models.currentText() == "newer", timeout=60_000)


def test_a_model_is_described(model_file):
    text = describe(read_spec(model_file))
    for part in ("finds bar, edge", "own pixel size", "trained on 1 image: bar_1", "score 0.900"):
        assert part in text


def test_the_next_image_is_opened_and_segmented(qtbot, dock, project, model_file, monkeypatch):
    viewer, order, fill = dock.viewer, [], ResultLayers.fill
    monkeypatch.setattr(ResultLayers, "fill", lambda self, block: (order.append(block), fill(self, block)))
    open_image(viewer, project, "bar_1")
    assert dock.project.path == project.path
    dock.form.rows["block_px"].value = "32"
    dock.segment_next()
    qtbot.waitUntil(finished(dock), timeout=280_000)
    assert "Done" in dock.message.text()
    names = [
        "bar_2",
        *(f"bar_2 probabilities ({x})" for x in ("bar", "edge")),
        "bar_2 labels",
        "bar_2 annotation",
    ]
    assert [layer.name for layer in viewer.layers] == names
    labels, source = viewer.layers["bar_2 labels"], viewer.layers["bar_2"]
    assert labels.data.dtype == np.uint8
    assert labels.data.min() >= 1
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
    results = ResultLayers(viewer, source, Classes.of("x"), (8, 8))
    assert all(layer.locked for layer in results.all)
    assert results.labels.name != "a labels"
    part = np.s_[0:4, 2:8]
    probabilities = np.full((2, 4, 6), 200, np.uint8)
    told = BlockDone((0, 4), (2, 8), 1, 2, 1.0, 2.0)
    from napari_cellseg.gui.predict import Block

    viewer.layers.remove(results.probabilities[0])
    results.fill(Block(*part, probabilities, np.full((4, 6), 2, np.uint8), told))
    assert np.count_nonzero(results.labels.data == 2) == 24
    results.finish()
    assert not results.labels.locked
    results.labels.paint((1, 1), 1)
    assert results.labels.metadata["changed"]


def test_the_process_says_in_a_line_why_it_cannot(tmp_path, images, model_file):
    request = {"image": str(tmp_path / "none.tif"), "name": "a", "pixel_nm": None, "model": str(model_file)}
    (tmp_path / "request.json").write_text(json.dumps(request | {"center": [0, 0], "settings": {}}))
    command = [sys.executable, "-m", "napari_cellseg.gui.block_process", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "none.tif" in done.stderr
    assert "Traceback" not in done.stderr
