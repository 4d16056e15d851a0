"""Measuring cells and judging their labels for the gallery, in a process beside the window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_cellseg.gui.cells.asking import Answers
from napari_cellseg.gui.cells.process import Answered, Question, Refused, Working
from napari_cellseg.gui.cells.set import FIGURES, MODEL
from napari_cellseg.gui.cells.store import FOLDS, MEASURED, read_measured, read_predictions
from napari_cellseg.gui.job import Failed, start_job

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_cellseg.gui.cells.orders import Order
    from napari_cellseg.gui.cells.set import Cells


class Figures(QObject):
    """What an order goes by and is not known yet: asked for once, told when it is there.

    Signals
    -------
    said(str, str)
        How far it is, and the tone.
    """

    said = Signal(str, str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.answers = Answers(self)
        self._judged: dict[str, str] = {}  # the labels that were judged last
        self._busy = False

    def need(self, cells: Cells, order: Order) -> None:
        """Have measured or judged what an order goes by, unless that is known or in work."""
        known = cells.curation.known()
        stale = order.judged and known != self._judged and len({x for x in known.values() if x}) > 1
        if self._busy or not (stale or (order.measured and cells.measured is None)):
            return
        self._busy = True
        start_job(_path(cells), on_record=lambda record: self._begin(cells, record, stale), on_end=_nothing)

    def end(self) -> None:
        """End the process."""
        self.answers.end()

    def _begin(self, cells: Cells, record: object, judge: bool) -> None:
        if isinstance(record, Failed):
            self._busy = False
            self.said.emit(record.message, "bad")
        elif isinstance(record, Path):
            out = cells.folder / MEASURED
            if cells.measured is not None:
                self._judge(cells, record)
                return
            self.said.emit(f"Measuring {len(cells.crops):,} cells ...", "wait")
            question = Question(0, "measure", str(record), str(out))
            self.answers.ask(question, lambda told: self._measured(cells, record, told, judge))

    def _measured(self, cells: Cells, path: Path, told: object, judge: bool) -> None:
        if self._stays(told, "Measuring"):
            return
        self._busy = judge  # or the new order would ask for it as well
        cells.measured = read_measured(cells.folder / MEASURED, cells.crops.ids)
        self.said.emit("", "plain")
        cells.changed.emit(FIGURES)
        if judge:
            self._judge(cells, path)

    def _judge(self, cells: Cells, path: Path) -> None:
        self._busy = True
        known = cells.curation.known()
        self.said.emit("Judging every label by the other cells ...", "wait")
        files = str(cells.folder / FOLDS), str(cells.folder / MEASURED)
        question = Question(0, "judge", str(path), files[0], labels=known, measured=files[1])
        self.answers.ask(question, lambda told: self._are_judged(cells, known, told))

    def _are_judged(self, cells: Cells, known: dict[str, str], told: object) -> None:
        if self._stays(told, ""):
            return
        self._judged = known
        cells.set_folds(read_predictions(cells.folder, FOLDS))
        self.said.emit("", "plain")
        cells.changed.emit(MODEL)

    def _stays(self, told: object, doing: str) -> bool:
        """Show how far it is; tell whether there is nothing to take yet, or never will be."""
        if isinstance(told, Working):
            if doing:
                self.said.emit(f"{doing}: {told.done:,} of {told.total:,} cells", "wait")
            return True
        self._busy = False
        if isinstance(told, Refused):
            self.said.emit(told.message, "bad")
        return not isinstance(told, Answered)


def _path(cells: Cells) -> Generator[object, None, None]:
    yield (yield from cells.readable())


def _nothing() -> None:
    return None
