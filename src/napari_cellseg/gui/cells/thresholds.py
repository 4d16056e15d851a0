"""From which confidence a class counts, and what that costs: a table to read and to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_cellseg.nets.classifier_spec import ClassifierSpec

HEADINGS = ("class", "from", "precision", "coverage")
NOTHING: Mapping[str, float] = {}
HELD_OUT = ("test", "calibration", "validation")


class Thresholds(QTableWidget):
    """One row a class; the threshold can be changed.

    Precision and coverage are those of cells that the model did not learn from, where its run
    folder says what it made of them.

    Signals
    -------
    changed()
        A threshold was changed.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__(0, len(HEADINGS))
        self.setHorizontalHeaderLabels(HEADINGS)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(22)
        self.setToolTip(
            "Below its threshold a cell stays unclassified. Precision: share of right ones among the cells "
            "that get the class; coverage: share of the cells guessed to be of it that get it. "
            "Double-click to change."
        )
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.limits: list[float] = []
        self._held: tuple[NDArray[np.intp], NDArray[np.float64]] | None = None
        self._filling = False
        self.itemChanged.connect(self._edited)

    def show_model(
        self, spec: ClassifierSpec | None, path: Path | None, changed: Mapping[str, float] = NOTHING
    ) -> None:
        """Fill the table for a model, nothing for None; what was changed by class replaces its own."""
        self._filling = True
        self.limits = []
        if spec is not None:
            own = zip(spec.classes, spec.limits, strict=True)
            self.limits = [changed.get(name, limit) for name, limit in own]
        self._held = None if spec is None or path is None else held_out(path, spec.classes)
        self.setRowCount(len(self.limits))
        for row in range(len(self.limits)):
            for column, text in enumerate((spec.classes[row], f"{self.limits[row]:.2f}", "", "")):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                if column != 1:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                self.setItem(row, column, item)
        self._filling = False
        self.setFixedHeight(min(240, self.horizontalHeader().height() + 22 * len(self.limits) + 4))
        self.setVisible(bool(self.limits))
        self._show_costs()

    def _show_costs(self) -> None:
        self._filling = True
        for row, limit in enumerate(self.limits):
            told = ("\u2013", "\u2013")
            if self._held is not None:
                told = tuple("\u2013" if np.isnan(x) else f"{x:.0%}" for x in cost(*self._held, row, limit))
            for column, text in enumerate(told, start=2):
                self.item(row, column).setText(text)
        self._filling = False

    def _edited(self, item: QTableWidgetItem) -> None:
        if self._filling or item.column() != 1:
            return
        try:
            value = min(1.0, max(0.0, float(item.text().replace(",", "."))))
        except ValueError:
            value = self.limits[item.row()]
        self.limits[item.row()] = value
        self._filling = True
        item.setText(f"{value:.2f}")
        self._filling = False
        self._show_costs()
        self.changed.emit()


def cost(
    truth: NDArray[np.intp], probabilities: NDArray[np.float64], label: int, limit: float
) -> tuple[float, float]:
    """Return precision and coverage of a class from some confidence on; NaN where there is no cell.

    Parameters
    ----------
    truth : (n,) int
    probabilities : (n, k)
    label : int
        The class.
    limit : float
        Confidence from which a cell gets it.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]])
    >>> cost(np.array([0, 1, 0]), p, 0, 0.7)
    (1.0, 0.6666666666666666)
    """
    guessed = probabilities.argmax(axis=1) == label
    given = guessed & (probabilities[:, label] >= limit)
    precision = float((truth[given] == label).mean()) if given.any() else float("nan")
    return precision, float(given.sum() / guessed.sum()) if guessed.any() else float("nan")


def held_out(model: Path, classes: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
    """Return truth and probabilities of cells that a model did not learn from, as its run says.

    The run is the model's folder, or ``NAME.run`` beside ``NAME.safetensors``.
    """
    from napari_cellseg.train.cell_tables import PREDICTIONS, read_predictions

    for folder in (model.parent, model.with_suffix(".run")):
        if (folder / PREDICTIONS).is_file():
            try:
                told = read_predictions(folder / PREDICTIONS)
            except CellsegError:
                continue
            out = np.isin(told.parts, HELD_OUT)
            if told.classes == classes and out.any():
                return told.truth[out], told.probabilities[out]
    return None
