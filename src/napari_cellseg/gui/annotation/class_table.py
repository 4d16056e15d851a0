"""The classes of a project as a table: colour, name, pixels, key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QColorDialog, QHeaderView, QTableWidget, QTableWidgetItem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_cellseg.images.annotation import Classes

COLOR, NAME, PIXELS, HINT = range(4)
BACKGROUND_KEY, NEXT_CLASS_KEY = "Q", "W"


class ClassTable(QTableWidget):
    """One row a class from "background" on; row r is label r + 1.

    Signals
    -------
    picked(int)
        A row was clicked: paint with this label.
    renamed(int, str), recolored(int, str)
        The user wants another name or colour for a label.
    """

    picked = Signal(int)
    renamed = Signal(int, str)
    recolored = Signal(int, str)

    def __init__(self) -> None:
        super().__init__(0, 4)
        self.setHorizontalHeaderLabels(["", "class", "pixels", "key"])
        self.verticalHeader().setVisible(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)  # it would hide the colours
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.horizontalHeader()
        for column in (COLOR, PIXELS, HINT):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self._filling = False
        self.cellClicked.connect(self._clicked)
        self.cellDoubleClicked.connect(self._double_clicked)
        self.itemChanged.connect(self._edited)

    def show_classes(self, classes: Classes | None) -> None:
        """Fill the table; nothing for None."""
        self._filling = True
        self.setRowCount(0 if classes is None else len(classes) - 1)
        for row in range(self.rowCount()):
            label = row + 1
            swatch = QTableWidgetItem("      ")
            swatch.setBackground(QColor(_opaque(classes.colors[label])))
            swatch.setForeground(QColor("black"))
            swatch.setToolTip("double-click: another colour")
            name = QTableWidgetItem(classes.names[label])
            name.setToolTip("click: paint with it" + ("; double-click: rename" if row else ""))
            key = QTableWidgetItem(BACKGROUND_KEY if row == 0 else NEXT_CLASS_KEY)
            pixels = QTableWidgetItem("0")
            pixels.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for column, item in ((COLOR, swatch), (NAME, name), (PIXELS, pixels), (HINT, key)):
                if column != NAME or row == 0:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                self.setItem(row, column, item)
        height = self.horizontalHeader().height() + sum(self.rowHeight(r) for r in range(self.rowCount())) + 4
        self.setFixedHeight(max(60, min(height, 220)))
        self._filling = False

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """Show the pixels of each class by name."""
        self._filling = True
        for row in range(self.rowCount()):
            self.item(row, PIXELS).setText(f"{counts.get(self.item(row, NAME).text(), 0):,}")
        self._filling = False

    def show_label(self, label: int) -> None:
        """Mark the row of the label that the brush paints."""
        self._filling = True
        for row in range(self.rowCount()):
            picked = row + 1 == label
            self.item(row, COLOR).setText("  \u270e  " if picked else "      ")
            font = self.item(row, NAME).font()
            font.setBold(picked)
            for column in (NAME, PIXELS):
                self.item(row, column).setFont(font)
        self._filling = False

    def _clicked(self, row: int, column: int) -> None:
        self.picked.emit(row + 1)

    def _double_clicked(self, row: int, column: int) -> None:
        if column != COLOR:
            return
        color = QColorDialog.getColor(self.item(row, COLOR).background().color(), self, "Colour of the class")
        if color.isValid():
            self.recolored.emit(row + 1, color.name())

    def _edited(self, item: QTableWidgetItem) -> None:
        if not self._filling and item.column() == NAME:
            self.renamed.emit(item.row() + 1, item.text().strip())


def _opaque(color: str) -> str:
    return color[:7]  # Qt would read #rrggbbaa as #aarrggbb
