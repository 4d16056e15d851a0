"""What happens in one block: read, normalise, one pass of the network, scale back."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.normalise import Figures, intensity_figures
from napari_cellseg.images.resample import read_resampled
from napari_cellseg.predict.tiles import Grid, Tile, mirrored, round_up
from napari_cellseg.predict.uncertainty import VIEWS, combine
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_cellseg.nets.backends import Forward
    from napari_cellseg.nets.model import Model

log = logging.getLogger(__name__)

DEFAULTS = SegmentSettings()


class BlockPass:
    """Computes a block of probabilities by its index; can be sent to other processes.

    Parameters
    ----------
    image : Image
    model : Model
    grid : Grid
        How the image is cut.
    settings : SegmentSettings
        What runs the network.
    figures : Figures, optional
        The image's intensity figures, if they are known already.
    """

    def __init__(
        self,
        image: Image,
        model: Model,
        grid: Grid,
        settings: SegmentSettings,
        figures: Figures | None = None,
    ) -> None:
        self.image, self.model, self.grid = image, model, grid
        self.settings, self.figures = settings, figures
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in {"lock", "network"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = threading.Lock()
        self.network: Network | None = None

    def __call__(self, block_id: tuple[int, int, int]) -> NDArray[np.float32]:
        """Return the probabilities (k, y, x) of the block with index ``block_id[1:]``.

        One more plane at the end holds the uncertainty, where the settings ask for it.
        """
        return combine(self.looks(block_id), self.settings.uncertainty)

    def looks(self, block_id: tuple[int, int, int]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities (k, y, x) of a block in each of the views asked for."""
        tile = self.grid.tile(*block_id[1:])
        with self.lock:  # once per image, by whoever comes first
            if self.figures is None:
                self.figures = intensity_figures(self.image)
            if self.network is None:
                self.network = Network(self.model, self.grid, self.settings)
        window = self.read(*tile.read)
        for view in VIEWS[: self.settings.views]:
            seen = self.network(view.of(window), view.region(tile.keep, window.shape[1:]))
            yield self.to_source(view.back(seen), tile)

    def to_source(self, kept: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
        """Return what was kept of a tile (k, y, x) in source pixels."""
        working, shape = self.grid.working or self.grid.shape, self.grid.shape
        if working == shape:
            return kept
        top, left = (read.start + keep.start for read, keep in zip(tile.read, tile.keep, strict=True))

        def part(rows: slice, cols: slice) -> NDArray[np.float32]:
            return kept[:, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]

        return read_resampled(part, working, shape, *tile.write)

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Return a normalised window (c, y, x) in working pixels, mirrored beyond the edges."""
        working = self.grid.working or self.grid.shape
        sides = zip((rows, cols), working, strict=True)
        index = [mirrored(side.start, side.stop, size) for side, size in sides]
        inside = [slice(int(side.min()), int(side.max()) + 1) for side in index]
        block = read_resampled(self.read_source, self.grid.shape, working, *inside)
        for axis, (side, span) in enumerate(zip(index, inside, strict=True), start=1):
            if len(side) != span.stop - span.start:
                block = block.take(side - span.start, axis)
        return block

    def read_source(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Return a normalised region (c, y, x) in source pixels."""
        assert self.figures is not None
        return self.figures.apply(self.image.read(rows, cols))


class EnsemblePass:
    """Computes a block by several models, each at its own pixel size; the mean of all counts.

    Parameters
    ----------
    members : sequence of BlockPass
        Of the same image and settings, with grids of the same blocks.
    """

    def __init__(self, members: Sequence[BlockPass]) -> None:
        self.members = list(members)

    def __call__(self, block_id: tuple[int, int, int]) -> NDArray[np.float32]:
        """Return the probabilities (k, y, x) of a block, as `BlockPass` does."""
        return combine(self.looks(block_id), self.members[0].settings.uncertainty)

    def looks(self, block_id: tuple[int, int, int]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities (k, y, x) of a block by each model in each view."""
        figures = None
        for member in self.members:
            member.figures = member.figures or figures  # the image's, whoever looks
            yield from member.looks(block_id)
            figures = member.figures


class Network:
    """Runs windows (c, y, x), one at a time on a device, in smaller pieces where memory ran out."""

    def __init__(self, model: Model, grid: Grid, settings: SegmentSettings) -> None:
        from napari_cellseg.nets.backends import run_device

        self.model, self.grid, self.settings = model, grid, settings
        self.device = run_device(settings.backend, settings.device)
        self.most_px = float("inf")
        self.forward: Forward | None = None

    def __call__(self, window: NDArray[np.float32], keep: tuple[slice, slice]) -> NDArray[np.float32]:
        """Return the kept probabilities (k, y, x) of a window when its turn has come."""
        return _device_queue(self.device).submit(self.run, window, keep).result()

    def run(self, window: NDArray[np.float32], keep: tuple[slice, slice]) -> NDArray[np.float32]:
        """Return the kept probabilities (k, y, x) of a window, on the calling thread."""
        from napari_cellseg.nets.backends import prepare
        from napari_cellseg.predict.memory import is_out_of_memory

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
        if window[0].size <= self.most_px:
            try:
                return np.ascontiguousarray(self.forward(window[np.newaxis])[0][:, *keep])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self.most_px = window[0].size - 1
            log.warning("out of memory for a window of %d x %d px: halved", *window.shape[1:])
        return self.halves(window, keep)

    def halves(self, window: NDArray[np.float32], keep: tuple[slice, slice]) -> NDArray[np.float32]:
        """Run a window in two halves along its longer side, each with its halo."""
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
        return np.concatenate(parts, axis + 1)


@functools.cache
def _device_queue(device: str) -> ThreadPoolExecutor:
    """Return the one thread that works on a device: passes queue up instead of sharing its memory."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"cellseg-{device}")
