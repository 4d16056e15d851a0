"""What stands under a cell in the gallery: a stripe in the colour of its class, and a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter, QPixmap

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

CAPTION_PX, FONT_PX, STRIPE_PX = 16, 11, 6
BACKGROUND, TEXT = "#1b1e23", "#e6e6e6"
MOST = 2000


class Captions:
    """Pictures of captions; thousands of cells share a few, and text is the slowest thing to paint."""

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self._made: dict[tuple[str, str, int], QPixmap] = {}

    def get(self, text: str, color: str, width: int) -> QPixmap:
        """Return a caption of this width; a long text is shortened."""
        key = (text, color, width)
        if key not in self._made:
            if len(self._made) > MOST:
                self._made.clear()
            self._made[key] = self._paint(*key)
        return self._made[key]

    def _paint(self, text: str, color: str, width: int) -> QPixmap:
        ratio = self._widget.devicePixelRatioF()
        made = QPixmap(round(width * ratio), round(CAPTION_PX * ratio))
        made.setDevicePixelRatio(ratio)
        made.fill(QColor(BACKGROUND))
        painter = QPainter(made)
        painter.fillRect(0, 2, STRIPE_PX, CAPTION_PX - 3, QColor(color))
        font = painter.font()
        font.setPixelSize(FONT_PX)
        painter.setFont(font)
        painter.setPen(QColor(TEXT))
        space = width - STRIPE_PX - 4
        elided = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, space)
        painter.drawText(STRIPE_PX + 3, CAPTION_PX - 4, elided)
        painter.end()
        return made
