import pytest

from napari_cellseg.gui.annotate import AnnotateDock
from napari_cellseg.gui.dock import Message
from napari_cellseg.gui.segment import SegmentDock
from napari_cellseg.gui.train import TrainDock

NARROWEST = 330 - 16  # of a dock, and its scroll bar


@pytest.mark.parametrize("kind", [AnnotateDock, TrainDock, SegmentDock])
def test_nothing_is_cut_off_where_the_dock_is_narrow(make_napari_viewer_proxy, project, kind):
    viewer = make_napari_viewer_proxy()
    dock = kind(viewer)
    viewer.window.add_dock_widget(dock, name="Dock")
    dock.set_project(project)
    content = dock.column.parentWidget()
    sections = [dock.column.itemAt(i).widget() for i in range(dock.column.count())]
    titles = [box.fontMetrics().horizontalAdvance(box.title()) + 24 for box in sections if box is not None]
    assert max(content.minimumSizeHint().width(), *titles) <= NARROWEST


def test_an_empty_message_takes_no_room(qtbot):
    message = Message()
    qtbot.addWidget(message)
    message.say("why", "bad")
    assert not message.isHidden()
    message.say("")
    assert message.isHidden()
