import numpy as np
import pytest
import zarr

from napari_cellseg.gui.hooks import read_layers
from napari_cellseg.gui.layers import is_changed, link_of, linked
from napari_cellseg.gui.prediction.instances import InstancesBox
from napari_cellseg.gui.prediction.result_layers import ResultLayers
from napari_cellseg.gui.segment import SegmentDock
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.instance_rings import RINGS, ring_labels
from napari_cellseg.predict.instances import store_instances
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.store import begin_result
from napari_cellseg.predict.tiles import Grid

CELLS = np.kron(np.arange(1, 7).reshape(2, 3), np.pad(np.ones((20, 20), int), 3))


def segmented(viewer, classes: Classes = RINGS) -> ResultLayers:
    """A field of six cells and what a network that is sure says of their rings."""
    source = viewer.add_image(np.zeros(CELLS.shape), name="a", scale=(0.5, 0.5), units=("nm", "nm"))
    results, rings = ResultLayers(viewer, source, classes, CELLS.shape), ring_labels(CELLS)
    for number, layer in enumerate(results.probabilities, start=2):
        layer.data[:] = 255 * (rings == number)
    results.labels.data[:] = rings
    return results


@pytest.fixture
def dock(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    made = SegmentDock(viewer)
    viewer.window.add_dock_widget(made, name="Segment")
    return made


def found(box: InstancesBox):
    return lambda: box.job is None and bool(linked(box.viewer, "instances"))


def test_the_section_is_there_only_for_models_and_results_of_rings(dock):
    section = dock.instances.parentWidget()
    assert section.isHidden()
    segmented(dock.viewer, Classes.of("x", "y", "z")).finish()
    assert section.isHidden()
    dock.instances.offer(RINGS)
    assert not section.isHidden()
    assert not dock.instances.find_button.isEnabled()
    segmented(dock.viewer).finish()
    assert dock.instances.results.count() == 1
    assert dock.instances.find_button.isEnabled()


def test_cells_become_a_layer_with_numbers_of_their_own(qtbot, dock):
    results = segmented(dock.viewer)
    results.finish()
    dock.instances.find()
    qtbot.waitUntil(found(dock.instances), timeout=30_000)
    (cells,) = linked(dock.viewer, "instances")
    assert cells.name == "a cells"
    np.testing.assert_array_equal(cells.data, CELLS)
    np.testing.assert_array_equal(cells.scale, results.labels.scale)
    assert link_of(cells).result == link_of(results.labels).result
    assert not is_changed(cells)
    assert not results.labels.visible
    assert "6 cells" in dock.message.text()
    colours = {tuple(cells.get_color(number)) for number in range(1, 7)}
    assert len(colours) == 6
    assert dock.refining.labels == results.labels  # cells are no classes to clean up


def test_they_are_found_as_soon_as_an_image_is_segmented_unless_not_wanted(qtbot, dock):
    dock.results = segmented(dock.viewer)
    dock.instances.at_end.setChecked(False)
    dock.bar.setRange(0, 3)
    dock.bar.setValue(3)
    dock._ended()
    assert dock.instances.job is None
    dock.instances.at_end.setChecked(True)
    dock._ended()
    qtbot.waitUntil(found(dock.instances), timeout=30_000)


def test_settings_count_and_mistakes_are_told(qtbot, dock):
    results = segmented(dock.viewer)
    dock.instances.find()
    assert "not finished" in dock.message.text()
    results.finish()
    dock.instances.form.rows["cell_area_nm2"].value = "some"
    dock.instances.find()
    assert "least area" in dock.message.text()
    dock.instances.form.rows["cell_area_nm2"].value = "1000"
    dock.instances.find()
    qtbot.waitUntil(found(dock.instances), timeout=30_000)
    assert not linked(dock.viewer, "instances")[0].data.any()
    dock.viewer.layers.remove(results.probabilities[0])
    dock.instances.find()
    assert "not open" in dock.message.text()


def test_a_stored_result_opens_with_its_cells_on_top(make_napari_viewer_proxy, tmp_path):
    path, rings = tmp_path / "f.ome.zarr", ring_labels(CELLS)
    said = np.stack([rings == ring for ring in (1, 2, 3, 4)]).astype(np.float32)
    grid = Grid(CELLS.shape, CELLS.shape, 0, 8)
    about = {"classes": RINGS, "pixel_nm": 0.5, "identity": {"image": "x"}, "threshold": None}
    result = begin_result(path, grid, **about)
    result.write(slice(0, CELLS.shape[0]), slice(0, CELLS.shape[1]), Encode(len(said))(said))
    result.finish(path)
    list(store_instances(path))
    assert (zarr.open_array(path / "labels/instances/0", mode="r")[:] == CELLS).all()
    viewer = make_napari_viewer_proxy()
    for data, keywords, kind in read_layers(str(path)):
        getattr(viewer, f"add_{kind}")(data, **keywords)
    cells, labels = viewer.layers[-1], viewer.layers[-2]
    assert cells.name == "f cells"
    assert link_of(cells).role == "instances"
    assert not labels.visible
    assert not is_changed(cells)
