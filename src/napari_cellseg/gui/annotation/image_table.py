"""The images of a project as a table: name and how much is annotated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableWidget, QTableWidgetItem

from napari_cellseg.gui.job import start_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtCore import QPoint

    from napari_cellseg.gui.job import StepsWorker
    from napari_cellseg.images.project import Project


class ImageTable(QTableWidget):
    """One row an image; a click opens it.

    Signals
    -------
    chosen(str)
        Name of the image that was clicked.
    lost(str), unwanted(str)
        Its file is to be looked for, or it is to be taken off the project (right click).
    """

    chosen = Signal(str)
    lost = Signal(str)
    unwanted = Signal(str)

    def __init__(self) -> None:
        super().__init__(0, 2)
        self.setHorizontalHeaderLabels(["image", "annotated pixels"])
        self.verticalHeader().setVisible(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.setMinimumHeight(110)
        self.cellClicked.connect(lambda row, column: self.chosen.emit(self.item(row, 0).text()))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        self._job: StepsWorker | None = None

    def show_project(self, project: Project | None) -> None:
        """List the images; what is annotated is counted in the background."""
        self.stop()
        records = () if project is None else project.images
        self.setRowCount(len(records))
        for row, record in enumerate(records):
            name = QTableWidgetItem(record.name)
            name.setToolTip(f"{record.path}\nright click: take it off the project")
            if record.missing:
                name.setToolTip(f"missing: {record.path}\nright click: say where it is now")
                name.setForeground(Qt.GlobalColor.red)
            self.setItem(row, 0, name)
            pixels = QTableWidgetItem("-")
            pixels.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, 1, pixels)
        labelled = () if project is None else project.labelled()
        if labelled:
            steps = _counted(project, labelled)
            self._job = start_job(steps, on_record=self._counted, on_end=self._ended)

    def show_current(self, name: str) -> None:
        """Mark the image that is open."""
        for row in range(self.rowCount()):
            if self.item(row, 0).text() == name:
                self.selectRow(row)
                self.scrollToItem(self.item(row, 0))

    def show_count(self, name: str, pixels: int) -> None:
        """Show how many pixels of an image are annotated."""
        for row in range(self.rowCount()):
            if self.item(row, 0).text() == name:
                self.item(row, 1).setText(f"{pixels:,}" if pixels else "-")

    def menu_for(self, name: str) -> QMenu:
        """Return what can be done with an image besides opening it."""
        menu = QMenu(self)
        menu.addAction("Find the file ...", lambda: self.lost.emit(name))
        menu.addAction("Take off the project (its strokes are kept)", lambda: self.unwanted.emit(name))
        return menu

    def _show_menu(self, place: QPoint) -> None:
        row = self.rowAt(place.y())
        if row >= 0:
            self.menu_for(self.item(row, 0).text()).exec(self.viewport().mapToGlobal(place))

    def stop(self) -> None:
        """End the counting in the background."""
        if self._job is not None:
            self._job.quit()
            self._job = None

    def _counted(self, record: object) -> None:
        if isinstance(record, tuple):
            self.show_count(*record)

    def _ended(self) -> None:
        self._job = None


def _counted(project: Project, names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for name in names:
        yield name, int(np.count_nonzero(project.labels(name)))
