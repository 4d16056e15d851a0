"""Label planes on disk: one compressed zarr a plane, replaced as a whole."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import plane_blocks
from napari_cellseg.images.whole_files import recover_whole, replace_whole

CHUNK_PX = 1024
_TRIES, _PAUSE_SECONDS = 100, 0.02  # of a reader, while another program swaps the plane


def write_plane(path: Path, labels: Any, attributes: dict[str, Any]) -> None:
    """Write a label plane; a kill at any moment leaves the former one or this one, whole.

    Parameters
    ----------
    path : Path
        The ``.zarr`` folder to make or replace.
    labels : (y, x) integer array
        Values from 0 to 65535; stored as uint8 where they fit.
    attributes : dict
        What to store with it, ready for JSON.

    Raises
    ------
    CellsegError
        If the values do not fit or the disk does not take them.
    """
    import zarr

    dtype = _smallest_type(path, labels)
    with replace_whole(path) as part:
        plane = zarr.create_array(
            part,
            shape=labels.shape,
            dtype=dtype,
            chunks=tuple(max(1, min(CHUNK_PX, side)) for side in labels.shape),
            fill_value=0,
            attributes=attributes,
            dimension_names=("y", "x"),
            zarr_format=3,
        )
        for rows, cols in plane_blocks(labels.shape, 4 * CHUNK_PX):
            plane[rows, cols] = np.asarray(labels[rows, cols]).astype(dtype, copy=False)


def read_plane(path: Path) -> tuple[NDArray[np.unsignedinteger[Any]], dict[str, Any]]:
    """Return a plane (y, x) and its attributes, all from the same moment.

    A plane that is replaced while it is read is read again: it is never a mixture.

    Raises
    ------
    CellsegError
        If the plane is not there or damaged.
    """
    import zarr

    for attempt in range(_TRIES):
        before, failure = _identity(path), None
        if before is not None:
            try:
                plane = zarr.open_array(path, mode="r")
                labels, attributes = np.asarray(plane[...]), dict(plane.attrs)
            except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
                failure = error
            if _identity(path) == before:
                if failure is None:
                    return labels, attributes
                raise CellsegError(
                    f"{path}: damaged labels ({failure})", remedy="restore the folder from a backup"
                ) from failure
        elif not plane_exists(path):
            raise CellsegError(f"{path}: no such labels")
        elif attempt == _TRIES // 2:  # its writer was killed between two renames
            recover_whole(path.parent)
        time.sleep(_PAUSE_SECONDS)
    raise CellsegError(f"{path}: another program keeps writing here", remedy="close it and try again")


def plane_exists(path: Path) -> bool:
    """Tell whether there is a plane, also in the instant in which it is replaced."""
    return path.exists() or any(path.parent.glob(f".old-????????-{path.name}")) or path.exists()


def _smallest_type(path: Path, labels: Any) -> type[np.uint8] | type[np.uint16]:
    if np.dtype(labels.dtype).kind not in "iu":
        raise CellsegError(f"{path.name}: labels of type {labels.dtype}", "whole numbers")
    low, high = 0, 0
    for rows, cols in plane_blocks(labels.shape):
        block = np.asarray(labels[rows, cols])
        low, high = min(low, int(block.min())), max(high, int(block.max()))
    if low < 0 or high > 65535:
        raise CellsegError(f"{path.name}: labels from {low} to {high}", "0 to 65535")
    return np.uint8 if high <= 255 else np.uint16


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a folder from the one that takes its name next."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns
