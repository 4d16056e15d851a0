"""A filament straightened, as a picture; a click on it says where in the micrograph that is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QLabel, QScrollArea

from napari_cellseg.gui.layers import plane_of

if TYPE_CHECKING:
    from napari.layers import Image as ImageLayer
    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from napari_cellseg.images.filament import Filament
    from napari_cellseg.objects.straighten import Strip

WIDTHS = 2.5  # of the filament, across a strip
UNKNOWN_PX = 32.0  # across a strip where the filament's width is not known
HEIGHT_PX = 96  # of the picture, whatever the width of the strip


class StripView(QScrollArea):
    """The strip of a filament, its first point at the left.

    Signals
    -------
    clicked((row, col))
        Where in the micrograph somebody clicked, in its pixels.
    """

    clicked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.strip: Strip | None = None
        self._corner = np.zeros(2)
        self.picture = _Picture()
        self.picture.pressed.connect(self._pressed)
        self.setWidget(self.picture)
        self.setFixedHeight(HEIGHT_PX + self.horizontalScrollBar().sizeHint().height() + 4)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.show_strip(None)

    def show_filament(self, image: ImageLayer, filament: Filament, step: tuple[int, ...]) -> None:
        """Show the strip of a filament, as bright as the image is.

        Parameters
        ----------
        image : Image layer
        filament : Filament
            Its path in pixels of the image.
        step : tuple of int
            Where the viewer's sliders stand.
        """
        from napari_cellseg.objects.straighten import straighten

        width = WIDTHS * filament.width_px if filament.width_px else UNKNOWN_PX
        plane, sides = _plane(image, step)
        low = np.clip(np.floor(filament.path.min(axis=0) - width), 0, sides - 2).astype(int)
        high = np.clip(np.ceil(filament.path.max(axis=0) + width), low + 2, sides).astype(int)
        part = np.asarray(plane[..., low[0] : high[0], low[1] : high[1]])  # a large image stays on the disk
        self._corner = low
        part = part.mean(axis=0) if part.ndim == 3 else part
        strip = straighten(part, replace(filament, path=filament.path - low), width)
        self.show_strip(strip, tuple(image.contrast_limits))

    def show_strip(self, strip: Strip | None, limits: tuple[float, float] = (0.0, 1.0)) -> None:
        """Show a strip, black at the lower limit and white at the upper one; None shows nothing."""
        self.strip = strip
        self.picture.mark = None
        self.setVisible(strip is not None)
        if strip is None:
            return
        pixmap = QPixmap.fromImage(_grey(strip.pixels, limits))
        smooth = Qt.TransformationMode.SmoothTransformation
        self.picture.setPixmap(pixmap.scaledToHeight(HEIGHT_PX, smooth))
        self.picture.resize(self.picture.pixmap().size())
        self.horizontalScrollBar().setValue(0)

    @property
    def scale(self) -> float:
        """How many pixels of the window a pixel of the micrograph takes."""
        return 1.0 if self.strip is None else HEIGHT_PX / self.strip.pixels.shape[0]

    def _pressed(self, x: float, y: float) -> None:
        if self.strip is not None:
            place = np.array([y, x]) / self.scale - 0.5
            self.clicked.emit(self.strip.to_micrograph(place)[0] + self._corner)


class _Picture(QLabel):
    """The picture itself, with a line where it was clicked."""

    pressed = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.mark: float | None = None
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setToolTip("Click to go there in the micrograph")

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        self.mark = event.position().x()
        self.update()
        self.pressed.emit(event.position().x(), event.position().y())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        super().paintEvent(event)
        if self.mark is not None:
            painter = QPainter(self)
            painter.setPen(QPen(Qt.GlobalColor.magenta, 2))
            painter.drawLine(int(self.mark), 0, int(self.mark), self.height())
            painter.end()


def _plane(image: ImageLayer, step: tuple[int, ...]) -> tuple[Any, NDArray[np.intp]]:
    """Return what is shown of an image at a step of the sliders, (y, x) or colours (c, y, x), and (y, x)."""
    pixels = plane_of(image)
    if image.rgb:
        pixels = np.moveaxis(np.asarray(pixels)[..., :3], -1, 0)
    elif image.ndim > 2:
        pixels = pixels[tuple(step[-image.ndim : -2])]
    return pixels, np.array(pixels.shape[-2:])


def _grey(pixels: NDArray[np.float32], limits: tuple[float, float]) -> QImage:
    low, high = limits
    grey = np.clip((pixels - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
    rows, cols = grey.shape
    return QImage(np.ascontiguousarray(grey).data, cols, rows, cols, QImage.Format.Format_Grayscale8).copy()
