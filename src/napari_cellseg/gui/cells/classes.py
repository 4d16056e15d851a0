"""The classes beside the gallery: a colour, a key and the number of cells of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QInputDialog, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_cellseg.gui.cells.curation import KINDS
from napari_cellseg.gui.dock import Message, button
from napari_cellseg.images.annotation import Classes

if TYPE_CHECKING:
    from napari_cellseg.gui.cells.curation import Curation

KEYS = 9  # number keys
STATUS_COLORS = {
    "predicted": "#4c566a",
    "validated": "#2f7d52",
    "dubious": "#d98a1f",
    "unlabelled": "#2b3038",
}
"""Frame of a cell in the gallery."""
LEGEND = "  ".join(
    f"<span style='color: {color}'>&#9632;</span>&nbsp;{kind}" for kind, color in STATUS_COLORS.items()
)


class ClassList(QWidget):
    """Click on a class, or press its number, to give it to the selected cells.

    Signals
    -------
    picked(str)
        A class was clicked.
    added(str)
        The user wants a new class.
    """

    picked = Signal(str)
    added = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.list, self.legend = QListWidget(), Message()
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.list.setToolTip("Click: the selected cells are of this class (or press its number)")
        self.legend.say(LEGEND)
        self.setMinimumWidth(180)
        self.setMaximumWidth(210)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.list, 1)
        column.addWidget(button("New class ...", self._ask, "A class that no cell has yet"))
        column.addWidget(self.legend)
        self.list.itemClicked.connect(lambda item: self.picked.emit(item.data(Qt.ItemDataRole.UserRole)))

    def show_classes(self, curation: Curation) -> None:
        """List the classes with the number of cells of each."""
        counts = np.bincount(curation.current[curation.current >= 0], minlength=len(curation.classes))
        colors = class_colors(curation.classes)
        while self.list.count() > len(curation.classes):
            self.list.takeItem(self.list.count() - 1)
        for index, (name, count) in enumerate(zip(curation.classes, counts.tolist(), strict=True)):
            item = self.list.item(index)
            if item is None:
                item = QListWidgetItem()
                self.list.addItem(item)
            key = f"{index + 1}   " if index < KEYS else "     "
            item.setText(f"{key}{name}   {count:,}")
            item.setData(Qt.ItemDataRole.UserRole, name)
            swatch = QPixmap(14, 14)
            swatch.fill(QColor(colors[index]))
            item.setIcon(QIcon(swatch))

    def _ask(self) -> None:
        name, agreed = QInputDialog.getText(self, "New class", "Name of the class:")
        if agreed and name.strip():
            self.added.emit(name.strip())


def class_colors(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the colour of each class, the same in all docks and layers."""
    return Classes.of(*map(str, range(len(names)))).colors[2:]  # a cell may be called "background"


def status_color(kind: int) -> str:
    """Return the frame's colour for an index into `KINDS`."""
    return STATUS_COLORS[KINDS[kind]]
