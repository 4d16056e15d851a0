import numpy as np
import pytest
import tifffile

from napari_cellseg.gui.annotate import AnnotateDock
from napari_cellseg.gui.annotation.copy_box import DRAWN, WHOLE
from napari_cellseg.gui.layers import KEY, Link, link_of
from napari_cellseg.images.project import Project

LABELS_KEYS = set("1234567BMXVEPFLZ")


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def dock(viewer):
    made = AnnotateDock(viewer)
    viewer.window.add_dock_widget(made, name="Annotate")
    return made


def paint(layer, row, col, label=2):
    layer.paint((row, col), label)


def close(qtbot, dock):
    """Close the dock as its button does; nothing else refers to it then."""
    dock.viewer.window.remove_dock_widget(dock.native)
    dock.native.deleteLater()
    qtbot.wait(50)


def test_without_a_project_every_button_says_what_is_missing(dock):
    for press in (dock.show_next, dock.add_layers, dock.paint_background, dock.paint_class, dock.draw_area):
        dock.message.say("")
        press()
        assert "no project is open" in dock.message.text() or "no image here" in dock.message.text()


def test_a_project_opens_with_its_first_image_ready_to_paint(dock, project):
    dock.set_project(project)
    layer = dock.painted
    assert isinstance(layer.data, np.ndarray)
    assert layer.data.shape == (64, 80)
    assert not layer.multiscale
    assert layer.scale[0] == pytest.approx(0.5)
    assert str(layer.units[0]) == "nanometer"
    assert dock.images.rowCount() == 2


def test_strokes_reach_the_project_within_seconds(qtbot, dock, project):
    dock.set_project(project)
    dock.paint(2)
    assert str(dock.painted.mode) == "paint"
    paint(dock.painted, 30, 30)
    assert dock.painted.data.any()
    qtbot.waitUntil(lambda: bool(project.labelled()), timeout=60_000)
    np.testing.assert_array_equal(project.labels("bar_1"), dock.painted.data)
    qtbot.waitUntil(lambda: "saved" in dock.saved.text(), timeout=60_000)


def test_undo_reaches_the_project_too(qtbot, dock, project):
    dock.set_project(project)
    paint(dock.painted, 30, 30)
    link_of(dock.painted).saving.save()
    dock.painted.undo()
    link_of(dock.painted).saving.save()
    assert not project.labels("bar_1").any()


def test_switching_saves_and_closes_the_former_image(dock, project):
    dock.set_project(project)
    paint(dock.painted, 30, 30)
    dock.show_next()
    assert link_of(dock.painted).image == "bar_2"
    assert [layer.name for layer in dock.viewer.layers] == ["bar_2", "bar_2 annotation"]
    assert project.labels("bar_1").any()
    dock.show_image("bar_1")
    assert dock.painted.data.any()


def test_counts_follow_the_brush(qtbot, dock, project):
    dock.set_project(project)
    paint(dock.painted, 30, 30)
    pixels = f"{np.count_nonzero(dock.painted.data):,}"
    qtbot.waitUntil(lambda: dock.classes.item(1, 2).text() == pixels)
    assert dock.images.item(0, 1).text() == pixels


def test_classes_are_added_renamed_and_coloured_everywhere(dock, project):
    dock.set_project(project)
    dock.add_class("carbon")
    dock.rename_class(2, "filament")
    dock.recolor_class(2, "#ff0000")
    assert Project.open(project.path).classes.names[1:] == ("background", "filament", "edge", "carbon")
    np.testing.assert_allclose(dock.painted.get_color(2), [1, 0, 0, 1])
    dock.rename_class(3, "filament")
    assert "occurs twice" in dock.message.text()
    assert dock.classes.item(2, 1).text() == "edge"


def test_the_class_key_goes_round(dock, project):
    dock.set_project(project)
    picked = []
    for _ in range(3):
        dock.paint_class()
        picked.append(dock.painted.selected_label)
    assert picked == [2, 3, 2]
    dock.paint_background()
    assert dock.painted.selected_label == 1


def test_keys_are_bound_only_while_the_dock_is_open(qtbot, viewer, dock):
    keys = {str(key) for key in viewer.keymap}
    assert keys == {"Q", "W", "G", "N"}
    assert not keys & LABELS_KEYS
    close(qtbot, dock)
    assert not viewer.keymap


def test_a_prediction_is_copied_by_area_and_as_a_whole(dock, project):
    dock.set_project(project)
    viewer, annotation = dock.viewer, dock.painted
    dock.copy_prediction()
    assert "no prediction" in dock.message.text()
    paint(annotation, 5, 5, 1)
    kept = annotation.data.copy()
    viewer.add_labels(
        np.full((64, 80), 2, np.uint8),
        name="bar_1 labels",
        scale=(0.5, 0.5),
        units=("nm", "nm"),
        metadata={KEY: Link("labels", "bar_1", project.path)},
    )
    dock.copying.where.setCurrentText(DRAWN)
    dock.copy_prediction()
    assert "no area is drawn" in dock.message.text()
    dock.draw_area()
    viewer.layers["bar_1 area"].add_rectangles(np.array([[10, 10], [20, 20]]))
    dock.copy_prediction()
    assert 80 <= np.count_nonzero(annotation.data == 2) <= 130
    dock.copying.where.setCurrentText(WHOLE)
    dock.copy_prediction()
    np.testing.assert_array_equal(annotation.data[kept > 0], kept[kept > 0])
    assert (annotation.data > 0).all()


def test_a_mask_fills_what_is_not_annotated(dock, project, monkeypatch):
    dock.set_project(project)
    paint(dock.painted, 30, 30, 3)
    kept = dock.painted.data > 0
    mask = np.ones((64, 80), np.uint8)
    mask[24:40] = 2
    monkeypatch.setattr("napari_cellseg.gui.annotate.ask_mask", lambda parent, layer: mask)
    dock.import_mask()
    assert "Ctrl+Z" in dock.message.text()
    assert (dock.painted.data[kept] == 3).all()
    np.testing.assert_array_equal(dock.painted.data[~kept], mask[~kept])


def test_a_renamed_prediction_can_be_copied(dock, project):
    dock.set_project(project)
    layer = dock.viewer.add_labels(np.full((64, 80), 2, np.uint8), name="bar_1 labels", scale=(0.5, 0.5))
    layer.units = ("nm", "nm")
    layer.name = "corrected"
    dock.copying.where.setCurrentText(WHOLE)
    dock.copy_prediction()
    assert (dock.painted.data == 2).all()


def test_layers_with_a_file_join_the_project(dock, tmp_path, images, project):
    empty = Project.create(tmp_path / "empty", project.classes)
    dock.set_project(empty)
    dock.add_layers()
    assert "no image here was opened from a file" in dock.message.text()
    dock.viewer.add_image(np.zeros((4, 4)))
    from napari_cellseg.gui.hooks import read_layers

    data, keywords, _ = read_layers(str(images[0]))[0]
    dock.viewer.add_image(data, **keywords)
    dock.add_layers()
    assert [record.name for record in empty.images] == ["bar_1"]
    assert link_of(dock.painted).image == "bar_1"
    assert len([layer for layer in dock.viewer.layers if layer.name.startswith("bar_1")]) == 2


def test_a_file_that_is_no_image_is_named(dock, tmp_path, project):
    (tmp_path / "empty.tif").touch()
    dock.set_project(project)
    dock.add_files([str(tmp_path / "empty.tif")])
    assert "empty.tif" in dock.message.text()
    assert len(project.images) == 2


def test_one_bad_file_keeps_no_other_out(dock, tmp_path, images, project):
    empty = Project.create(tmp_path / "empty", project.classes)
    dock.set_project(empty)
    for name in "abcd":
        (tmp_path / f"{name}.tif").touch()
    bad = [str(tmp_path / f"{name}.tif") for name in "abcd"]
    dock.add_files([bad[0], str(images[0]), *bad[1:], str(images[1])])
    assert [record.name for record in empty.images] == ["bar_1", "bar_2"]
    lines = dock.message.text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["a.tif", "b.tif", "c.tif", "and 1 more"]


def test_layers_join_the_project_at_the_pixel_size_they_have(dock, tmp_path, images, project):
    from napari_cellseg.gui.hooks import read_layers

    empty = Project.create(tmp_path / "empty", project.classes)
    dock.set_project(empty)
    data, keywords, _ = read_layers(str(images[0]))[0]
    dock.viewer.add_image(data, **{**keywords, "scale": (0.7, 0.7)})
    dock.add_layers()
    assert empty.image("bar_1").pixel_nm == pytest.approx(0.7)


def test_the_dock_says_what_comes_next(dock, tmp_path, images, project):
    assert "New ..." in dock.saved.text()
    empty = Project.create(tmp_path / "empty", project.classes)
    dock.set_project(empty)
    assert "Add files ..." in dock.saved.text()
    dock.add_files([str(images[0])])
    dock.viewer.layers.clear()
    assert "click an image" in dock.saved.text()


def test_a_missing_image_is_found_again_and_an_unwanted_one_taken_off(dock, tmp_path, images, project):
    (tmp_path / "elsewhere").mkdir()
    moved = images[0].rename(tmp_path / "elsewhere" / images[0].name)
    dock.set_project(project)
    assert link_of(dock.painted).image == "bar_2"  # the first that is there
    dock.show_image("bar_1")
    assert "missing" in dock.message.text()
    actions = {action.text().split()[0]: action for action in dock.images.menu_for("bar_1").actions()}
    assert list(actions) == ["Find", "Take"]
    dock.find_again("bar_1", moved)
    assert link_of(dock.painted).image == "bar_1"
    paint(dock.painted, 30, 30)
    dock.images.menu_for("bar_1").actions()[1].trigger()
    assert [record.name for record in project.images] == ["bar_2"]
    assert not dock.viewer.layers
    dock.add_files([str(moved)])
    assert project.labels("bar_1").any()


def test_an_image_whose_content_changed_is_pointed_out(dock, images, project):
    tifffile.imwrite(images[0], np.ones((64, 80), np.uint16))
    dock.set_project(project)
    assert "has changed since it was added" in dock.message.text()


def test_the_last_class_goes_unless_it_is_painted(dock, project):
    dock.set_project(project)
    paint(dock.painted, 30, 30, 3)
    dock.remove_class()
    assert "'edge' is painted" in dock.message.text()
    dock.painted.undo()
    dock.remove_class()
    assert project.classes.targets == ("bar",)
    dock.remove_class()
    dock.remove_class()
    assert "no class but the background" in dock.message.text()


def test_no_more_than_the_open_dock_is_needed_to_go_on_saving(viewer, dock, project, qtbot):
    dock.set_project(project)
    layer = dock.painted
    close(qtbot, dock)
    paint(layer, 30, 30)
    qtbot.waitUntil(lambda: bool(project.labelled()), timeout=60_000)
