"""The Gallery dock: cells as one painted grid; sorted, filtered, relabelled with keys, undoable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSplitter, QVBoxLayout
from superqt import QCollapsible

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.cells.classes import ClassList, class_colors, status_color
from napari_cellseg.gui.cells.confusion import Confusion
from napari_cellseg.gui.cells.curation import KINDS, UNLABELLED
from napari_cellseg.gui.cells.field import FieldLink
from napari_cellseg.gui.cells.figures import Figures
from napari_cellseg.gui.cells.grid import Grid
from napari_cellseg.gui.cells.keys import HELP
from napari_cellseg.gui.cells.orders import ORDERS, Known, arranged
from napari_cellseg.gui.cells.row import CropRow
from napari_cellseg.gui.cells.rows import OrderRow, ViewRow
from napari_cellseg.gui.cells.saving import Saver
from napari_cellseg.gui.cells.set import FIGURES, LABELS, MODEL, Cells, share, shared_cells
from napari_cellseg.gui.dock import Dock, button

if TYPE_CHECKING:
    from pathlib import Path

    import napari.viewer

    from napari_cellseg.gui.cells.grid import Caption
    from napari_cellseg.gui.cells.view import View
    from napari_cellseg.gui.job import StepsWorker

WIDTH_PX = 560


class GalleryDock(Dock):
    """Look at cells, find what is doubtful, say what they are."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.cells: Cells | None = None
        self.pair: tuple[int, int] | None = None
        self._field: FieldLink | None = None
        self.saver = Saver(self.native)
        self.saver.failed.connect(lambda text: self.message.say(text, "bad"))
        self._build()
        cells = shared_cells(self.viewer)
        if cells is not None:
            self.show_cells(cells)

    def _build(self) -> None:
        self.source, self.order_row, self.view_row = CropRow(self.viewer), OrderRow(), ViewRow()
        self.source.opened.connect(self._opened)
        self.source.said.connect(self.message.say)
        self.order_row.changed.connect(self.arrange)
        self.view_row.changed.connect(self._look)
        self.grid, self.classes, self.confusion = Grid(self.caption), ClassList(), Confusion()
        self.figures = Figures(self.native)
        self.figures.said.connect(self.message.say)
        self.grid.acted.connect(self.act)
        self.grid.selection_changed.connect(self._tell_selection)
        self.grid.chosen.connect(self._chose)
        self.classes.picked.connect(self.assign)
        self.classes.added.connect(self._add_class)
        self.confusion.picked.connect(self._pick_pair)
        for widget in (self.source, self.order_row, self.view_row):
            self.column.addWidget(widget)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.grid)
        splitter.addWidget(self.classes)
        splitter.setStretchFactor(0, 1)
        splitter.setSizes([WIDTH_PX, 150])
        self.column.addWidget(splitter, 1)
        self.fold = QCollapsible("Labels against the model", expandedIcon="\u25bc", collapsedIcon="\u25b6")
        self.fold.setDuration(0)
        self.fold.addWidget(self.confusion)
        self.fold.setVisible(False)
        self.column.addWidget(self.fold)
        self.column.addLayout(self._foot())
        self.native.setMinimumWidth(WIDTH_PX)

    def _foot(self) -> QVBoxLayout:
        self.count, help_line = QLabel(), QLabel(HELP)
        help_line.setEnabled(False)
        help_line.setWordWrap(True)
        row, column = QHBoxLayout(), QVBoxLayout()
        row.addWidget(self.count, 1)
        for text, key, tip in (
            ("Validate", "validate", "The selected cells are what they are taken for"),
            ("Dubious", "doubt", "Mark the selected cells as dubious, or take the mark off"),
            ("Undo", "undo", "Take the last change back"),
        ):
            row.addWidget(button(text, lambda key=key: self.act(key), tip))
        column.addLayout(row)
        column.addWidget(help_line)
        return column

    # -- the cells

    def open(self, path: Path) -> StepsWorker | None:
        """Open the cells of a folder or file."""
        return self.source.open(path)

    def _opened(self, cells: Cells) -> None:
        self.show_cells(cells)
        share(self.viewer, cells, self)

    def show_cells(self, cells: Cells) -> None:
        """Show these cells; another dock may have opened them."""
        if self.cells is not None:
            self.saver.save_now()
            self.cells.changed.disconnect(self._changed, missing_ok=True)
        self.cells, self.pair = cells, None
        cells.changed.connect(self._changed)
        self.source.show_cells(cells)
        self.view_row.offer(cells.view)
        self.grid.tiles.show(cells.crops, cells.view)
        self.grid.selected = np.zeros(0, bool)
        self.grid.verticalScrollBar().setValue(0)
        if self._field is not None:
            self._field.close()
        self._field = FieldLink(self.viewer, cells, self.go_to)
        self._changed(MODEL)

    def _changed(self, what: str) -> None:
        """Show what is known now: labels of people, a model's word, or figures."""
        if self.cells is None:
            return
        curation = self.cells.curation
        self._current, self._kinds = curation.current, curation.kinds
        self._names, self._colors = curation.classes, class_colors(curation.classes)
        self._suggested = curation.suggestions()
        self.order_row.offer(self.cells)
        self.classes.show_classes(curation)
        self.confusion.show_counts(curation)
        self.fold.setVisible(curation.evidence is not None)
        if what == LABELS:
            self.saver.save_soon(self.cells)
            self.grid.viewport().update()  # cells stay where they are while they are relabelled
            self._tell_selection()
        elif what in (MODEL, FIGURES) or not len(self.grid.order):
            self.arrange()

    def arrange(self) -> None:
        """Sort and filter the cells as chosen."""
        if self.cells is None:
            return
        chosen = self.grid.chosen_cell
        known = Known(self.cells.curation, self.cells.measured, None if chosen < 0 else chosen)
        order = self.order_row.order.currentText()
        try:
            shown = arranged(known, order, self.order_row.filter(self.pair))
        except CellsegError as error:
            self.message.say(str(error), "bad")
            shown = arranged(known, "as in the files", self.order_row.filter(self.pair))
        self.figures.need(self.cells, ORDERS[order])
        self.grid.show_order(shown, len(self.cells.crops))
        self._tell_selection()

    def caption(self, cell: int) -> Caption:
        """Return what stands under a cell, the colour of its class, and that of its status."""
        label, kind = int(self._current[cell]), int(self._kinds[cell])
        text = self._names[label] if label >= 0 else "unclassified" if kind != _UNLABELLED else ""
        other = int(self._suggested[cell])
        if other >= 0 and label >= 0 and other != label:
            text = f"{text} \u2192 {self._names[other]}?"
        return text, self._colors[label] if label >= 0 else "#707070", status_color(kind)

    def _look(self, view: View) -> None:
        if self.cells is not None:
            self.cells.view = view
            self.grid.tiles.look(view)
            self.grid.show_order(self.grid.order, len(self.cells.crops))

    def _pick_pair(self, row: int, col: int) -> None:
        self.pair = None if row < 0 else (row, col)
        self.arrange()

    # -- what people say

    def act(self, key: str) -> None:
        """Do what a key or button says with the selected cells."""
        if self.cells is None:
            return
        curation, selection = self.cells.curation, self.grid.selection()
        if key.isdigit():
            number = int(key) - 1
            if number < len(curation.classes):
                self.assign(curation.classes[number])
            return
        if key in ("undo", "redo"):
            concerned = getattr(curation, key)()
            if not len(concerned):
                self.message.say(f"Nothing to {key}.")
                return
            self.grid.selected[:] = False
            self.grid.selected[concerned] = True
        else:
            {"validate": curation.validate, "doubt": curation.doubt, "clear": self._clear}[key](selection)
        self.cells.changed.emit(LABELS)

    def _clear(self, selection: np.ndarray) -> None:
        self.cells.curation.assign(selection, "")

    def assign(self, name: str) -> None:
        """Say that the selected cells are of this class."""
        selection = self.grid.selection()
        if self.cells is None or not len(selection):
            self.message.say("Select cells first: click on one, or draw a rectangle.", "wait")
            return
        self.cells.curation.assign(selection, name)
        self.message.say(f"{len(selection):,} cells are {name}.", "good")
        self.cells.changed.emit(LABELS)

    def _add_class(self, name: str) -> None:
        if self.cells is None:
            return
        try:
            self.cells.curation.add_classes([name])
        except CellsegError as error:
            self.message.say(str(error), "bad")
        self.cells.changed.emit(LABELS)

    def _tell_selection(self) -> None:
        shown, chosen = len(self.grid.order), len(self.grid.selection())
        of = "" if self.cells is None or shown == len(self.cells.crops) else f" of {len(self.cells.crops):,}"
        self.count.setText(f"{shown:,}{of} shown, {chosen:,} selected")

    # -- the field

    def _chose(self, cell: int) -> None:
        if self._field is not None and cell >= 0:
            self._field.center(cell)

    def go_to(self, cell: int) -> None:
        """Select a cell and scroll to it, as a click on its object does."""
        place = np.flatnonzero(self.grid.order == cell)
        if len(place):
            self.grid.choose(int(place[0]))

    def closed(self) -> None:
        """Save, and stop drawing."""
        self.saver.save_now()
        if self._field is not None:
            self._field.close()
        self.grid.tiles.end()
        self.figures.end()


_UNLABELLED = KINDS.index(UNLABELLED)
