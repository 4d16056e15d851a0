"""Pictures of cells for the gallery, read and drawn beside the window, the newest wish first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtGui import QImage

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellseg.gui.cells.view import View
    from napari_cellseg.images.crops import Crops

PIXEL_BYTES = 192 * 1024**2  # cells as read, so that another contrast reads no file
IMAGE_BYTES = 192 * 1024**2  # cells as drawn


class Tiles:
    """Draws cells in a thread of its own and keeps the ones asked for last.

    The thread may outlive the window, so it touches no widget and sends no signal.

    Attributes
    ----------
    fresh : bool
        Pictures came that nobody has seen yet; whoever looks sets it back.
    """

    def __init__(self) -> None:
        self.fresh = False
        self.crops: Crops | None = None
        self.view: View | None = None
        self._pixels: OrderedDict[int, NDArray[np.generic] | None] = OrderedDict()
        self._held = 0
        self._images: OrderedDict[int, tuple[QImage, View]] = OrderedDict()
        self._wanted: list[int] = []
        self._changed = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None

    def show(self, crops: Crops | None, view: View | None) -> None:
        """Draw these cells from now on."""
        with self._changed:
            self.crops, self.view = crops, view
            self._pixels.clear()
            self._images.clear()
            self._held, self._wanted = 0, []
        if self._thread is None and crops is not None:
            self._thread = threading.Thread(target=self._run, name="drawing cells", daemon=True)
            self._thread.start()

    def look(self, view: View) -> None:
        """Draw the same cells in another way; the former pictures stand until then."""
        with self._changed:
            if self.view is not None and view.side_px != self.view.side_px:
                self._images.clear()
            self.view = view

    def get(self, index: int) -> QImage | None:
        """Return a picture if it is there, perhaps in the former view."""
        found = self._images.get(index)
        return None if found is None else found[0]

    def want(self, indices: Sequence[int]) -> int:
        """Ask for these pictures and no others; return how many of them are missing."""
        with self._changed:
            missing = [k for k in indices if k not in self._images or self._images[k][1] is not self.view]
            self._wanted = missing[::-1]  # taken from the end
            if missing:
                self._changed.notify()
        return len(missing)

    def end(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._ended:
                    self._changed.wait()
                if self._ended:
                    return
                index, crops, view = self._wanted.pop(), self.crops, self.view
            if crops is None or view is None:
                continue
            image = self._draw(index, crops, view)
            with self._changed:
                if crops is not self.crops or view.side_px != self.view.side_px:
                    continue
                self._images[index] = (image, view)
                self._images.move_to_end(index)
                most = max(256, IMAGE_BYTES // (4 * view.side_px * view.width_px))
                while len(self._images) > most:
                    self._images.popitem(last=False)
                self.fresh = True

    def _draw(self, index: int, crops: Crops, view: View) -> QImage:
        pixels = self._pixels.get(index)
        if index not in self._pixels:
            try:
                pixels = crops.read(index)
            except CellsegError:
                pixels = None
            with self._changed:
                if crops is self.crops:
                    self._pixels[index] = pixels
                    self._held += 0 if pixels is None else pixels.nbytes
                while self._held > PIXEL_BYTES and self._pixels:
                    _, gone = self._pixels.popitem(last=False)
                    self._held -= 0 if gone is None else gone.nbytes
        if pixels is None:
            return QImage()
        drawn = view.draw(pixels)
        rows, cols = drawn.shape[:2]
        return QImage(drawn.tobytes(), cols, rows, 4 * cols, QImage.Format.Format_RGB32).copy()
