"""MRC micrographs, as memory maps."""

import logging
import math
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.readers.pixel_size import isotropic_nm
from napari_cellseg.images.readers.pixels import CHUNK_PX, Handle, Source

logger = logging.getLogger(__name__)

MODES = (0, 1, 2, 3, 4, 6, 12)  # what mrcfile knows; 3 and 4 are transforms


def open_mrc(path: Path) -> Source:
    """Return what an MRC file holds; row 0 is the first row of the file.

    As forgiving as mrcfile's permissive mode: only size, type and offset have to make sense.

    Raises
    ------
    CellsegError
        If the file ends before its pixels do, or is no MRC file.
    """
    header = _header(path)
    dtype, shape = _dtype(header), _shape(header)
    needed = _offset(header) + math.prod(shape) * dtype.itemsize
    size = path.stat().st_size
    if size < needed:
        raise CellsegError(
            f"{path.name}: truncated, {size:,} of {needed:,} bytes", "a whole MRC file", "copy it again"
        )
    return Source(_open_mapped, "zyx", shape, dtype, (CHUNK_PX, CHUNK_PX), _pixel_nm(header, path.name))


def _header(path: Path) -> Any:
    """Return the first 1024 bytes; the rest of a damaged file is not trusted with a length.

    mrcfile itself would read an extended header of whatever size the file claims.
    """
    with path.open("rb") as file:
        start = file.read(HEADER_DTYPE.itemsize)
    if len(start) < HEADER_DTYPE.itemsize:
        raise CellsegError(
            f"{path.name}: truncated, {len(start):,} of at least {HEADER_DTYPE.itemsize:,} bytes",
            "an MRC file",
            "copy it again",
        )
    for byteorder in "<>":
        header = np.frombuffer(start, HEADER_DTYPE.newbyteorder(byteorder))[0]
        if int(header["mode"]) in MODES and min(_shape(header)) >= 0 and int(header["nsymbt"]) >= 0:
            if bytes(header["map"]) != b"MAP ":
                logger.info("%s: the MRC header lacks the word MAP", path.name)
            return header
    raise CellsegError(
        f"{path.name}: no MRC header (or a mode other than 0, 1, 2, 6, 12)",
        "an MRC micrograph",
        "check what wrote the file",
    )


def _shape(header: Any) -> tuple[int, int, int]:
    return int(header["nz"]), int(header["ny"]), int(header["nx"])


def _dtype(header: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = mrcfile.utils.dtype_from_mode(int(header["mode"]))
    return dtype.newbyteorder(header.dtype["mode"].byteorder)


def _offset(header: Any) -> int:
    return int(HEADER_DTYPE.itemsize) + int(header["nsymbt"])


def _open_mapped(path: Path) -> Handle:
    header = _header(path)
    return Handle(np.memmap(path, _dtype(header), "r", _offset(header), _shape(header)))


def _pixel_nm(header: Any, name: str) -> float | None:
    """Return the voxel size; 0 is unknown, and so is 1 angstrom in a header of no version.

    Programs that do not know the size leave either.
    """
    cells, counts = header["cella"], (int(header["my"]), int(header["mx"]))
    angstrom = [
        float(length) / count if count > 0 else 0.0
        for length, count in zip((cells["y"], cells["x"]), counts, strict=True)
    ]
    if angstrom == [1.0, 1.0] and int(header["nversion"]) == 0:
        logger.info("%s: a pixel size of exactly 1 angstrom in an unfinished header is not believed", name)
        return None
    return isotropic_nm(angstrom[0] * 0.1, angstrom[1] * 0.1, name)
