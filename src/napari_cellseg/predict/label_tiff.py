"""Label planes of a result as TIFF, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellseg.images.whole_files import replace_whole

if TYPE_CHECKING:
    from pathlib import Path

    import zarr
    from numpy.typing import DTypeLike, NDArray

    from napari_cellseg.images.micrographs import Image

TILE_PX = 512
BIG_BYTES = 2**32 - 2**25  # from here on a TIFF must be a BigTIFF


def write_label_tiff(
    labels: zarr.Array[Any], target: Path, *, dtype: DTypeLike = np.uint8, pixel_nm: float | None = None
) -> None:
    """Write labels (y, x) as a tiled TIFF, deflate-compressed, a BigTIFF from 4 GB on.

    Parameters
    ----------
    labels : (y, x) zarr array
    target : Path
        The TIFF.
    dtype : dtype
        Of the pixels; wide enough.
    pixel_nm : float, optional
        Written as the resolution.

    Raises
    ------
    CellsegError
        If the disk is full or the folder cannot be written.
    """
    density = None if pixel_nm is None else (1e7 / pixel_nm, 1e7 / pixel_nm)
    kind = np.dtype(dtype)
    with replace_whole(target) as part:
        tifffile.imwrite(
            part,
            (tile.astype(kind) for tile in _tiles(labels)),
            shape=labels.shape,
            dtype=kind,
            tile=(TILE_PX, TILE_PX),
            photometric="minisblack",
            compression="deflate",
            bigtiff=labels.size * kind.itemsize > BIG_BYTES,
            resolution=density,
            resolutionunit=None if density is None else "CENTIMETER",
        )


def holds(written: Image, labels: zarr.Array[Any]) -> bool:
    """Tell whether a label image holds these labels (y, x) and nothing else."""
    if written.shape != labels.shape:
        return False
    bands = (slice(top, top + TILE_PX) for top in range(0, labels.shape[0], TILE_PX))
    return all(np.array_equal(written.read(rows, slice(None))[0], labels[rows]) for rows in bands)


def _tiles(labels: zarr.Array[Any]) -> Iterator[NDArray[Any]]:
    height, width = labels.shape
    for top in range(0, height, TILE_PX):
        band = np.asarray(labels[top : top + TILE_PX])
        band = np.pad(band, [(0, TILE_PX - len(band)), (0, -width % TILE_PX)])
        for left in range(0, width, TILE_PX):
            yield np.ascontiguousarray(band[:, left : left + TILE_PX])
