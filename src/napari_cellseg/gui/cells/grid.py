"""One scrollable painted grid of cells: any number of them, of which the visible ones are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPoint, QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QAbstractScrollArea, QRubberBand, QSizePolicy

from napari_cellseg.gui.cells.captions import BACKGROUND, CAPTION_PX, Captions
from napari_cellseg.gui.cells.keys import ALL, meaning_of
from napari_cellseg.gui.cells.tiles import Tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from qtpy.QtGui import QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent, QWheelEvent

GAP_PX, FRAME_PX = 5, 3
WAIT_MS = 25
EMPTY, CHOSEN, MARKED = "#30353d", "#ffffff", "#3d6fb4"
DRAG_PX = 6
Caption = tuple[str, str, str]  # text, colour of the class, colour of the frame


class Grid(QAbstractScrollArea):
    """Cells in rows; click, Shift, Ctrl and a drawn rectangle select.

    Parameters
    ----------
    caption : callable
        Returns text, colour of the class and colour of the frame of a cell.

    Signals
    -------
    chosen(int)
        A cell was clicked or gone to; -1 for none.
    selection_changed()
    acted(str)
        A key: "1" to "9", "validate", "doubt", "clear", "undo" or "redo".
    """

    chosen = Signal(int)
    selection_changed = Signal()
    acted = Signal(str)

    def __init__(self, caption: Callable[[int], Caption]) -> None:
        super().__init__()
        self.caption = caption
        self.order: NDArray[np.intp] = np.zeros(0, np.intp)
        self.selected: NDArray[np.bool_] = np.zeros(0, bool)
        self.current = -1  # place in the order
        self.frames = 0  # painted so far
        self.absent = self.missing = 0  # pictures that the last one lacked; that are still to be drawn
        self._anchor = 0
        self._drag: QPoint | None = None
        self._captions = Captions(self)
        self._band = QRubberBand(QRubberBand.Shape.Rectangle, self.viewport())
        self.tiles = Tiles()
        self._waiting = QTimer(self)  # for pictures; a repaint shows all that came meanwhile
        self._waiting.setInterval(WAIT_MS)
        self._waiting.timeout.connect(self._show_fresh)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(240)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    # -- what is shown

    def show_order(self, order: NDArray[np.intp], count: int) -> None:
        """Show these of `count` cells, in this order; what was selected stays selected."""
        chosen = self.chosen_cell
        self.order = order
        if len(self.selected) != count:
            self.selected = np.zeros(count, bool)
            chosen = -1
        place = np.flatnonzero(order == chosen)
        self.current = int(place[0]) if len(place) else -1
        self._anchor = max(self.current, 0)
        self._measure()
        self.viewport().update()

    @property
    def chosen_cell(self) -> int:
        """Index of the cell that was clicked last; -1 for none."""
        return int(self.order[self.current]) if 0 <= self.current < len(self.order) else -1

    def selection(self) -> NDArray[np.intp]:
        """Return the indices of the cells that are selected and shown, in their order."""
        return self.order[self.selected[self.order]]

    def cell_size(self) -> QSize:
        """Return the size of a tile with all around it."""
        view = self.tiles.view
        width, side = (80, 80) if view is None else (view.width_px, view.side_px)
        extra = 2 * FRAME_PX + GAP_PX
        return QSize(width + extra, side + CAPTION_PX + extra)

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return max(1, (self.viewport().width() - GAP_PX) // self.cell_size().width())

    def _measure(self) -> None:
        height = self.cell_size().height()
        rows = -(-len(self.order) // self.columns)
        bar = self.verticalScrollBar()
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep(height // 2)
        bar.setRange(0, max(0, rows * height + GAP_PX - self.viewport().height()))

    def rect_of(self, place: int) -> QRect:
        """Return where a place of the order lies in the viewport, gap included."""
        size = self.cell_size()
        row, col = divmod(place, self.columns)
        top = GAP_PX + row * size.height() - self.verticalScrollBar().value()
        return QRect(GAP_PX + col * size.width(), top, size.width(), size.height())

    def places_in(self, area: QRect) -> NDArray[np.intp]:
        """Return the places of the order that an area of the viewport touches."""
        size, above = self.cell_size(), self.verticalScrollBar().value() - GAP_PX
        first, last = (max(0, (y + above) // size.height()) for y in (area.top(), area.bottom()))
        left, right = (
            min(max(0, (x - GAP_PX) // size.width()), self.columns - 1) for x in (area.left(), area.right())
        )
        rows = np.arange(first, last + 1)[:, None] * self.columns
        places = (rows + np.arange(left, right + 1)).ravel()
        return places[places < len(self.order)]

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Paint what is visible."""
        painter = QPainter(self.viewport())
        area = self.viewport().rect()
        painter.fillRect(area, QColor(BACKGROUND))
        places = self.places_in(area)
        cells = self.order[places].tolist()
        self.absent = 0
        for place, cell in zip(places.tolist(), cells, strict=True):
            self._paint_cell(painter, self.rect_of(place), cell, place == self.current)
        painter.end()
        self.frames += 1
        height = self.cell_size().height() * self.columns
        ahead = self.order[places[-1] + 1 : places[-1] + 1 + height // 8].tolist() if cells else []
        self.missing = self.tiles.want([*cells, *ahead])
        if self.missing:
            self._waiting.start()

    def _show_fresh(self) -> None:
        if self.tiles.fresh:
            self.tiles.fresh = False
            self._waiting.stop()
            self.viewport().update()

    def _paint_cell(self, painter: QPainter, box: QRect, cell: int, current: bool) -> None:
        text, color, frame = self.caption(cell)
        box = box.adjusted(0, 0, -GAP_PX, -GAP_PX)
        painter.fillRect(box, QColor(MARKED if self.selected[cell] else frame))
        inner = box.adjusted(FRAME_PX, FRAME_PX, -FRAME_PX, -FRAME_PX - CAPTION_PX)
        picture = self.tiles.get(cell)
        if picture is None or picture.isNull():
            self.absent += picture is None
            painter.fillRect(inner, QColor(EMPTY))
        else:
            painter.drawImage(inner.topLeft(), picture)
        painter.drawPixmap(inner.left(), inner.bottom() + 1, self._captions.get(text, color, inner.width()))
        if current:
            painter.setPen(QPen(QColor(CHOSEN), 2))
            painter.drawRect(box.adjusted(1, 1, -1, -1))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the topmost cell where it is."""
        super().resizeEvent(event)
        self._measure()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Scroll by a row a notch."""
        bar = self.verticalScrollBar()
        bar.setValue(bar.value() - round(event.angleDelta().y() / 120 * self.cell_size().height()))
        event.accept()

    # -- what is selected

    def choose(self, place: int, *, extend: bool = False, toggle: bool = False) -> None:
        """Go to a place of the order as a click does, with Shift or Ctrl held or not."""
        if not 0 <= place < len(self.order):
            return
        if extend:
            self.selected[:] = False
            low, high = sorted((self._anchor, place))
            self.selected[self.order[low : high + 1]] = True
        elif toggle:
            self.selected[self.order[place]] ^= True
            self._anchor = place
        else:
            self.selected[:] = False
            self.selected[self.order[place]] = True
            self._anchor = place
        self.current = place
        self.reveal(place)
        self.viewport().update()
        self.selection_changed.emit()
        self.chosen.emit(self.chosen_cell)

    def select(self, places: NDArray[np.intp], *, add: bool = False) -> None:
        """Select some places of the order."""
        if not add:
            self.selected[:] = False
        self.selected[self.order[places]] = True
        self.viewport().update()
        self.selection_changed.emit()

    def reveal(self, place: int) -> None:
        """Scroll until a place is in sight."""
        box, bar = self.rect_of(place), self.verticalScrollBar()
        if box.top() < 0:
            bar.setValue(bar.value() + box.top() - GAP_PX)
        elif box.bottom() > self.viewport().height():
            bar.setValue(bar.value() + box.bottom() - self.viewport().height())

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Begin a click or a rectangle."""
        self.setFocus()
        if event.button() == Qt.MouseButton.LeftButton:
            self._drag = event.position().toPoint()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Draw the rectangle."""
        here = event.position().toPoint()
        if self._drag is not None and (here - self._drag).manhattanLength() > DRAG_PX:
            self._band.setGeometry(QRect(self._drag, here).normalized())
            self._band.show()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Select what was clicked, or what lies in the rectangle."""
        if self._drag is None:
            return
        started, self._drag = self._drag, None
        held = event.modifiers()
        extend, toggle = (
            bool(held & key)
            for key in (Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier)
        )
        if not self._band.isHidden():
            self._band.hide()
            self.select(self.places_in(self._band.geometry()), add=extend or toggle)
            return
        found = [
            p
            for p in self.places_in(QRect(started, QSize(1, 1))).tolist()
            if self.rect_of(p).contains(started)
        ]
        if found:
            self.choose(found[0], extend=extend, toggle=toggle)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Move, select all, or tell what the key means."""
        meaning = meaning_of(event)
        if isinstance(meaning, tuple):
            across, down = meaning
            held = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self.choose(self.current + across + down * self.columns, extend=held)
        elif meaning == ALL:
            self.select(np.arange(len(self.order)))
        elif meaning:
            self.acted.emit(meaning)
        else:
            super().keyPressEvent(event)
