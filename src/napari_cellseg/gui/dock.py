"""What the docks share: a scrolled column of sections, a message line, knowing when they are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Container
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QGroupBox, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from qtpy.QtWidgets import QLayout

TONES = {"plain": "", "good": "color: #5cb85c;", "bad": "color: #ff7b72;", "wait": "color: #e3a94f;"}


class Message(QLabel):
    """A line for the user: what happens, or why it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setVisible(False)

    def say(self, text: str, tone: str = "plain") -> None:
        """Show a text in one of `TONES`; an empty one hides the line."""
        self.setText(text)
        self.setStyleSheet(TONES[tone])
        self.setVisible(bool(text))


class Dock(Container):
    """A dock: sections one under the other in a scroll area, a message line at the foot."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(labels=False)
        self.viewer = viewer
        self.margins = (0, 0, 0, 0)
        content = QWidget()
        self.column = QVBoxLayout(content)
        self.column.setContentsMargins(6, 6, 6, 6)
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumWidth(330)
        layout = self.native.layout()
        layout.addWidget(area)
        self.message = Message()
        self.message.setContentsMargins(8, 2, 8, 6)
        layout.addWidget(self.message)
        self._docked = False
        self.native_parent_changed.connect(self._parent_changed)

    def section(self, title: str, layout: QLayout) -> QGroupBox:
        """Add a titled section with this layout at the end of the column."""
        box = QGroupBox(title)
        box.setLayout(layout)
        self.column.addWidget(box)
        return box

    def closed(self) -> None:
        """Give back what outlives the widget; called once when the dock is taken off the window."""

    def while_alive(self, call: Callable[..., None]) -> Callable[..., None]:
        """Return `call`, made to do nothing once the widgets are gone: a job may outlive its dock."""

        def guarded(*arguments: object) -> None:
            if isalive(self.message):
                call(*arguments)

        return guarded

    def _parent_changed(self, parent: object) -> None:
        if parent is not None:
            self._docked = True
        elif self._docked:
            self._docked = False
            self.closed()


def button(text: str, pressed: Callable[[], object], tip: str = "") -> QPushButton:
    """Return a push button."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda checked=False: pressed())
    return made
