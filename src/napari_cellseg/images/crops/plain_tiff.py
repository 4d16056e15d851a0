"""Small TIFF files read fast: one crop is one file, and there are hundreds of thousands.

An export of an imaging flow cytometer has one uncompressed page a file. Reading such a page
needs a dozen tags; tifffile takes 20 times as long over it, and logs two errors a file for
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

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _DESCRIPTION, _OFFSETS, _SAMPLES = 266, 270, 273, 277
_PLANAR, _PREDICTOR, _TILES, _EXTRA, _FORMAT = 284, 317, 322, 338, 339
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_KINDS = {1: "u", 2: "i", 3: "f"}


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


def _plain_page(content: bytes, name: str) -> NDArray[Any] | None:
    tags = _tags(content)
    if not tags or _TILES in tags or _WIDTH not in tags or _OFFSETS not in tags:
        return None

    def value(tag: int, default: int) -> int:
        if tag not in tags:
            return default
        order, kind, count, at = tags[tag]
        size = _SIZES.get(kind, 1)
        if size * count > 4:  # a list elsewhere in the file; its first one stands for all
            (at,) = struct.unpack_from(order + "I", content, at)
        return int.from_bytes(content[at : at + size], "little" if order == "<" else "big")

    samples, bits = value(_SAMPLES, 1), value(_BITS, 1)
    kind = _KINDS.get(value(_FORMAT, 1), "")
    plain = value(_COMPRESSION, 1) == 1 and value(_PREDICTOR, 1) == 1 and tags[_OFFSETS][2] == 1
    plain &= value(_PHOTOMETRIC, 1) in (1, 2) and value(_PLANAR, 1) == 1 and _EXTRA not in tags
    plain &= value(_FILL_ORDER, 1) in (0, 1)  # IDEAS writes 0, which is no order at all, and means 1
    if not plain or not kind or bits not in (8, 16, 32, 64) or (kind == "f" and bits < 32):
        return None
    shape = (value(_LENGTH, 0), value(_WIDTH, 0), samples)
    dtype = np.dtype(f"{tags[_OFFSETS][0]}{kind}{bits // 8}")
    start, size = value(_OFFSETS, 0), int(np.prod(shape)) * dtype.itemsize
    if not size or start + size > len(content):
        found = f"{name}: cut off, {len(content):,} of at least {start + size:,} bytes"
        raise CellsegError(found, "a whole TIFF file", "copy or export it again")
    pixels = np.frombuffer(content, dtype, size // dtype.itemsize, start).reshape(shape)
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
