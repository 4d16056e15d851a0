"""A list of post-processing steps to add to, to change and to take from; and its text form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QListWidget, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.form import Form
from napari_cellseg.predict.chain import checked_chain, format_chain, parse_chain, starts_from_probabilities
from napari_cellseg.predict.postprocess import STEPS

if TYPE_CHECKING:
    from napari_cellseg.predict.chain import Chain
    from napari_cellseg.settings import Settings

ADD = "add a step ..."


class StepList(QWidget):
    """The steps, the settings of the chosen one below them, and all of it as text.

    Signals
    -------
    changed()
        Another step, or another setting of one.
    refused(text)
        Why what was typed is no step or no setting.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[str, Settings]] = []
        self.form: Form | None = None  # of the chosen step
        self.listed, self.adding, self.text = QListWidget(), QComboBox(), QLineEdit()
        self.listed.setMaximumHeight(84)
        self.listed.setVisible(False)
        self.listed.setToolTip("Applied one after the other")
        self.listed.currentRowChanged.connect(lambda row: self._show_form())
        self.adding.addItems([ADD, *STEPS])
        for row, step in enumerate(STEPS.values(), start=1):
            self.adding.setItemData(row, step.description, Qt.ItemDataRole.ToolTipRole)
        self.adding.activated.connect(self._add)
        self.text.setPlaceholderText("no steps")
        self.text.setToolTip("The same text works as --post on the command line")
        self.text.editingFinished.connect(lambda: self.set_text(self.text.text()))
        self._form_place, row, column = QVBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.adding, 1)
        row.addWidget(button("Remove", self.remove, "Take the chosen step out"))
        column.addWidget(self.listed)
        column.addLayout(row)
        column.addLayout(self._form_place)
        column.addWidget(self.text)

    @property
    def chain(self) -> Chain:
        """The steps as they are set."""
        return checked_chain(self.steps)

    def set_text(self, text: str) -> None:
        """Take the steps from their text form."""
        try:
            chain = parse_chain(text)
        except CellsegError as error:
            self.refused.emit(str(error))
            return
        if list(chain) != self.steps:
            self.steps = list(chain)
            self._show(0)

    def add(self, name: str) -> None:
        """Add a step; one that starts from the probabilities comes first, in place of another such."""
        step = (name, STEPS[name].settings())
        if STEPS[name].from_probabilities:
            rest = self.steps[1:] if starts_from_probabilities(tuple(self.steps)) else self.steps
            self.steps = [step, *rest]
            self._show(0)
        else:
            self.steps.append(step)
            self._show(len(self.steps) - 1)

    def _add(self, index: int) -> None:
        self.adding.setCurrentIndex(0)
        if index > 0:
            self.add(self.adding.itemText(index))

    def remove(self) -> None:
        """Take the chosen step out."""
        row = self.listed.currentRow()
        if 0 <= row < len(self.steps):
            del self.steps[row]
            self._show(max(0, row - 1))

    def _show(self, row: int) -> None:
        self.listed.blockSignals(True)
        self.listed.clear()
        self.listed.addItems([_title(*step) for step in self.steps])
        self.listed.setCurrentRow(row)
        self.listed.blockSignals(False)
        self.listed.setVisible(bool(self.steps))
        self._show_form()
        self._tell()

    def _show_form(self) -> None:
        while self._form_place.count():
            self._form_place.takeAt(0).widget().deleteLater()
        self.form, row = None, self.listed.currentRow()
        if not 0 <= row < len(self.steps):
            return
        name, settings = self.steps[row]
        self.form = Form(type(settings), basic=tuple(type(settings).model_fields))
        self.form.show_settings(settings)
        self.form.changed.connect(lambda form: self._take(row, name, form))
        self._form_place.addWidget(self.form.native)

    def _take(self, row: int, name: str, form: Form) -> None:
        try:
            self.steps[row] = (name, form.settings())
        except CellsegError as error:
            self.refused.emit(str(error))
            return
        self.listed.item(row).setText(_title(*self.steps[row]))
        self._tell()

    def _tell(self) -> None:
        self.text.setText(format_chain(self.steps))
        self.text.setCursorPosition(0)
        self.changed.emit()


def _title(name: str, settings: Settings) -> str:
    values = settings.model_dump(exclude_none=True).items()
    return f"{name}   " + ", ".join(f"{key} {value:g}" for key, value in values)
