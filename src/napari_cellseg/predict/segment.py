"""Segmenting: an image and a model become a lazy array of probabilities, and labels.

One code path for the viewer, the command line and notebooks: `segment` describes the
blocks, `compute_blocks` computes them in any order, reading ahead.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.normalise import Figures
from napari_cellseg.predict.blocks import DEFAULTS, BlockPass, EnsemblePass
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.plan import ensemble, grid_of, plan_grid
from napari_cellseg.predict.tiles import Grid
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_cellseg.predict.plan import Models


def segment(image: Image, model: Models, *, settings: SegmentSettings = DEFAULTS) -> da.Array:
    """Return the probabilities of the classes as a lazy array; nothing is computed yet.

    Parameters
    ----------
    image : Image
        With as many channels as the model takes.
    model : Model or sequence of Model
        Of several, with the same classes, the mean of their probabilities counts.
    settings : SegmentSettings
        Device, block size, halo, views; whatever is empty is chosen.

    Returns
    -------
    (k, y, x) float32 dask array
        In source pixels; channel 0 is the background. Its chunks are the blocks: computing
        one costs one pass of each network in each view.

    Raises
    ------
    CellsegError
        If the image has another number of channels or an implausible pixel size, the
        models have different classes, or the device or backend is not there.
    """
    settings = settings.model_copy(update={"uncertainty": "none"})
    return segment_grid(image, model, plan_grid(image, model, settings=settings), settings=settings)


def segment_with_uncertainty(
    image: Image, model: Models, *, settings: SegmentSettings = DEFAULTS
) -> tuple[da.Array, da.Array]:
    """Return the probabilities and a map of how uncertain they are, both lazy.

    Compute both in one go (`dask.compute`): they come from the same passes.

    Parameters
    ----------
    image, model
        As in `segment`.
    settings : SegmentSettings
        `uncertainty` says what is measured: entropy if nothing does.

    Returns
    -------
    probabilities : (k, y, x) float32 dask array
    uncertainty : (y, x) float32 dask array
        0 = sure, 1 = as uncertain as can be.

    Raises
    ------
    CellsegError
        As `segment`, or if a spread is asked for where there is one view of one model.
    """
    if settings.uncertainty == "none":
        settings = settings.model_copy(update={"uncertainty": "entropy"})
    both = segment_grid(image, model, plan_grid(image, model, settings=settings), settings=settings)
    return both[:-1], both[-1]


def segment_grid(
    image: Image,
    model: Models,
    grid: Grid,
    *,
    settings: SegmentSettings = DEFAULTS,
    figures: Figures | None = None,
    encode: Encode | None = None,
) -> da.Array:
    """Return the lazy probabilities (k, y, x) in the blocks of `grid`.

    One more plane at the end holds the uncertainty, where the settings ask for it. With `encode` it is
    what that makes of them.
    """
    models = ensemble(model)
    grids = [grid]
    if len(models) > 1:  # a grid for each, with the same blocks
        grids = [grid_of(image, one, settings, grid.block) for one in models]
    members = [BlockPass(image, one, own, settings, figures) for one, own in zip(models, grids, strict=True)]
    planes = models[0].spec.outputs + (settings.uncertainty != "none") + (encode is not None)
    dtype = np.float32 if encode is None else np.uint8
    lazy: da.Array = da.map_blocks(  # type: ignore[no-untyped-call]
        EnsemblePass(members, encode),
        name=f"segment-{uuid.uuid4().hex}",  # or dask would hash the weights
        chunks=((planes,), *grid.chunks),
        dtype=dtype,
        meta=np.empty((0, 0, 0), dtype),
    )
    return lazy


def blocks_by_distance(probabilities: da.Array, center: tuple[float, float]) -> list[tuple[int, int]]:
    """Return the indices of the blocks, the nearest to `center` first.

    Parameters
    ----------
    probabilities : (k, y, x) dask array
    center : (row, col)
        In pixels of the array, for example the middle of the visible field.
    """
    gaps = []
    for chunks, place in zip(probabilities.chunks[1:], center, strict=True):
        ends = np.cumsum(chunks)
        starts = ends - chunks
        outside = np.maximum(0, np.maximum(starts - place, place - ends))
        gaps.append(outside + 1e-3 * abs((starts + ends) / 2 - place))
    distance = np.hypot(gaps[0][:, None], gaps[1])
    order = np.argsort(distance, axis=None, kind="stable")
    return [(int(row), int(col)) for row, col in zip(*np.unravel_index(order, distance.shape), strict=True)]


def compute_blocks(
    probabilities: da.Array, order: Sequence[tuple[int, int]] | None = None, *, ahead: int = 2
) -> Generator[tuple[slice, slice, NDArray[Any]], None, None]:
    """Compute a lazy array block by block, in the order asked for.

    While the network works on a block the next one is read, and whoever takes the blocks
    has time to write the former one. Closing the generator drops what has not begun.

    Parameters
    ----------
    probabilities : (k, y, x) dask array
        What `segment` or `segment_grid` returned, or something made of it.
    order : sequence of (row, col), optional
        Indices of the blocks wanted; all, row by row, if none are given.
    ahead : int
        Blocks in work at a time; each holds its pixels in memory.

    Yields
    ------
    rows, cols : slice
        Where the block lies.
    block : (k, y, x)
        Float32, or uint8 where the blocks are encoded.
    """
    rows, cols = (_slices(chunks) for chunks in probabilities.chunks[1:])
    if order is None:
        order = [(row, col) for row in range(len(rows)) for col in range(len(cols))]
    waiting: deque[tuple[slice, slice, Future[NDArray[Any]]]] = deque()
    pool = ThreadPoolExecutor(ahead, thread_name_prefix="cellseg-read")
    todo = iter(order)

    def submit() -> None:
        for row, col in todo:
            block = probabilities.blocks[:, row, col]
            waiting.append((rows[row], cols[col], pool.submit(block.compute, scheduler="synchronous")))
            return

    try:
        for _ in range(ahead):
            submit()
        while waiting:
            where_rows, where_cols, future = waiting.popleft()
            block = future.result()
            submit()
            yield where_rows, where_cols, block
            del block, future
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _slices(chunks: tuple[int, ...]) -> list[slice]:
    ends = np.cumsum(chunks).tolist()
    return [slice(end - size, end) for end, size in zip(ends, chunks, strict=True)]
