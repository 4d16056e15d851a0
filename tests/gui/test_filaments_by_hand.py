from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.filaments import FilamentsDock
from napari_cellseg.gui.layers import KEY, Link, linked
from napari_cellseg.gui.traces.clicks import Clicks
from napari_cellseg.gui.traces.ridge import Ridge
from napari_cellseg.gui.traces.source import sources
from napari_cellseg.gui.traces.strip import StripView
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.simulate.strokes import paint_stroke

SIDE = 200


def arch(many: int) -> np.ndarray:
    """Points (n, 2) of an arch over the lower half of the plane."""
    angle = np.pi * np.linspace(1, 0, many)
    return np.stack([150 - 100 * np.sin(angle), 100 + 80 * np.cos(angle)], axis=1)


ARCH, FINE = arch(80), arch(3000)


def plane() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    paint_stroke(mask, ARCH, 4, 1)
    return mask


def ridge(viewer) -> Ridge:
    mic = viewer.add_image(plane().astype(np.float32), name="mic", metadata={KEY: Link("image", "mic")})
    viewer.add_labels(plane(), name="mask")
    return Ridge(sources(viewer)[0], mic, 0.5)


def off_the_arch(filament) -> float:
    points = filament.at(np.linspace(0, filament.length_px, 200))[0]
    return float(np.linalg.norm(points[:, None] - FINE[None], axis=2).min(axis=1).max())


def test_the_way_between_two_clicks_follows_the_middle_of_the_filament():
    drawn = ridge(ViewerModel()).between(ARCH[2] + [0, 2], ARCH[-3] - [0, 2], 8.0)
    assert off_the_arch(drawn) < 1.5
    assert drawn.length_px > 200  # not straight across
    assert drawn.score > 0.95
    inner = drawn.at(np.linspace(30, drawn.length_px - 30, 100))[0]
    assert np.median(np.linalg.norm(inner[:, None] - FINE[None], axis=2).min(axis=1)) < 0.6
    np.testing.assert_allclose(drawn.path[0], ARCH[2], atol=2.1)


def test_clicks_that_make_no_way_are_refused():
    made = ridge(ViewerModel())
    with pytest.raises(CellsegError, match="outside"):
        made.between(np.array([10.0, 10]), np.array([10.0, 900]), 8.0)
    with pytest.raises(CellsegError, match="two ends"):
        made.between(np.array([10.0, 10]), np.array([10.0, 10.5]), 8.0)
    alone = Filament([[100, 100], [100, 110]], 3, 8.0)
    with pytest.raises(CellsegError, match="nothing follows beyond this end of filament 3"):
        made.beyond(alone, -1)


@pytest.mark.parametrize("end", [0, -1])
def test_a_filament_goes_on_along_the_ridge_from_either_end(end):
    part = Filament(ARCH[30:50], 1, 8.0)
    longer = ridge(ViewerModel()).beyond(part, end)
    assert off_the_arch(longer) < 3.5  # the brush was round, so it ends beyond the last point
    grown = longer.length_px - part.length_px
    assert grown == pytest.approx(Filament(ARCH[49:] if end else ARCH[:31]).length_px, abs=8)
    np.testing.assert_allclose(longer.ends[0 if end else 1], part.ends[0 if end else 1])


def test_a_click_on_a_strip_says_where_that_is(qtbot):
    viewer = ViewerModel()
    image = viewer.add_image(np.stack([np.zeros((90, 300)), np.tile(np.arange(300.0), (90, 1))]))
    view = StripView()
    qtbot.addWidget(view)
    assert view.isHidden()
    filament = Filament([[60, 100], [60, 280]], 1, 12.8)
    view.show_filament(image, filament, (1, 0, 0))
    assert view.strip.pixels[0, :3].tolist() == [100, 101, 102]
    assert view.picture.pixmap().height() == 96
    view.show()
    with qtbot.waitSignal(view.clicked) as told:
        qtbot.mouseClick(view.picture, Qt.MouseButton.LeftButton, pos=QPoint(150, 48))
    np.testing.assert_allclose(told.args[0], [60, 150], atol=0.5)


@pytest.fixture
def dock(make_napari_viewer_proxy, qtbot):
    """The dock with the arch traced."""
    viewer = make_napari_viewer_proxy()
    link = Link("image", "mic", path=Path("mic.mrc"))
    viewer.add_image(plane().astype(np.float32), name="mic", metadata={KEY: link})
    viewer.add_labels(plane(), name="mask")
    made = FilamentsDock(viewer)
    viewer.window.add_dock_widget(made, name="Filaments", area="right")
    retrace(made, qtbot)
    yield made
    qtbot.waitUntil(lambda: made.tracing.job is None and made.tools.job is None)
    made.closed()


def retrace(dock, qtbot):
    with qtbot.waitSignal(dock.tracing.traced, timeout=20_000):
        dock.tracing.start()
    qtbot.waitUntil(lambda: dock.tracing.job is None)


def numbers(dock):
    return sorted(one.id for one in dock.edited.filaments)


def click(dock, place):
    dock._clicked(tuple(place), False)


def propose(dock, qtbot):
    qtbot.waitUntil(lambda: dock.tools.job is None, timeout=20_000)
    assert linked(dock.viewer, "filaments proposal"), dock.message.text()


def test_edits_by_hand_and_their_survival(dock, qtbot):
    tools, whole = dock.tools, dock.edited.filaments[0].length_px
    tools.tools["split"].click()
    click(dock, (5, 5))
    assert "no filament there" in dock.message.text()
    click(dock, ARCH[40])
    assert numbers(dock) == sorted(dock.table.numbers) == [1, 2]
    assert not tools.tools["split"].isChecked()
    tools.join_button.click()
    assert numbers(dock) == [1]
    assert dock.edited.filaments[0].length_px == pytest.approx(whole, abs=0.5)
    tools.undo_button.click()
    assert numbers(dock) == [1, 2]

    dock.table.selectRow(0)
    tools.delete_button.click()
    (left,) = numbers(dock)
    retrace(dock, qtbot)
    assert numbers(dock) == [left]
    assert "1 by hand kept" in dock.message.text()
    dock.keep.setChecked(False)
    retrace(dock, qtbot)
    assert dock.edited.filaments[0].length_px == pytest.approx(whole, abs=0.5)
    for what in ("trace", "trace", "delete", "split", "trace"):
        assert dock.edited.history.next_undo == what
        tools.undo_button.click()
    assert (numbers(dock), tools.undo_button.isEnabled(), dock.strip.isHidden()) == ([], False, True)


def test_a_way_is_proposed_and_taken_or_dropped(dock, qtbot):
    tools = dock.tools
    tools.tools["redraw"].click()
    assert "choose it first" in dock.message.text()
    tools.tools["draw"].click()
    click(dock, ARCH[10])
    click(dock, ARCH[60])
    propose(dock, qtbot)
    tools.drop_button.click()
    assert numbers(dock) == [1]
    assert not linked(dock.viewer, "filaments proposal")

    dock.table.selectRow(0)
    tools.tools["redraw"].click()
    click(dock, ARCH[20])
    click(dock, ARCH[60])
    propose(dock, qtbot)
    tools.take_button.click()
    short = dock.edited.filaments[0]
    assert short.locked
    assert short.length_px == pytest.approx(Filament(ARCH[20:61]).length_px, rel=0.05)

    tools.tools["extend"].click()
    click(dock, short.ends[0])
    propose(dock, qtbot)
    tools.take_button.click()
    longer = dock.edited.filaments[0].length_px
    assert longer > short.length_px + 30
    tools.tools["extend"].click()
    click(dock, ARCH[-4])
    propose(dock, qtbot)
    tools.take_button.click()
    assert dock.edited.filaments[0].length_px > longer + 20
    assert off_the_arch(dock.edited.filaments[0]) < 3.5  # the brush was round

    tools.tools["draw"].click()
    click(dock, (190, 60))
    click(dock, (190, 140))
    propose(dock, qtbot)
    tools.take_proposal()
    assert numbers(dock) == [1, 2]
    assert dock.table.numbers == [2]


def test_the_strip_of_the_chosen_filament_leads_to_the_micrograph(dock):
    dock.table.selectRow(0)
    assert not dock.strip.isHidden()
    dock.strip.picture.pressed.emit(100 * dock.strip.scale, 48)
    center = np.asarray(dock.viewer.scene.camera.center)[-2:]
    expected = dock.edited.filaments[0].at([100])[0][0]
    np.testing.assert_allclose(center, expected, atol=1)
    dock.table.clearSelection()
    assert dock.strip.isHidden()


def test_only_clicks_that_are_no_drags_count():
    viewer, told = ViewerModel(), []
    layer = viewer.add_shapes()
    clicks = Clicks(viewer, lambda position, add: told.append((position, add)))

    def press(*moves, button=1, modifiers=()):
        event = SimpleNamespace(
            type="mouse_press", pos=(50, 50), position=(3.0, 4.0), button=button, modifiers=modifiers
        )
        for callback in viewer.mouse_drag_callbacks[-1:]:
            steps = callback(viewer, event)
            next(steps, None)
            for event.type, event.pos in [
                *(("mouse_move", place) for place in moves),
                ("mouse_release", (0, 0)),
            ]:
                next(steps, None)

    press()
    press((51, 51), modifiers=("Control",))
    press((51, 51), (80, 50))
    press(button=2)
    layer.mode = "add_path"
    press()
    assert told == [((3.0, 4.0), False), ((3.0, 4.0), True)]
    clicks.closed()
    assert not [one for one in viewer.mouse_drag_callbacks if getattr(one, "__self__", None) is clicks]


def test_shapes_selected_with_napari_s_own_tool_are_chosen(dock):
    dock.edited.layer.selected_data = {0}
    assert dock.table.numbers == [1]
