"""A network at work on the windows of an image: in turn, and in smaller pieces where memory runs out."""

from __future__ import annotations

import functools
import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.predict.tiles import Grid, round_up
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_cellseg.nets.backends import Forward
    from napari_cellseg.nets.model import Model

    Pending = Callable[[], NDArray[Any]]
    """Waits for what is on its way, and returns it."""

log = logging.getLogger(__name__)

TURN: ContextVar[int] = ContextVar("turn", default=0)
"""Of images that are worked on at a time, windows of that with the lowest number come first on a device."""


class Network:
    """Runs windows (c, y, x), one at a time on a device, in smaller pieces where memory ran out.

    Parameters
    ----------
    model : Model
    grid : Grid
        How the image is cut.
    settings : SegmentSettings
        What runs the network.
    turn : int
        See `TURN`.
    """

    def __init__(self, model: Model, grid: Grid, settings: SegmentSettings, turn: int = 0) -> None:
        from napari_cellseg.nets.backends import run_device

        self.model, self.grid, self.settings = model, grid, settings
        self.device = run_device(settings.backend, settings.device)
        self.turn, self.most_px = turn, float("inf")
        self.forward: Forward | None = None

    def __call__(self, window: NDArray[Any], keep: tuple[slice, slice]) -> NDArray[Any]:
        """Return what is kept of the planes (k, y, x) of a window when its turn has come."""
        return _device(self.device).do(lambda: self.run(window, keep), self.turn)()

    def run(self, window: NDArray[Any], keep: tuple[slice, slice]) -> Pending:
        """Begin a window on the calling thread."""
        from napari_cellseg.predict.memory import is_out_of_memory

        if window[0].size <= self.most_px:
            try:
                return self.launch(window, keep)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self.most_px = window[0].size - 1
            log.warning("out of memory for a window of %d x %d px: halved", *window.shape[1:])
        return self.halves(window, keep)

    def launch(self, window: NDArray[Any], keep: tuple[slice, slice]) -> Pending:
        """Begin a pass over a window; here the passes of `nets.backends`, which end before they return."""
        from napari_cellseg.nets.backends import prepare

        chosen = self.settings
        if self.forward is None:
            rows, cols = self.grid.working or self.grid.shape
            self.forward = prepare(
                self.model,
                backend=chosen.backend,
                device=chosen.device,
                precision=chosen.precision,
                work_px=rows * cols * chosen.views,
            )
        kept = np.ascontiguousarray(self.forward(window[np.newaxis])[0][:, *keep])
        return lambda: kept

    def halves(self, window: NDArray[Any], keep: tuple[slice, slice]) -> Pending:
        """Begin a window in two halves along its longer side, each with its halo."""
        axis = int(np.argmax([side.stop - side.start for side in keep]))
        stride, halo, span = self.grid.stride, self.grid.halo, keep[axis]
        middle = (span.start + span.stop) // 2 // stride * stride
        parts = []
        for low, high in ((span.start, middle), (middle, span.stop)):
            start = max(0, (low - halo) // stride * stride)
            stop = min(window.shape[axis + 1], round_up(high + halo, stride))
            if low >= high or stop - start >= window.shape[axis + 1]:
                raise CellsegError(
                    f"not enough memory on {self.device} for {window.shape[1]} x {window.shape[2]} px",
                    "room for so much",
                    "close other programs, use --device cpu or a smaller --halo-px",
                )
            sides, inner = [slice(None), slice(None)], list(keep)
            sides[axis], inner[axis] = slice(start, stop), slice(low - start, high - start)
            parts.append(self.run(window[:, *sides], (inner[0], inner[1])))
        return lambda: np.concatenate([part() for part in parts], axis + 1)


class _Device:
    """The one thread that works on a device: passes queue up instead of sharing its memory.

    Of images that are worked on at a time they end one by one, see `TURN`.
    """

    def __init__(self, name: str) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"cellseg-{name}")
        self.waiting: set[tuple[int, int]] = set()
        self.changed, self.busy = threading.Condition(), False

    def do(self, call: Callable[[], Pending], turn: int) -> Pending:
        """Return what a call returns when its turn has come."""
        ticket = turn, next(_numbers)
        with self.changed:
            self.waiting.add(ticket)
            try:
                self.changed.wait_for(lambda: not self.busy and min(self.waiting) == ticket)
                self.busy = True
            finally:
                self.waiting.remove(ticket)
        try:
            return self.thread.submit(call).result()
        finally:
            with self.changed:
                self.busy = False
                self.changed.notify_all()


_device = functools.cache(_Device)
_numbers = itertools.count()
