"""The Gallery dock on a simulated export, and on the objects of a field."""

import json

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt

from napari_cellseg.gui.gallery import GalleryDock
from napari_cellseg.images.crops import read_crops
from napari_cellseg.images.simulate.ideas_export import IdeasExportSettings, simulate_ideas_export


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells") / "lake"
    settings = IdeasExportSettings(cells=24, samples=2, missing=0.05, duplicates=0, group_effect=0)
    return simulate_ideas_export(folder, settings=settings, seed=2).folder


def painted(grid):
    """Paint the grid of a window that is not shown; tell whether every picture is there."""
    grid.grab()
    return grid.missing == 0


@pytest.fixture
def opened(make_napari_viewer_proxy, qtbot, export, tmp_path):
    """A dock with the cells of a copy of the export."""
    viewer = make_napari_viewer_proxy()
    here = tmp_path / "lake"
    here.symlink_to(export)
    dock = GalleryDock(viewer)
    viewer.window.add_dock_widget(dock, name="Gallery")
    dock.grid.resize(520, 600)
    dock.open(here)
    qtbot.waitUntil(lambda: dock.cells is not None and dock.source.job is None, timeout=20_000)
    painted(dock.grid)
    yield dock
    dock.closed()


def test_cells_are_drawn_selected_relabelled_and_kept(opened, qtbot):
    dock, grid = opened, opened.grid
    assert "1 of 24 cells lack a channel" in dock.message.text()
    qtbot.waitUntil(lambda: painted(grid))
    assert grid.tiles.get(0).width() == grid.tiles.view.side_px
    first, third = grid.rect_of(0).center(), grid.rect_of(2).center()
    qtbot.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=first)
    qtbot.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, third)
    assert grid.selection().tolist() == [0, 1, 2]
    before = dock.cells.curation.labels()[:3].tolist()
    qtbot.keyClick(grid, Qt.Key.Key_2)
    second = dock.cells.curation.classes[1]
    assert dock.cells.curation.labels()[:3].tolist() == [second] * 3
    kept = dock.cells.folder / "labels.json"
    qtbot.waitUntil(kept.exists)
    qtbot.keyClick(grid, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert dock.cells.curation.labels()[:3].tolist() == before
    qtbot.keyClick(grid, Qt.Key.Key_D)
    dock.closed()
    written = json.loads(kept.read_text("utf-8"))["cells"]
    assert [status for _, status in written.values()] == ["dubious"] * 3


def test_a_rectangle_selects_and_filters_and_channels_change_what_is_seen(opened, qtbot):
    dock, grid = opened, opened.grid
    start, end = QPoint(1, 1), grid.rect_of(1).center()
    qtbot.mousePress(grid.viewport(), Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(grid.viewport(), end)
    qtbot.mouseRelease(grid.viewport(), Qt.MouseButton.LeftButton, pos=end)
    assert grid.selection().tolist() == [0, 1]
    dock.order_row.label.setCurrentIndex(1)
    name = dock.cells.curation.classes[0]
    assert set(dock.cells.curation.labels()[grid.order]) == {name}
    dock.order_row.order.setCurrentText("doubt (margin)")
    assert "no model has seen these cells" in dock.message.text()
    dock.view_row.mode.setCurrentText("each channel")
    qtbot.waitUntil(lambda: grid.tiles.view.mode == "each channel")
    assert grid.tiles.view.width_px == 3 * grid.tiles.view.side_px


def test_a_folder_without_cells_is_said(make_napari_viewer_proxy, qtbot, tmp_path):
    dock = GalleryDock(make_napari_viewer_proxy())
    dock.open(tmp_path)
    qtbot.waitUntil(lambda: "the folder is empty" in dock.message.text())
    dock.act("validate")
    dock.closed()


def test_a_chosen_object_is_centred_and_a_picked_one_is_chosen(make_napari_viewer_proxy, qtbot, tmp_path):
    viewer = make_napari_viewer_proxy()
    image, labels = np.zeros((60, 80), np.uint16), np.zeros((60, 80), np.uint16)
    for number, (row, col) in {3: (10, 20), 8: (40, 60)}.items():
        labels[row - 3 : row + 4, col - 3 : col + 4] = number
        image[row - 3 : row + 4, col - 3 : col + 4] = 100 * number
    tifffile.imwrite(tmp_path / "field.tif", image)
    dock = GalleryDock(viewer)
    assert not dock.source._field.isVisibleTo(dock.native)
    viewer.add_image(image, name="field", scale=(2, 2))
    layer = viewer.add_labels(labels, name="cells", scale=(2, 2))
    dock.source.take_objects()
    qtbot.waitUntil(lambda: dock.cells is not None and dock.source.job is None)
    assert dock.cells.crops.ids.tolist() == ["3", "8"]
    dock.grid.choose(1)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (80, 120))
    assert layer.selected_label == 8
    layer.selected_label = 3
    assert dock.grid.chosen_cell == 0
    steps = dock.cells.readable()
    try:
        while True:
            next(steps)
    except StopIteration as end:
        cut = read_crops(end.value)
    assert cut.ids.tolist() == ["3", "8"]
    assert cut.channels == dock.cells.crops.channels
    np.testing.assert_array_equal(cut.read(1), dock.cells.crops.read(1))
    dock.closed()
