"""Keeping on the disk what people say of cells, while they go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_cellseg.gui.cells.store import write_decisions
from napari_cellseg.gui.job import Failed, start_job

if TYPE_CHECKING:
    from napari_cellseg.gui.cells.set import Cells

SAVE_MS = 300


class Saver(QObject):
    """Writes a moment after a change, in the background; several changes at once are one writing.

    Signals
    -------
    failed(str)
        Why nothing could be written.
    """

    failed = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._cells: Cells | None = None
        self._writing = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SAVE_MS)
        self._soon.timeout.connect(self._begin)

    def save_soon(self, cells: Cells) -> None:
        """Note that something was said of these cells."""
        if cells is not self._cells:
            self.save_now()
        self._cells = cells
        self._soon.start()

    def save_now(self) -> None:
        """Write at once what waits to be written.

        Raises
        ------
        CellsegError
            If the folder cannot be written.
        """
        if self._soon.isActive() and self._cells is not None:
            self._soon.stop()
            curation = self._cells.curation
            write_decisions(self._cells.folder, curation.decisions(), curation.classes)

    def _begin(self) -> None:
        if self._writing:
            self._soon.start()
            return
        self._writing = True
        start_job(self._cells.saving(), on_record=self._tell, on_end=self._ended)

    def _tell(self, record: object) -> None:
        if isinstance(record, Failed):
            self.failed.emit(f"Labels are not saved: {record.message}")

    def _ended(self) -> None:
        self._writing = False
