"""Single cells out of what a network said about their rings (`images.instance_rings`).

The expected depth of a pixel within its cell is a landscape: every cell is a hill in it, also
where cells touch. What lies above a level is the seed of a cell, and a watershed from the
seeds divides what is not background. Notation: K channels (background, then the rings).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import plane_blocks
from napari_cellseg.images.instance_rings import DEPTHS
from napari_cellseg.settings import InstanceSettings

DEFAULTS = InstanceSettings()
BLOCK_PX = 2048
MARGIN_PX = 256  # a cell and its neighbours should lie within it


@dataclass(frozen=True)
class CellsFound:
    """A block is searched.

    Attributes
    ----------
    done, total : int
        Blocks.
    cells : int
        Cells so far.
    """

    done: int
    total: int
    cells: int


def find_instances(
    probabilities: NDArray[Any],
    *,
    settings: InstanceSettings = DEFAULTS,
    pixel_nm: float | None = None,
) -> NDArray[np.int32]:
    """Return the cells of a plane, numbered by where they begin, row by row.

    What is no background and has no seed is one cell as well. Pixels of a cell hang together
    by their edges.

    Parameters
    ----------
    probabilities : (k, y, x)
        Of the background and each ring; floats from 0 to 1, or uint8 where 255 stands for 1.
    settings : InstanceSettings
    pixel_nm : float, optional
        Pixel size in nm, for an area in nm2.

    Returns
    -------
    (y, x) int32
        0 = no cell, then 1, 2, ...

    Raises
    ------
    CellsegError
        If there are other classes than the rings, or an area in nm2 and no pixel size.

    Examples
    --------
    >>> from napari_cellseg.images.instance_rings import ring_labels
    >>> rings = ring_labels(np.repeat([0] * 3 + [5] * 9 + [8] * 9 + [0], 9).reshape(-1, 9))
    >>> said = np.stack([rings == ring for ring in (1, 2, 3, 4)]).astype(np.float32)
    >>> [int((find_instances(said) == cell).sum()) for cell in (1, 2)]
    [81, 81]
    """
    cells = _cells(probabilities, settings, _least_px(settings, pixel_nm))[0]
    numbers, first = np.unique(cells, return_index=True)
    order = numbers[numbers > 0][np.argsort(first[numbers > 0])]
    rank = np.zeros(int(numbers[-1]) + 1 if len(numbers) else 1, np.int32)
    rank[order] = np.arange(1, len(order) + 1)
    return rank[cells]


def find_instances_blockwise(
    probabilities: Any,
    out: Any,
    *,
    settings: InstanceSettings = DEFAULTS,
    pixel_nm: float | None = None,
    block_px: int = BLOCK_PX,
    margin_px: int = MARGIN_PX,
) -> Generator[CellsFound, None, None]:
    """Find the cells of a plane larger than memory; one that lies on a seam is one cell.

    A block is searched with a margin around it, and keeps the cells whose seed begins in it.
    If a cell and what it touches fit into the margin, the result is that of `find_instances`;
    a cell wider than the margin may be cut.

    Parameters
    ----------
    probabilities : (k, y, x)
        As in `find_instances`; numpy, zarr or dask.
    out : (y, x) integer array
        Zeros; numpy or zarr. The cells are written into it.
    settings : InstanceSettings
    pixel_nm : float, optional
    block_px : int
        Side of a block.
    margin_px : int
        What is read around it.

    Yields
    ------
    CellsFound
        After each block; numbers are final when the generator has ended.

    Raises
    ------
    CellsegError
        As `find_instances`.
    """
    least_px, shape = _least_px(settings, pixel_nm), (int(out.shape[0]), int(out.shape[1]))
    blocks, begins = list(plane_blocks(shape, block_px)), [-1]  # of each number, its first pixel
    for done, block in enumerate(blocks, start=1):
        window = tuple(
            slice(max(0, side.start - margin_px), min(size, side.stop + margin_px))
            for side, size in zip(block, shape, strict=True)
        )
        corner = window[0].start, window[1].start
        cells, seeds = _cells(np.asarray(probabilities[:, window[0], window[1]]), settings, least_px)
        within = np.ones(len(seeds), bool)
        for begin, place, side in zip(corner, np.unravel_index(seeds, cells.shape), block, strict=True):
            within &= (place + begin >= side.start) & (place + begin < side.stop)
        plane = np.asarray(out[window])
        kept = np.where(within[cells] & (cells > 0) & (plane == 0), cells, 0)
        numbers, first = np.unique(kept, return_index=True)
        numbers, first = numbers[numbers > 0], first[numbers > 0]
        rank = np.zeros(len(seeds), plane.dtype)
        rank[numbers] = np.arange(len(begins), len(begins) + len(numbers))
        row, col = np.unravel_index(first, cells.shape)
        begins += ((row + corner[0]) * shape[1] + col + corner[1]).tolist()
        out[window] = np.where(kept > 0, rank[kept], plane)
        yield CellsFound(done, len(blocks), len(begins) - 1)
    final = np.empty(len(begins), out.dtype)
    final[np.argsort(begins)] = np.arange(len(begins))
    for block in blocks:
        out[block] = final[np.asarray(out[block])]


def _cells(
    probabilities: NDArray[Any], settings: InstanceSettings, least_px: float
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return cells (y, x) numbered from 1 on, with gaps, and the first pixel of each number's seed."""
    from skimage.segmentation import watershed

    if len(probabilities) != len(DEPTHS):
        raise CellsegError(
            f"probabilities of {len(probabilities)} classes",
            f"{len(DEPTHS)}: the background and the rings of a cell",
            "use a model that was trained with --polarity instances",
        )
    scale = np.float32(1 / 255 if probabilities.dtype == np.uint8 else 1)
    depth = np.zeros(probabilities.shape[1:], np.float32)
    for value, plane in zip(DEPTHS, probabilities, strict=True):
        depth += np.float32(value) * scale * plane
    if settings.cell_smoothing_px:
        depth = ndimage.gaussian_filter(depth, settings.cell_smoothing_px)
    inside = probabilities[0] * scale <= 1 - settings.cell_threshold
    seeds, count = ndimage.label(inside & (depth >= settings.cell_seed))
    parts, whole = ndimage.label(inside)
    seeded = np.zeros(whole + 1, bool)
    seeded[parts[seeds > 0]] = True
    seeded[0] = True
    alone = ~seeded[parts]  # a part without a seed is one
    seeds[alone] = count + parts[alone]
    cells: NDArray[np.int32] = watershed(  # type: ignore[no-untyped-call]
        -depth, seeds, mask=inside
    ).astype(np.int32)
    if settings.cell_holes:
        _fill_holes(cells)
    area = np.bincount(cells.ravel(), minlength=count + whole + 1)
    small = area < least_px
    small[0] = False
    cells[small[cells]] = 0
    first = np.zeros(count + whole + 1, np.intp)
    numbers, place = np.unique(seeds, return_index=True)
    first[numbers] = place
    return cells, first


def _fill_holes(cells: NDArray[np.int32]) -> None:
    """Give what one cell encloses all around to it, in place; what touches the edge is no hole."""
    holes, count = ndimage.label(cells == 0)
    if not count:
        return
    nowhere = np.iinfo(np.int32).max
    index = np.arange(count + 1)
    highest = ndimage.maximum(ndimage.maximum_filter(cells, 3), holes, index).astype(np.int32)
    lowest = ndimage.minimum(
        ndimage.minimum_filter(np.where(cells > 0, cells, nowhere), 3), holes, index
    ).astype(np.int32)
    around = np.where(highest == lowest, highest, 0)
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        around[edge] = 0
    around[0] = 0
    empty = holes > 0
    cells[empty] = around[holes[empty]]


def _least_px(settings: InstanceSettings, pixel_nm: float | None) -> float:
    """Return the least area of a cell in pixels."""
    if settings.cell_area_nm2 is None:
        return settings.cell_area_px
    if pixel_nm is None:
        raise CellsegError(
            f"cells of at least {settings.cell_area_nm2:g} nm2 in an image without a pixel size",
            "a pixel size",
            "give it with --pixel-nm, or --cell-area-px instead",
        )
    return settings.cell_area_nm2 / pixel_nm**2
