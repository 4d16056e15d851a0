"""The list of filaments, sorted by any column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_cellseg.gui.traces.layer import NM_PER_UM
from napari_cellseg.images.filament_edits import mean_curvature

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari_cellseg.images.filament import Filament

NUMBER = Qt.ItemDataRole.UserRole
VISIBLE_ROWS, NARROW = 7, (0, 5)
CHOSEN_ROW = "#8a2a8a"  # as the chosen filament in the image, dark enough for white letters


class FilamentTable(QTableWidget):
    """One filament a row.

    Signals
    -------
    chosen(list of int)
        The numbers of the chosen filaments, when a person chose others.
    """

    chosen = Signal(list)

    def __init__(self) -> None:
        super().__init__(0, 6)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(24)
        for column in NARROW:
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, self.fontMetrics().horizontalAdvance("00000"))
        self.setStyleSheet(f"QTableWidget::item:selected {{ background: {CHOSEN_ROW}; color: white; }}")
        self.setSortingEnabled(True)
        self.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        self.setMinimumHeight(VISIBLE_ROWS * self.verticalHeader().defaultSectionSize() + 30)
        self.itemSelectionChanged.connect(lambda: self.chosen.emit(self.numbers))
        self.show_filaments((), None)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the chosen filaments, from the top of the list down."""
        rows = sorted({index.row() for index in self.selectionModel().selectedRows()})
        return [self.item(row, 0).data(NUMBER) for row in rows]

    def show_filaments(self, filaments: Sequence[Filament], pixel_nm: float | None) -> None:
        """List filaments; those that were chosen stay so. Says nothing."""
        former = self.numbers
        unit, size = ("nm", pixel_nm) if pixel_nm else ("px", 1.0)
        bend, per = ("1/\u00b5m", NM_PER_UM / size) if pixel_nm else ("1/1000 px", 1000.0)
        titles = ["#", f"length\n{unit}", f"bend\n{bend}", "score", f"width\n{unit}", "by\nhand"]
        self.setHorizontalHeaderLabels(titles)
        tips = (
            "number",
            "along the curve",
            "mean curvature",
            "mean probability along it",
            "across it",
            "kept",
        )
        for column, tip in enumerate(tips):
            self.horizontalHeaderItem(column).setToolTip(tip)
        blocked = self.blockSignals(True)
        self.setSortingEnabled(False)
        self.setRowCount(len(filaments))
        for row, one in enumerate(filaments):
            values = (
                (one.id, "{:.0f}"),
                (one.length_px * size, "{:,.0f}" if one.length_px * size >= 100 else "{:.1f}"),
                (mean_curvature(one) * per, "{:.2f}"),
                (one.score, "{:.2f}"),
                (None if one.width_px is None else one.width_px * size, "{:.1f}"),
                (float(one.locked), "\u270e" if one.locked else ""),
            )
            for column, (value, form) in enumerate(values):
                self.setItem(row, column, _Cell(value, form))
            self.item(row, 0).setData(NUMBER, one.id)
        self.setSortingEnabled(True)
        self.choose(former)
        self.blockSignals(blocked)

    def choose(self, numbers: Collection[int]) -> None:
        """Choose the rows of these filaments and bring the first into sight. Says nothing."""
        blocked = self.blockSignals(True)
        self.clearSelection()
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row in range(self.rowCount()):
            item = self.item(row, 0)
            if item.data(NUMBER) in numbers:
                self.selectionModel().select(self.indexFromItem(item), flags)
                self.scrollToItem(item)
        self.blockSignals(blocked)


class _Cell(QTableWidgetItem):
    """A number that is sorted as one; unknown ones stand below all."""

    def __init__(self, value: float | None, form: str) -> None:
        super().__init__("\u2013" if value is None else form.format(value))
        self.value = float("-inf") if value is None else value
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return self.value < getattr(other, "value", float("-inf"))
