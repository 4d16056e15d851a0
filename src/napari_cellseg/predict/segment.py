"""Segmenting: an image and a model become a lazy array of probabilities, and labels.

One code path for the viewer, the command line and notebooks: `segment` describes the
blocks, `compute_blocks` computes them in any order, reading ahead.
"""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.normalise import Figures
from napari_cellseg.images.resample import working_shape
from napari_cellseg.predict.blocks import DEFAULTS, BlockPass
from napari_cellseg.predict.tiles import Grid, block_shape, round_up
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model, ModelSpec

log = logging.getLogger(__name__)

WIDEST = 32.0  # a larger ratio of pixel sizes is a wrong unit in a header


def segment(image: Image, model: Model, *, settings: SegmentSettings = DEFAULTS) -> da.Array:
    """Return the probabilities of the classes as a lazy array; nothing is computed yet.

    Parameters
    ----------
    image : Image
        With as many channels as the model takes.
    model : Model
    settings : SegmentSettings
        Device, block size, halo; whatever is empty is chosen.

    Returns
    -------
    (k, y, x) float32 dask array
        In source pixels; channel 0 is the background. Its chunks are the blocks: computing
        one costs one pass of the network.

    Raises
    ------
    CellsegError
        If the image has another number of channels or an implausible pixel size, or the
        device or backend is not there.
    """
    return segment_grid(image, model, plan_grid(image, model, settings=settings), settings=settings)


def plan_grid(image: Image, model: Model, *, settings: SegmentSettings = DEFAULTS) -> Grid:
    """Return how `segment` cuts the image into blocks.

    Raises
    ------
    CellsegError
        As `segment`.
    """
    spec = model.spec
    _check_channels(image, spec)
    working = _working_shape(image, spec)
    halo = round_up(spec.halo_px if settings.halo_px is None else settings.halo_px, spec.stride)
    if settings.block_px is not None:
        rows, cols = (
            round_up(settings.block_px * source / other, spec.stride)
            for source, other in zip(image.shape, working, strict=True)
        )
        return Grid(image.shape, (rows, cols), halo, spec.stride, working)
    from napari_cellseg.nets.backends import pick_device
    from napari_cellseg.predict.memory import window_px

    device = pick_device(settings.device)
    most_px = window_px(model.net, channels=spec.channels, stride=spec.stride, device=device)
    block = block_shape(image.shape, most_px, halo=halo, stride=spec.stride, working=working)
    return Grid(image.shape, block, halo, spec.stride, working)


def segment_grid(
    image: Image,
    model: Model,
    grid: Grid,
    *,
    settings: SegmentSettings = DEFAULTS,
    figures: Figures | None = None,
) -> da.Array:
    """Return the lazy probabilities (k, y, x) in the blocks of `grid`."""
    classes = model.spec.outputs
    lazy: da.Array = da.map_blocks(  # type: ignore[no-untyped-call]
        BlockPass(image, model, grid, settings, figures),
        name=f"segment-{uuid.uuid4().hex}",  # or dask would hash the weights
        chunks=((classes,), *grid.chunks),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )
    return lazy


def labels_from(probabilities: Any, *, threshold: float | None = None) -> Any:
    """Return the label of the likeliest class at each pixel: its channel + 1.

    Parameters
    ----------
    probabilities : (k, y, x)
        numpy or dask; floats from 0 to 1, or uint8 where 255 stands for 1.
    threshold : float, optional
        For two classes: probability from which a pixel is the second one.

    Returns
    -------
    (y, x) uint8
        Indices as in an annotation, 1 = background; numpy or dask as what came in.

    Raises
    ------
    CellsegError
        If there is a threshold and there are more than two classes.

    Examples
    --------
    >>> labels_from(np.array([[[0.9, 0.4]], [[0.1, 0.6]]]))
    array([[1, 2]], dtype=uint8)
    """
    if threshold is not None and len(probabilities) != 2:
        raise CellsegError(
            f"a threshold for {len(probabilities)} classes", "one for two classes only", "leave it out"
        )
    if isinstance(probabilities, da.Array):
        whole = probabilities.rechunk({0: -1})  # type: ignore[no-untyped-call]
        return whole.map_blocks(labels_from, threshold=threshold, drop_axis=0, dtype=np.uint8)
    if threshold is not None:
        above = threshold * 255 if probabilities.dtype == np.uint8 else threshold
        return (probabilities[1] >= above).astype(np.uint8) + np.uint8(1)
    labels = np.ones(probabilities.shape[1:], np.uint8)
    best = probabilities[0]
    for channel, plane in enumerate(probabilities[1:], start=2):  # several times faster than argmax on axis 0
        labels[plane > best] = channel
        best = np.maximum(best, plane)
    return labels


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
) -> Generator[tuple[slice, slice, NDArray[np.float32]], None, None]:
    """Compute a lazy array block by block, in the order asked for.

    While the network works on a block the next one is read, and whoever takes the blocks
    has time to write the former one. Closing the generator drops what has not begun.

    Parameters
    ----------
    probabilities : (k, y, x) dask array
        What `segment` returned, or something made of it.
    order : sequence of (row, col), optional
        Indices of the blocks wanted; all, row by row, if none are given.
    ahead : int
        Blocks in work at a time; each holds its pixels in memory.

    Yields
    ------
    rows, cols : slice
        Where the block lies.
    block : (k, y, x) float32
    """
    rows, cols = (_slices(chunks) for chunks in probabilities.chunks[1:])
    if order is None:
        order = [(row, col) for row in range(len(rows)) for col in range(len(cols))]
    waiting: deque[tuple[slice, slice, Future[NDArray[np.float32]]]] = deque()
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


def _check_channels(image: Image, spec: ModelSpec) -> None:
    if image.channels == spec.channels:
        return
    remedy = "use a model that was trained on such images"
    if spec.channels == 1:
        remedy = f"convert the image to grey or take one of its channels, or {remedy}"
    raise CellsegError(
        f"{image.path or image.name}: {image.channels} channel{'s' * (image.channels != 1)}",
        f"{spec.channels} as in the images the model was trained on",
        remedy,
    )


def _working_shape(image: Image, spec: ModelSpec) -> tuple[int, int]:
    if spec.pixel_nm is not None and image.pixel_nm is None:
        log.warning("%s has no pixel size: taken to be the model's, %g nm", image.name, spec.pixel_nm)
    elif spec.pixel_nm is not None and image.pixel_nm is not None:
        ratio = image.pixel_nm / spec.pixel_nm
        if not 1 / WIDEST <= ratio <= WIDEST:
            name = image.path or image.name
            raise CellsegError(
                f"{name}: pixels of {image.pixel_nm:g} nm for a model of {spec.pixel_nm:g} nm",
                f"at most a factor of {WIDEST:g} between them",
                "give the right size with --pixel-nm",
            )
    return working_shape(image.shape, image.pixel_nm, spec.pixel_nm)
