"""Small TIFF files read fast: one crop is one file, and there are hundreds of thousands.

An export of an imaging flow cytometer has one uncompressed page a file. Reading such a page
needs a dozen tags; tifffile takes seven times as long over it, and logs two errors a file for
the exports of IDEAS, whose FillOrder is 0. Whatever is not that plain goes to tifffile.
"""

import io
import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_DESCRIPTION, _OFFSETS, _SAMPLES, _COUNTS, _PLANAR = 270, 273, 277, 279, 284
_PREDICTOR, _TILES, _EXTRA, _FORMAT = 317, 322, 338, 339
_READ = (
    _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _OFFSETS, _SAMPLES, _COUNTS, _PLANAR,
    _PREDICTOR, _FORMAT,
)  # fmt: skip
_WHOLE = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}
_KINDS = {1: "u", 2: "i", 3: "f"}
_TYPES = {("u", 8), ("u", 16), ("u", 32), ("i", 8), ("i", 16), ("i", 32), ("f", 32), ("f", 64)}


def decode_tiff(content: bytes, name: str) -> NDArray[Any]:
    """Return the pixels of a small TIFF that was read already, ``(c, y, x)``; `name` is for messages.

    Raises
    ------
    CellsegError
        If the file is cut off.
    OSError, ValueError
        And what else tifffile raises for a damaged file (`DAMAGE` in `images/readers`).
    """
    pixels = _plain_page(content, name)
    return _by_tifffile(content, name) if pixels is None else pixels


def description_of(path: str | Path) -> bytes:
    """Return the description (OME-XML) in the first page of a TIFF; empty if there is none."""
    with open(path, "rb") as stream:
        content = stream.read()
    entry = _tags(content).get(_DESCRIPTION)
    if entry is None:
        return b""
    order, _, count, at = entry
    start = at if count <= 4 else struct.unpack_from(order + "I", content, at)[0]
    return content[start : start + count].rstrip(b"\0")


def _tags(content: bytes) -> dict[int, tuple[str, int, int, int]]:
    """Return (byte order, type, count, place of the value) of each tag; nothing for what is not plain."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2], "")
    try:
        if not order or struct.unpack_from(order + "H", content, 2)[0] != 42:
            return {}
        (at,) = struct.unpack_from(order + "I", content, 4)
        (number,) = struct.unpack_from(order + "H", content, at)
        entries = struct.unpack_from(order + "HHI4x" * number, content, at + 2)
        (following,) = struct.unpack_from(order + "I", content, at + 2 + 12 * number)
    except struct.error:
        return {}
    if following:
        return {}
    places = range(at + 10, at + 10 + 12 * number, 12)
    tags = zip(entries[::3], entries[1::3], entries[2::3], places, strict=True)
    return {tag: (order, kind, count, place) for tag, kind, count, place in tags}


def _values(content: bytes, tags: dict[int, tuple[str, int, int, int]], tag: int) -> tuple[int, ...]:
    """Return the whole numbers of a tag; nothing if it is missing or holds something else."""
    order, kind, count, at = tags.get(tag, ("", 0, 0, 0))
    code, size = _WHOLE.get(kind, ("", 0))
    if not code:
        return ()
    if size * count > 4:
        (at,) = struct.unpack_from(order + "I", content, at)
    return struct.unpack_from(f"{order}{count}{code}", content, at)


def _plain_page(content: bytes, name: str) -> NDArray[Any] | None:
    tags = _tags(content)
    if not tags or _TILES in tags or _EXTRA in tags:
        return None
    found = {tag: _values(content, tags, tag) for tag in _READ if tag in tags}
    one = {tag: values[0] for tag, values in found.items() if values}
    samples, kind = one.get(_SAMPLES, 1), _KINDS.get(one.get(_FORMAT, 1), "")
    bits = set(found.get(_BITS, (1,)))
    plain = one.get(_COMPRESSION, 1) == 1 and one.get(_PREDICTOR, 1) == 1 and one.get(_PLANAR, 1) == 1
    plain &= one.get(_PHOTOMETRIC, 1) in (1, 2) and {_WIDTH, _LENGTH, _OFFSETS} <= set(one)
    plain &= one.get(_FILL_ORDER, 1) in (0, 1)  # IDEAS writes 0, which is no order at all, and means 1
    offsets, counts = found.get(_OFFSETS, ()), found.get(_COUNTS, ())
    # strips that follow each other are one
    plain &= len(offsets) < 2 or offsets[1:] == tuple(map(sum, zip(offsets, counts, strict=False)))[:-1]
    if not plain or len(bits) != 1 or (kind, *bits) not in _TYPES:
        return None
    dtype = np.dtype(f"{tags[_WIDTH][0]}{kind}{bits.pop() // 8}")
    shape = (one[_LENGTH], one[_WIDTH], samples)
    number, start = shape[0] * shape[1] * samples, offsets[0]
    if start + number * dtype.itemsize > len(content):
        cut = f"{name}: cut off, {len(content):,} of at least {start + number * dtype.itemsize:,} bytes"
        raise CellsegError(cut, "a whole TIFF file", "copy or export it again")
    pixels = np.frombuffer(content, dtype, number, start).reshape(shape)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype.newbyteorder("="))


def _by_tifffile(content: bytes, name: str) -> NDArray[Any]:
    with _quiet(), tifffile.TiffFile(io.BytesIO(content), name=name) as tif:
        series = tif.series[0]
        pixels: NDArray[Any] = series.asarray()
        axes = series.axes
    if pixels.ndim == 2:
        return pixels[np.newaxis]
    if pixels.ndim != 3:
        raise CellsegError(f"{name}: an image of axes {axes}, {pixels.shape}", "one crop a file")
    return np.moveaxis(pixels, -1, 0)[:3] if axes.endswith("S") else pixels


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what tifffile logs about a malformed file in this thread."""
    thread, logger = threading.get_ident(), logging.getLogger("tifffile")

    def others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)
