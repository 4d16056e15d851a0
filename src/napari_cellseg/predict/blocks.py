"""What happens in one block: read, normalise, one pass of the network, scale back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.normalise import Figures, intensity_figures
from napari_cellseg.images.resample import read_resampled
from napari_cellseg.predict import card
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.network import TURN, Network
from napari_cellseg.predict.tiles import Grid, Tile, mirrored
from napari_cellseg.predict.uncertainty import VIEWS, combine
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model

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
        self.settings, self.figures, self.turn = settings, figures, TURN.get()
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
            self.figures = self.figures or intensity_figures(self.image)
            self.network = self.network or Network(self.model, self.grid, self.settings, self.turn)
        window = self.read(*tile.read)
        for view in VIEWS[: self.settings.views]:
            seen = self.network(view.of(window), view.region(tile.keep, window.shape[1:]))
            yield self.to_source(view.back(seen), tile)

    def on_card(self, block_id: tuple[int, int, int], encode: Encode) -> NDArray[np.uint8]:
        """Return a block as `encode` leaves it; all of it happens on a graphics card."""
        tile = self.grid.tile(*block_id[1:])
        with self.lock:
            self.figures = self.figures or intensity_figures(self.image)
            self.network = self.network or card.CardNetwork(
                self.model, self.grid, self.settings, self.turn, self.figures, encode
            )
        return self.network(self._window(self.image.read, *tile.read), tile.keep)

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
        return self._window(self.read_source, rows, cols)

    def _window(
        self, source: Callable[[slice, slice], NDArray[Any]], rows: slice, cols: slice
    ) -> NDArray[Any]:
        working = self.grid.working or self.grid.shape
        sides = zip((rows, cols), working, strict=True)
        index = [mirrored(side.start, side.stop, size) for side, size in sides]
        inside = [slice(int(side.min()), int(side.max()) + 1) for side in index]
        block = read_resampled(source, self.grid.shape, working, *inside)
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
    encode : Encode, optional
        What is made of the probabilities.
    """

    def __init__(self, members: Sequence[BlockPass], encode: Encode | None = None) -> None:
        self.members, self.encode = list(members), encode

    def __call__(self, block_id: tuple[int, int, int]) -> NDArray[Any]:
        """Return the probabilities (k, y, x) of a block, as `BlockPass` does, or them encoded."""
        first = self.members[0]
        if self.encode is None:
            return combine(self.looks(block_id), first.settings.uncertainty)
        if len(self.members) == 1 and card.takes(first.image.data.dtype, first.grid, first.settings):
            return first.on_card(block_id, self.encode)
        return self.encode(combine(self.looks(block_id), first.settings.uncertainty))

    def looks(self, block_id: tuple[int, int, int]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities (k, y, x) of a block by each model in each view."""
        figures = None
        for member in self.members:
            member.figures = member.figures or figures  # the image's, whoever looks
            yield from member.looks(block_id)
            figures = member.figures
