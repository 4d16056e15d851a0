import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import KEY, Link, is_changed, link_of, linked, remember
from napari_cellseg.gui.prediction.refine import RefineBox
from napari_cellseg.gui.prediction.refining import (
    around,
    check_replaceable,
    probability_planes,
    refine_steps,
    replace_labels,
    whole,
)
from napari_cellseg.gui.prediction.result_layers import ResultLayers
from napari_cellseg.images.annotation import Classes
from napari_cellseg.predict.chain import parse_chain
from napari_cellseg.predict.postprocess import STEPS

CHAIN = parse_chain("hysteresis:low=0.3,high=0.6; remove-small:area_px=4")


def segmented(viewer) -> ResultLayers:
    """An image of 60 x 80 px with a faint line that is sure in one half, and a speck."""
    source = viewer.add_image(np.zeros((60, 80)), name="a", scale=(0.5, 0.5), units=("nm", "nm"))
    results = ResultLayers(viewer, source, Classes.of("line"), (60, 80))
    results.probabilities[0].data[30, 10:70] = 100
    results.probabilities[0].data[30, 10:40] = 200
    results.probabilities[0].data[5, 5] = 250
    results.labels.data[:] = 1 + (results.probabilities[0].data > 127)
    results.finish()
    return results


def after(viewer, labels, chain, region=None) -> np.ndarray:
    (plane,) = refine_steps(viewer, labels, chain, region or whole(labels))
    return plane


def test_the_probabilities_are_those_of_the_same_segmentation():
    viewer = ViewerModel()
    first, second = segmented(viewer), segmented(viewer)
    assert probability_planes(viewer, first.labels)[0] is first.probabilities[0].data
    assert probability_planes(viewer, second.labels)[0] is second.probabilities[0].data
    viewer.layers.remove(first.probabilities[0])
    assert probability_planes(viewer, first.labels) is None
    with pytest.raises(CellsegError, match=r"not open.*hysteresis"):
        after(viewer, first.labels, CHAIN)
    assert (after(viewer, first.labels, parse_chain("remove-small")) == 1).all()


def test_labels_are_refined_and_left_as_they_are():
    viewer = ViewerModel()
    labels = segmented(viewer).labels
    before = labels.data.copy()
    found = after(viewer, labels, CHAIN)
    assert (found[30, 10:70] == 2).all()
    assert found[5, 5] == 1
    np.testing.assert_array_equal(labels.data, before)
    part = (slice(28, 33), slice(0, 50))
    np.testing.assert_array_equal(after(viewer, labels, CHAIN, part), found[part])


def test_areas_in_nm2_go_by_the_layer():
    viewer = ViewerModel()
    labels = segmented(viewer).labels  # the line has 30 px of 0.25 nm2
    assert (after(viewer, labels, parse_chain("remove-small:area_nm2=7")) == 2).any()
    assert (after(viewer, labels, parse_chain("remove-small:area_nm2=8")) == 1).all()


def test_one_undo_takes_a_change_back_and_it_is_nobodys_work():
    viewer = ViewerModel()
    labels = segmented(viewer).labels
    before = labels.data.copy()
    assert replace_labels(labels, after(viewer, labels, CHAIN)) == 31
    assert not is_changed(labels)
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_what_somebody_painted_is_not_replaced_unasked():
    viewer = ViewerModel()
    labels = segmented(viewer).labels
    check_replaceable(labels, painted_too=False)
    labels.fill((50, 50), 2)
    with pytest.raises(CellsegError, match="somebody worked on"):
        check_replaceable(labels, painted_too=False)
    check_replaceable(labels, painted_too=True)
    replace_labels(labels, after(viewer, labels, CHAIN))
    assert is_changed(labels)


def test_labels_of_unknown_origin_count_as_somebodys_work():
    viewer = ViewerModel()
    assert is_changed(viewer.add_labels(np.ones((4, 4), np.uint8)))
    pyramid = viewer.add_labels([np.ones((8, 8), np.uint8), np.ones((4, 4), np.uint8)], multiscale=True)
    assert not is_changed(pyramid)
    with pytest.raises(CellsegError, match="cannot be edited"):
        check_replaceable(pyramid, painted_too=True)


def test_a_margin_stays_within_the_plane():
    labels = ViewerModel().add_labels(np.ones((100, 300), np.uint8))
    outer, inner = around((slice(0, 60), slice(100, 200)), labels)
    assert outer == (slice(0, 100), slice(52, 248))
    assert inner == (slice(0, 60), slice(48, 148))


@pytest.fixture
def box(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy()
    made = RefineBox(viewer)
    viewer.window.add_dock_widget(made, name="refine")
    made.heard = []
    made.said.connect(lambda text, tone: made.heard.append((text, tone)))
    yield made
    qtbot.waitUntil(lambda: made.job is None)
    made.closed()


def test_without_labels_there_is_nothing_to_do(box):
    assert not box.isEnabled()
    box.to_new_layer()
    assert "no labels" in box.heard[-1][0]


def test_steps_are_listed_set_and_written(box):
    steps = box.steps
    steps.add("remove-small")
    steps.add("hysteresis")  # from the probabilities: first
    assert [name for name, _ in steps.chain] == ["hysteresis", "remove-small"]
    steps.form.rows["low"].value = 0.2
    assert steps.text.text() == "hysteresis:low=0.2,high=0.6; remove-small:area_px=64"
    assert "low 0.2" in steps.listed.item(0).text()
    steps.form.rows["low"].value = 0.9
    assert "low = 0.9 is above high" in box.heard[-1][0]
    steps.listed.setCurrentRow(1)
    steps.form.rows["area_nm2"].value = "50"
    assert "both given" in box.heard[-1][0]
    steps.form.rows["area_px"].value = ""
    assert steps.text.text().endswith("remove-small:area_nm2=50.0")
    steps.add("threshold")  # in place of the other one
    assert [name for name, _ in steps.chain] == ["threshold", "remove-small"]
    steps.remove()
    assert [name for name, _ in steps.chain] == ["remove-small"]
    steps.text.setText("smooth: sigma_px=2")
    steps.text.editingFinished.emit()
    assert steps.listed.count() == 1
    steps.text.setText("smoth")
    steps.text.editingFinished.emit()
    assert "did you mean 'smooth'" in box.heard[-1][0]
    assert [name for name, _ in steps.chain] == ["smooth"]


@pytest.mark.parametrize("name", STEPS)
def test_every_step_has_a_form(name, box):
    box.steps.add(name)
    assert list(box.steps.form.rows) == list(STEPS[name].settings.model_fields)


def test_the_preview_stands_in_for_the_labels_and_follows(qtbot, box):
    labels = segmented(box.viewer).labels
    box.offer()
    box.steps.set_text("remove-small:area_px=2")
    box.preview.setChecked(True)
    qtbot.waitUntil(lambda: bool(linked(box.viewer, "preview")))
    (shown,) = linked(box.viewer, "preview")
    assert not labels.visible
    assert not shown.editable
    assert np.count_nonzero(np.asarray(shown.data) == 2) == 30
    corner = shown.data_to_world((0, 0))
    np.testing.assert_allclose(labels.world_to_data(corner), np.rint(labels.world_to_data(corner)))
    box.steps.set_text("remove-small:area_px=40")
    qtbot.waitUntil(lambda: not (np.asarray(shown.data) == 2).any())
    box.preview.setChecked(False)
    assert labels.visible
    assert not linked(box.viewer, "preview")


def test_into_a_new_layer(qtbot, box):
    results = segmented(box.viewer)
    results.labels.paint((50, 50), 2)
    painted = results.labels.data.copy()
    box.offer()
    box.steps.set_text("hysteresis:low=0.3,high=0.6; remove-small:area_px=4")
    box.to_new_layer()
    qtbot.waitUntil(lambda: "a labels refined" in box.viewer.layers)
    made = box.viewer.layers["a labels refined"]
    assert np.count_nonzero(made.data == 2) == 60
    np.testing.assert_array_equal(made.scale, results.labels.scale)
    np.testing.assert_array_equal(results.labels.data, painted)
    assert link_of(made).result == link_of(results.labels).result
    assert not is_changed(made)


def test_in_place_unless_somebody_painted(qtbot, box):
    labels = segmented(box.viewer).labels
    box.offer()
    box.in_place()
    assert "no step" in box.heard[-1][0]
    box.steps.set_text("remove-small:area_px=4")
    labels.paint((50, 50), 2)
    box.in_place()
    assert "somebody worked on" in box.heard[-1][0]
    assert box.job is None
    box.over.setChecked(True)
    box.in_place()
    assert not labels.editable
    qtbot.waitUntil(lambda: box.job is None)
    assert labels.editable
    assert "Ctrl+Z" in box.heard[-1][0]
    assert labels.data[5, 5] == 1
    labels.undo()
    assert labels.data[5, 5] == 2


def test_what_goes_wrong_is_told(qtbot, box):
    labels = box.viewer.add_labels(np.ones((9, 9), np.uint8), metadata={KEY: Link("labels", "b")})
    remember(labels)
    box.offer()
    box.steps.set_text("remove-small:area_nm2=4")
    box.in_place()
    qtbot.waitUntil(lambda: box.job is None)
    assert "without a pixel size" in box.heard[-1][0]
    assert labels.editable
