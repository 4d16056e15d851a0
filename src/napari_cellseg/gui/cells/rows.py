"""What is above the gallery's cells: order, filters, channels and contrast."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt import QRangeSlider

from napari_cellseg.gui.cells.curation import KINDS
from napari_cellseg.gui.cells.orders import ORDERS, Filter
from napari_cellseg.gui.cells.view import MERGE, modes

if TYPE_CHECKING:
    from napari_cellseg.gui.cells.set import Cells
    from napari_cellseg.gui.cells.view import View

ALL = "all"
NO_CLASS = "no class"
MERGED = {"grey": "#c8c8c8", "red": "#ff6b6b", "green": "#6bd66b", "blue": "#74a9ff"}


class OrderRow(QWidget):
    """How the cells are sorted, and which are shown.

    Signals
    -------
    changed()
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.order, self.label, self.kind, self.sample = (_box() for _ in range(4))
        self.order.addItems(ORDERS)
        for index, order in enumerate(ORDERS.values()):
            self.order.setItemData(index, order.description, Qt.ItemDataRole.ToolTipRole)
        self.kind.addItems([ALL, *KINDS])
        self._sample_title = QLabel("sample")
        rows = QGridLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        for place, (title, box) in enumerate(
            (
                (QLabel("sort by"), self.order),
                (QLabel("class"), self.label),
                (QLabel("status"), self.kind),
                (self._sample_title, self.sample),
            )
        ):
            rows.addWidget(title, place // 2, 2 * (place % 2))
            rows.addWidget(box, place // 2, 2 * (place % 2) + 1)
        rows.setColumnStretch(1, 3)
        rows.setColumnStretch(3, 2)
        for box in (self.order, self.label, self.kind, self.sample):
            box.currentIndexChanged.connect(lambda index: self.changed.emit())

    def offer(self, cells: Cells) -> None:
        """List the classes and samples there are; what was chosen stays."""
        samples = sorted(set(cells.crops.samples.tolist()) - {""})
        for box, names in (
            (self.label, [ALL, *cells.curation.classes, NO_CLASS]),
            (self.sample, [ALL, *samples]),
        ):
            if names != [box.itemText(k) for k in range(box.count())]:
                former = box.currentText()
                box.blockSignals(True)
                box.clear()
                box.addItems(names)
                box.setCurrentIndex(max(0, box.findText(former)))
                box.blockSignals(False)
        for widget in (self.sample, self._sample_title):
            widget.setVisible(len(samples) > 1)

    def filter(self, pair: tuple[int, int] | None) -> Filter:
        """Return which cells are shown."""
        last = self.label.count() - 1
        label = {0: None, last: -1}.get(self.label.currentIndex(), self.label.currentIndex() - 1)
        kind, sample = (
            None if box.currentIndex() <= 0 else box.currentText() for box in (self.kind, self.sample)
        )
        return Filter(label, kind, sample, pair)


class ViewRow(QWidget):
    """Which channel is shown or how they are merged, contrast, size of the tiles.

    Signals
    -------
    changed(View)
    """

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.view: View | None = None
        self.mode, self.merged = _box(), [_box() for _ in MERGED]
        self.contrast, self.size = QRangeSlider(Qt.Orientation.Horizontal), QSlider(Qt.Orientation.Horizontal)
        self.contrast.setRange(0, 150)
        self.contrast.setValue((0, 100))
        self.contrast.setToolTip("Black and white, in per cent of the range of intensities of all cells")
        self.size.setRange(40, 200)
        self.size.setToolTip("Size of a cell on the screen")
        self._wait = QTimer(self)  # a slider that is dragged asks for one picture, not for a hundred
        self._wait.setSingleShot(True)
        self._wait.setInterval(30)
        self._wait.timeout.connect(self._tell)
        column, self._colours = QVBoxLayout(self), QWidget()
        column.setContentsMargins(0, 0, 0, 0)
        first, second = QHBoxLayout(), QHBoxLayout(self._colours)
        second.setContentsMargins(0, 0, 0, 0)
        for title, widget in (("show", self.mode), ("contrast", self.contrast), ("size", self.size)):
            first.addWidget(QLabel(title))
            first.addWidget(widget, 1)
        column.addLayout(first)
        for (name, color), box in zip(MERGED.items(), self.merged, strict=True):
            title = QLabel(name)
            title.setStyleSheet(f"color: {color}")
            second.addWidget(title)
            second.addWidget(box, 1)
            box.currentIndexChanged.connect(lambda index: self._wait.start())
        column.addWidget(self._colours)
        self.mode.currentIndexChanged.connect(lambda index: self._wait.start())
        self.contrast.valueChanged.connect(lambda value: self._wait.start())
        self.size.valueChanged.connect(lambda value: self._wait.start())

    def offer(self, view: View) -> None:
        """Show what can be chosen for other cells, and what is chosen."""
        self.view = None  # nothing is told while the boxes fill
        self.mode.clear()
        self.mode.addItems(modes(view))
        self.mode.setCurrentText(view.mode)
        for box, channel in zip(self.merged, view.merged, strict=True):
            box.clear()
            box.addItems([*view.channels, "none"])
            box.setCurrentIndex(channel if channel >= 0 else len(view.channels))
        self.contrast.setValue((round(100 * view.low), round(100 * view.high)))
        self.size.setValue(view.side_px)
        self.view = view
        self._wait.stop()
        self._show_colours()

    def _show_colours(self) -> None:
        several = self.view is not None and len(self.view.channels) > 1
        self.mode.setEnabled(several)
        self._colours.setVisible(several and self.mode.currentText() == MERGE)

    def _tell(self) -> None:
        if self.view is None:
            return
        low, high = (value / 100 for value in self.contrast.value())
        count = len(self.view.channels)
        merged = tuple(k if k < count else -1 for k in (box.currentIndex() for box in self.merged))
        self.view = replace(
            self.view,
            mode=self.mode.currentText(),
            merged=merged,
            low=low,
            high=high,
            side_px=self.size.value(),
        )
        self._show_colours()
        self.changed.emit(self.view)


def _box() -> QComboBox:
    """Return a box that takes the width there is; its longest entry must not widen the dock."""
    box = QComboBox()
    box.setMinimumWidth(56)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(5)
    return box
