"""What people say against what the model says, as a table whose cells open the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

if TYPE_CHECKING:
    from napari_cellseg.gui.cells.curation import Curation

RIGHT, WRONG = QColor("#2f8f4e"), QColor("#c0392b")


class Confusion(QTableWidget):
    """Rows: the label people gave; columns: what the model says.

    Signals
    -------
    picked(int, int)
        A cell was clicked; (-1, -1) if it was the one clicked before.
    """

    picked = Signal(int, int)

    def __init__(self) -> None:
        super().__init__()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setToolTip("Rows: label; columns: what the model says. Click to see those cells.")
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(40)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        header.setDefaultAlignment(
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        )  # else both ends go
        self.verticalHeader().setDefaultSectionSize(22)
        self._last: tuple[int, int] | None = None
        self.cellClicked.connect(self._clicked)

    def show_counts(self, curation: Curation) -> None:
        """Fill the table; nothing while no model has seen the cells."""
        count = len(curation.classes) if curation.evidence is not None else 0
        if self.rowCount() != count:
            self.setRowCount(count)
            self.setColumnCount(count)
        if not count:
            return
        self.setHorizontalHeaderLabels(list(curation.classes))
        self.setVerticalHeaderLabels(list(curation.classes))
        for col, name in enumerate(curation.classes):
            self.horizontalHeaderItem(col).setToolTip(name)
        table = curation.confusion()
        for row in range(count):
            total = max(1, int(table[row].sum()))
            for col in range(count):
                self._fill(row, col, int(table[row, col]), total)
        self.setFixedHeight(min(260, self.horizontalHeader().height() + 22 * count + 20))

    def _fill(self, row: int, col: int, count: int, total: int) -> None:
        item = self.item(row, col)
        if item is None:
            item = QTableWidgetItem()
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            self.setItem(row, col, item)
        item.setText(f"{count:,}" if count else "\u00b7")
        color = QColor(RIGHT if row == col else WRONG)
        color.setAlphaF(min(1.0, 0.15 + count / total) if count else 0.0)
        item.setBackground(color)

    def forget(self) -> None:
        """Take the mark off."""
        self._last = None
        self.clearSelection()

    def _clicked(self, row: int, col: int) -> None:
        again = self._last == (row, col)
        if again:
            self.forget()
        else:
            self._last = (row, col)
        self.picked.emit(*((-1, -1) if again else (row, col)))
