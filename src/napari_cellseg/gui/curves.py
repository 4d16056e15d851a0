"""Loss and score as they come, drawn by Qt: a fraction of a millisecond where matplotlib takes fifty."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_cellseg.train.records import Epoch

LOSS, VALIDATION, SCORE = "#e69f00", "#56b4e9", "#009e73"
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 28, 30


class Curves(QWidget):
    """Two panels over the epochs: training and validation loss, and the score (Dice)."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[Epoch] = []
        self.setFixedHeight(246)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Dice: 1 = the validation pixels are all right, 0 = none is")

    def clear(self) -> None:
        """Forget all epochs."""
        self.epochs = []
        self.update()

    def add(self, epoch: Epoch) -> None:
        """Show one more epoch; what a resumed training repeats replaces the former values."""
        self.epochs = [e for e in self.epochs if e.epoch < epoch.epoch] + [epoch]
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw both panels."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        half = self.height() / 2
        losses = [x for e in self.epochs for x in (e.train_loss, e.validation_loss) if _known(x)]
        # one wild epoch must not press the others flat: what is higher is drawn at the upper edge
        top = min(max(losses), 3 * sorted(losses)[len(losses) // 2]) if losses else 1.0
        self._panel(
            painter,
            QRectF(0, 0, self.width(), half),
            top,
            (
                ("loss: training", LOSS, [e.train_loss for e in self.epochs]),
                ("validation", VALIDATION, [e.validation_loss for e in self.epochs]),
            ),
        )
        self._panel(
            painter,
            QRectF(0, half, self.width(), half),
            1.0,
            (("score (mean Dice)", SCORE, [e.score for e in self.epochs]),),
        )
        painter.end()

    def _panel(
        self,
        painter: QPainter,
        area: QRectF,
        highest: float,
        curves: tuple[tuple[str, str, list[float]], ...],
    ) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        inner = area.adjusted(LEFT, TOP, -RIGHT, -BOTTOM + 12)
        faint = QColor(ink)
        faint.setAlpha(60)
        last = max([e.epochs for e in self.epochs[-1:]], default=1)
        for share in (0.0, 0.5, 1.0):
            y = inner.bottom() - share * inner.height()
            painter.setPen(faint)
            painter.drawLine(QPointF(inner.left(), y), QPointF(inner.right(), y))
            painter.setPen(ink)
            place = QRectF(area.left(), y - 8, LEFT - 5, 16)
            painter.drawText(
                place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{share * highest:.3g}"
            )
        x = area.left() + 4
        for name, color, values in curves:
            points = [
                QPointF(
                    inner.left() + (e.epoch - 0.5) / last * inner.width(),
                    inner.bottom() - min(1.0, value / highest if highest else 0.0) * inner.height(),
                )
                for e, value in zip(self.epochs, values, strict=True)
                if _known(value)
            ]
            painter.setPen(QPen(QColor(color), 2))
            painter.drawPolyline(QPolygonF(points))
            painter.setBrush(QColor(color))
            for point in points:
                painter.drawEllipse(point, 2.5, 2.5)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            text = name + (f"  {values[-1]:.3g}" if values and _known(values[-1]) else "")
            painter.drawText(QPointF(x, area.top() + 13), text)
            x += painter.fontMetrics().horizontalAdvance(text) + 12
        painter.setPen(ink)
        if area.top() > 0:
            painter.drawText(
                QRectF(inner.left(), inner.bottom() + 2, inner.width(), 14),
                Qt.AlignmentFlag.AlignRight,
                f"epoch of {last}" if self.epochs else "epoch",
            )


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
