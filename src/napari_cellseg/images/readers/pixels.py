"""The pixels of a file as an array that dask slices: axes put in order, damage reported."""

import lzma
import struct
import threading
import weakref
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError

CHUNK_PX = 1024  # least side of a dask chunk: a 100,000 px square stays below 10,000 tasks
MAX_UNNAMED_CHANNELS = 4  # more pages without a meaning are taken for a stack

# What the decoders raise for a damaged file: tifffile, mrcfile, zarr, numcodecs,
# imagecodecs and pillow have no common class, and pillow reports a broken PNG as SyntaxError.
DAMAGE = (
    OSError, ValueError, RuntimeError, LookupError, ArithmeticError, TypeError, AttributeError,
    EOFError, SyntaxError, MemoryError, struct.error, zlib.error, lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True)
class Handle:
    """An open file: something to slice, and how to close it."""

    array: Any
    close: Callable[[], None] | None = None


@dataclass(frozen=True)
class Decoded:
    """An array that is decoded as a whole when first sliced; the last two stay in memory."""

    path: Path
    decode: Callable[[Path], NDArray[Any]]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        region: NDArray[Any] = _decoded(self.decode, self.path, self.path.stat().st_mtime_ns)[key]
        return region


@lru_cache(maxsize=2)
def _decoded(decode: Callable[[Path], NDArray[Any]], path: Path, _changed_ns: int) -> NDArray[Any]:
    return decode(path)


@dataclass(frozen=True)
class Source:
    """What a reader finds out about a file without reading pixels.

    Parameters
    ----------
    open : callable
        Opens the pixels of the path it is given; a plain function, so that it can travel
        to another process.
    axes : str
        One letter per axis of the stored array, e.g. ``"tczyx"`` or ``"yxs"``; ``q`` is an
        axis without a meaning.
    shape, dtype
        Of the stored array.
    chunk_px : (y, x)
        What the file can decode at a time.
    pixel_nm : float, optional
        Pixel size in nm.
    alpha : bool
        The last channel is transparency and is left out.
    """

    open: Callable[[Path], Handle]
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_px: tuple[int, int]
    pixel_nm: float | None = None
    alpha: bool = False


@dataclass
class Pixels:
    """The pixels of a file as ``(y, x)`` or ``(c, y, x)``, opened when first sliced.

    Slicing reads that region only. A copy sent to another process opens the file there.
    """

    path: Path
    source: Source
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    channel_axis: int | None
    dask_name: str = ""
    _handle: Handle | None = field(default=None, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def of(cls, path: Path, source: Source) -> Self:
        """Check that a file holds one image and return its pixels.

        Raises
        ------
        CellsegError
            For a stack, an empty image or pixels that are not integers or real numbers.
        """
        sizes = dict(zip(source.axes, source.shape, strict=True))
        channel = channel_of(sizes, path.name)
        plane = (sizes["y"], sizes["x"])
        count = sizes[channel] - source.alpha if channel else 1
        if 0 in source.shape:
            raise CellsegError(f"{path.name}: an image without pixels, {source.shape}", "at least 1 x 1")
        shape = (count, *plane) if count > 1 else plane
        return cls(path, source, shape, pixel_type(source.dtype, path.name), source.axes.find(channel or "-"))

    @property
    def ndim(self) -> int:
        """2 for a plane, 3 with channels."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        if keys[0] is Ellipsis:
            keys = (slice(None),) * (self.ndim - len(keys) + 1) + keys[1:]
        keys += (slice(None),) * (self.ndim - len(keys))
        spans = [_span(part, size) for part, size in zip(keys, self.shape, strict=True)]
        region = self._read(*(spans if self.ndim == 3 else [None, *spans]))
        for axis in reversed(range(self.ndim)):
            part = keys[axis]
            if not isinstance(part, slice):
                region = region.take(np.asarray(part) - spans[axis].start, axis=axis)
            elif part.step is not None and part.step < 0:
                region = np.flip(region, axis)
        return region

    def _read(self, channels: slice | None, rows: slice, cols: slice) -> NDArray[Any]:
        index: list[int | slice] = [0] * len(self.source.axes)
        index[self.source.axes.index("y")], index[self.source.axes.index("x")] = rows, cols
        order = "yx"
        if channels is not None and self.channel_axis is not None:
            index[self.channel_axis] = channels
            order = self.source.axes[self.channel_axis] + order
        kept = [axis for axis, part in zip(self.source.axes, index, strict=True) if isinstance(part, slice)]
        wanted = tuple(len(range(*part.indices(part.stop))) for part in index if isinstance(part, slice))
        try:
            region = np.asarray(self._open().array[tuple(index)])
            if region.shape != wanted:
                raise ValueError(f"pixels of shape {region.shape} instead of {wanted}")
        except DAMAGE as error:
            raise CellsegError(
                f"{self.path.name}: rows {rows.start}-{rows.stop}, columns {cols.start}-{cols.stop} "
                f"cannot be read ({reason(error)})",
                "an undamaged file",
                "copy or export it again",
            ) from error
        # always a copy: what is handed out may be changed, a memory map or a cache may not
        return region.transpose([kept.index(axis) for axis in order]).astype(self.dtype, order="C")

    def _open(self) -> Handle:
        with self._lock:
            if self._handle is None:
                self._handle = self.source.open(self.path)
                if self._handle.close is not None:
                    weakref.finalize(self, self._handle.close)
            return self._handle

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def lazy(self) -> da.Array:
        """Return the pixels as a dask array of about 1024 px chunks that match the file's."""
        sides = zip(self.source.chunk_px, self.shape[-2:], strict=True)
        chunks = (*self.shape[:-2], *(_merged(chunk, size) for chunk, size in sides))
        # the name is no hash, which would have to change with the file; `meta` keeps dask from
        # reading a pixel to learn the type; slices of the array are handed down to the file
        meta = np.empty((0,) * self.ndim, self.dtype)
        data: da.Array = da.from_array(  # type: ignore[no-untyped-call]
            self, chunks=chunks, name=False, meta=meta
        )
        self.dask_name = data.name
        return data


class StackError(CellsegError):
    """A file of several images where one is wanted."""


def channel_of(sizes: dict[str, int], name: str) -> str | None:
    """Return the axis that holds channels, None for a plane.

    ``c`` (channels) and ``s`` (samples, RGB) are channels; up to four pages without a
    meaning (``q``, ``i``) are too. Depth, time and more pages are a stack.

    Raises
    ------
    CellsegError
        If there are no rows and columns, or (`StackError`) more than one image.

    Examples
    --------
    >>> channel_of({"z": 1, "c": 3, "y": 50, "x": 60}, "a.tif")
    'c'
    """
    if "y" not in sizes or "x" not in sizes:
        raise CellsegError(
            f"{name}: axes {''.join(sizes)} of shape {tuple(sizes.values())}", "rows and columns (y, x)"
        )
    long = [axis for axis, size in sizes.items() if axis not in "yx" and size > 1]
    unnamed = len(long) == 1 and long[0] in "qi" and sizes[long[0]] <= MAX_UNNAMED_CHANNELS
    if not long or unnamed or long in (["c"], ["s"]):
        return long[0] if long else None
    axes = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
    raise StackError(
        f"{name}: a stack of images (axes {axes})",
        "one image (y, x) or (c, y, x)",
        "save each image of the stack as a file of its own",
    )


def pixel_type(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Return the native type pixels are handed out in; truth values become uint8.

    Raises
    ------
    CellsegError
        For complex numbers, text and records.
    """
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "iuf":
        raise CellsegError(
            f"{name}: pixels of type {dtype}",
            "integers or real numbers",
            "save amplitudes instead of a transform",
        )
    return np.dtype(np.float64) if dtype.itemsize > 8 else dtype.newbyteorder("=")


def reason(error: BaseException) -> str:
    """Return the first line of an exception, short enough for a message."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _span(part: Any, size: int) -> slice:
    """Return the ascending slice that holds what a slice, an index or a list of indices asks for."""
    if not isinstance(part, slice):
        indices = np.atleast_1d(np.asarray(part, int))
        return slice(int(indices.min()), int(indices.max()) + 1, 1) if indices.size else slice(0, 0, 1)
    wanted = range(size)[part]
    if not wanted:
        return slice(0, 0, 1)
    first, last = sorted((wanted[0], wanted[-1]))
    return slice(first, last + 1, abs(wanted.step))


def _merged(chunk: int, size: int) -> int:
    return min(size, chunk * -(-CHUNK_PX // chunk))
