"""The part of the Segment dock that shows why the network decided as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.job import Beat, Failed, start_job
from napari_cellseg.gui.prediction.asking import (
    Answer,
    Question,
    add_answer,
    cursor_place,
    marked_place,
    places_layer,
)
from napari_cellseg.predict.explainers import EXPLAINERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer

    from napari_cellseg.gui.job import StepsWorker
    from napari_cellseg.images.annotation import Classes

AS_FOUND = "what is found there"
WHY_KEY = "Y"


class ExplainBox(QWidget):
    """Which place, which class, which method.

    Parameters
    ----------
    viewer : ViewerModel
    chosen : callable
        Returns the image layer and the model file to ask about, and the device; raises
        `CellsegError` where one is missing.

    Signals
    -------
    said(text, tone)
        Something for the message line.
    """

    said = Signal(str, str)

    def __init__(self, viewer: ViewerModel, chosen: Callable[[], tuple[ImageLayer, Path, str]]) -> None:
        super().__init__()
        self.viewer, self._chosen = viewer, chosen
        self.job: StepsWorker | None = None
        self.question: Question | None = None
        self.stopped = False
        self.methods, self.classes = QComboBox(), QComboBox()
        for row, (name, explainer) in enumerate(EXPLAINERS.items()):
            self.methods.addItem(name)
            self.methods.setItemData(row, explainer.description, Qt.ItemDataRole.ToolTipRole)
        self.classes.addItem(AS_FOUND)
        self.mark_button = button("Mark a place", self.mark, "Click on the place in the image")
        tip = f"Explain the marked place; {WHY_KEY} explains the one under the cursor"
        self.ask_button, self.stop_button = button("Explain", self.ask, tip), button("Stop", self.stop)
        rows, row, column = QFormLayout(), QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        rows.addRow("class", self.classes)
        rows.addRow("method", self.methods)
        for part in (self.mark_button, self.ask_button, self.stop_button):
            row.addWidget(part)
        column.addLayout(rows)
        column.addLayout(row)
        self._former = viewer.bind_key(WHY_KEY, self.ask_here, overwrite=True)
        self._show_state()

    def offer(self, classes: Classes | None) -> None:
        """List the classes of the chosen model."""
        names = [AS_FOUND, *(() if classes is None else classes.names[1:])]
        if names != [self.classes.itemText(i) for i in range(self.classes.count())]:
            self.classes.clear()
            self.classes.addItems(names)

    def mark(self) -> None:
        """Let the user click on a place."""
        try:
            source, _, _ = self._chosen()
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return
        points = places_layer(self.viewer, source)
        self.viewer.layers.selection.active = points
        points.mode = "add"
        self.said.emit("Click on a place in the image, then press 'Explain'.", "wait")

    def ask(self) -> None:
        """Explain the marked place."""
        self._ask(marked_place)

    def ask_here(self, _viewer: object = None) -> None:
        """Explain the place under the cursor."""
        self._ask(cursor_place)

    def _ask(self, place: Callable[[ViewerModel, ImageLayer], tuple[float, float]]) -> None:
        if self.job is not None:
            return
        try:
            source, model, device = self._chosen()
            method, name = self.methods.currentText(), self.classes.currentText()
            if EXPLAINERS[method].missing():
                raise CellsegError(EXPLAINERS[method].missing())
            self.question = Question(
                source,
                model,
                place(self.viewer, source),
                class_name="" if name == AS_FOUND else name,
                method=method,
                device=device,
            )
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return
        self.stopped, self._source = False, source
        self.job = start_job(self.question.steps(), on_record=self._record, on_end=self._ended)
        self._show_state()

    def stop(self) -> None:
        """End what is being explained."""
        if self.job is not None:
            self.stopped = True
            self.question.stop()

    def _record(self, record: object) -> None:
        if self.stopped:
            return
        if isinstance(record, Beat):
            self.said.emit(f"Asking the network ... {record.seconds:.0f} s", "wait")
        elif isinstance(record, Failed):
            self.said.emit(record.message.removeprefix("napari-cellseg: "), "bad")
        elif isinstance(record, Answer) and self._source in self.viewer.layers:
            add_answer(self.viewer, self._source, record)
            found, share = record.found, "for it (orange) and against it (blue)"
            self.said.emit(f"{found.class_name}, log-odds {found.odds:+.1f}: what spoke {share}.", "good")

    def _ended(self) -> None:
        self.job = None
        if self.stopped:
            self.said.emit("Stopped.", "wait")
        self._show_state()

    def _show_state(self) -> None:
        self.ask_button.setEnabled(self.job is None)
        self.stop_button.setEnabled(self.job is not None)

    def closed(self) -> None:
        """End what runs and give the key back."""
        self.stop()
        self.viewer.bind_key(WHY_KEY, self._former, overwrite=True)
