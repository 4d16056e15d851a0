"""How a plane is cut into blocks: what is read, what is kept, where it is written.

Blocks are even in source pixels, so that a file of the result can have the same chunks;
what the network reads starts and ends on multiples of its stride in working pixels. All
windows of a plane have one shape: a window at an edge reaches further inwards instead of
further out, which costs nothing and spares backends that compile for a shape.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil, lcm

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.resample import axis_weights

ALIGN_PX = 32  # automatic blocks are multiples of it, so six pyramid levels fall on whole pixels


@dataclass(frozen=True)
class Tile:
    """One block.

    Attributes
    ----------
    read : (rows, cols)
        Window the network sees, working pixels; may start below 0 or end beyond the
        plane, where the image is mirrored.
    keep : (rows, cols)
        What of the network's output counts, relative to the window.
    write : (rows, cols)
        Source pixels the block decides.
    """

    read: tuple[slice, slice]
    keep: tuple[slice, slice]
    write: tuple[slice, slice]


@dataclass(frozen=True)
class Grid:
    """The blocks that cover a plane, each source pixel in exactly one.

    Parameters
    ----------
    shape : (y, x)
        Size of the plane in source pixels.
    block : (y, x)
        Size of a block in source pixels; the last ones are smaller.
    halo, stride : int
        Working pixels read around a block, and what windows are multiples of.
    working : (y, x), optional
        Size of the plane in working pixels, if it is another one.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    halo: int
    stride: int
    working: tuple[int, int] | None = None

    @cached_property
    def _sides(self) -> tuple[list[tuple[slice, slice, slice]], ...]:
        return tuple(
            _cut(size, working, block, self.halo, self.stride)
            for size, working, block in zip(self.shape, self.working or self.shape, self.block, strict=True)
        )

    @property
    def counts(self) -> tuple[int, int]:
        """Number of blocks, (down, across)."""
        down, across = self._sides
        return len(down), len(across)

    @property
    def window(self) -> tuple[int, int]:
        """Shape of every window the network sees, working pixels."""
        height, width = (side[0][0].stop - side[0][0].start for side in self._sides)
        return height, width

    @property
    def cost(self) -> float:
        """Pixels the network computes for each working pixel of the plane."""
        computed = self.counts[0] * self.counts[1] * self.window[0] * self.window[1]
        rows, cols = self.working or self.shape
        return computed / (rows * cols)

    @property
    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes of the blocks in source pixels, as dask wants them."""
        down, across = (tuple(write.stop - write.start for _, _, write in side) for side in self._sides)
        return down, across

    def tile(self, row: int, col: int) -> Tile:
        """Return the block with this index."""
        (read, keep, write), (read_x, keep_x, write_x) = self._sides[0][row], self._sides[1][col]
        return Tile((read, read_x), (keep, keep_x), (write, write_x))


def tile_grid(shape: tuple[int, int], size: int, halo: int, stride: int = 1) -> Iterator[Tile]:
    """Yield the blocks that cover a plane, each pixel written exactly once.

    Parameters
    ----------
    shape : (y, x)
        Size of the plane in pixels.
    size : int
        Side of a block in pixels, rounded up to the stride.
    halo : int
        Pixels read around a block, rounded up to the stride.
    stride : int
        Windows start and end on multiples of it.

    Examples
    --------
    >>> [tile.write[1] for tile in tile_grid((8, 20), size=8, halo=2)]
    [slice(0, 8, None), slice(8, 16, None), slice(16, 20, None)]
    >>> [tile.read[1] for tile in tile_grid((8, 20), size=8, halo=2)]
    [slice(-1, 11, None), slice(6, 18, None), slice(9, 21, None)]
    """
    block = (round_up(size, stride), round_up(size, stride))
    grid = Grid(shape, block, round_up(halo, stride), stride)
    for row in range(grid.counts[0]):
        for col in range(grid.counts[1]):
            yield grid.tile(row, col)


def block_shape(
    shape: tuple[int, int],
    most_px: int,
    *,
    halo: int,
    stride: int,
    working: tuple[int, int] | None = None,
) -> tuple[int, int]:
    """Return the block (y, x) in source pixels that costs the network least.

    Parameters
    ----------
    shape : (y, x)
        Size of the plane in source pixels.
    most_px : int
        Working pixels a window may have.
    halo, stride, working
        As in `Grid`.

    Examples
    --------
    >>> block_shape((3838, 3710), 2048 * 2048, halo=64, stride=32)
    (1920, 1856)
    >>> block_shape((100, 90), 2048 * 2048, halo=64, stride=32)
    (128, 96)
    """
    sides = zip(shape, working or shape, strict=True)
    rows, cols = (_sizes(size, other, halo, stride, most_px) for size, other in sides)
    fitting = [
        (n_rows * n_cols * height * width, block, block_x)
        for n_rows, block, height in rows
        for n_cols, block_x, width in cols
        if height * width <= most_px
    ]
    if not fitting:  # the halo alone is too large: the smallest there is, and back off from it
        return rows[-1][1], cols[-1][1]
    return min(fitting)[1:]


def round_up(value: float, multiple: int) -> int:
    """Return the smallest multiple that is not below `value`."""
    return ceil(value / multiple) * multiple


def mirrored(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Return the indices into ``range(size)`` of places mirrored at its ends.

    Examples
    --------
    >>> mirrored(-2, 6, 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    if size == 1:
        return np.zeros(stop - start, np.intp)
    period = 2 * (size - 1)
    index = np.arange(start, stop) % period
    return np.minimum(index, period - index)


def _sizes(size: int, working: int, halo: int, stride: int, most_px: int) -> list[tuple[int, int, int]]:
    """Return (blocks, block in source pixels, window in working pixels) for ever smaller blocks."""
    align = lcm(stride, ALIGN_PX)
    side = most_px**0.5
    whole = round_up(working + min(halo, stride), stride) + round_up(min(halo, stride), stride)
    sizes: list[tuple[int, int, int]] = []
    parts = 1
    while True:
        block = round_up(size / parts, align)
        margins = halo + min(halo, stride) if parts == 2 else 2 * halo
        kept = block if working == size else block * working / size + 2 + stride
        window = whole if parts == 1 else min(whole, round_up(kept + margins, stride))
        if window <= 4 * side:  # windows far from square are never the cheapest
            sizes.append((parts, block, window))
        if block <= align or window < side / 4:
            return sizes or [(parts, block, window)]
        parts = ceil(size / (block - align))


def _cut(size: int, working: int, block: int, halo: int, stride: int) -> list[tuple[slice, slice, slice]]:
    """Return (read, keep, write) of the blocks along one side."""
    # one stride of mirrored pixels outside: the network's zero padding stays off the picture
    edge = min(halo, stride)
    outer = (-round_up(edge, stride), round_up(working + edge, stride))
    needed = []
    for start in range(0, size, block):
        write = slice(start, min(start + block, size))
        kept = write if working == size else axis_weights(working, size, write.start, write.stop)[0]
        low = max(outer[0], (kept.start - halo) // stride * stride)
        high = min(outer[1], round_up(kept.stop + halo, stride))
        needed.append((low, high, kept, write))
    window = max(high - low for low, high, _, _ in needed)
    spans = []
    for low, _, kept, write in needed:
        low = min(low, outer[1] - window)
        spans.append((slice(low, low + window), slice(kept.start - low, kept.stop - low), write))
    return spans
