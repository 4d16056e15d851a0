"""Files of points as what a network learns from: a disc around every point is the class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import READERS, read_coordinates
from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.point_labels import point_labels

POINT_FILES = tuple(sorted({suffix for reader in READERS.values() for suffix in reader.suffixes}))
"""Suffixes of files that may hold points."""


def read_point_mask(path: Path, image: Image, radius: float) -> NDArray[np.uint8]:
    """Return the points of a file as annotation indices: 1 = background, 2 = a disc around each.

    Parameters
    ----------
    path : Path
        A table with X and Y, a Points layer that napari saved, or any of `READERS`.
    image : Image
        Where they are.
    radius : float
        Of the discs in nm; in pixels where the image has no pixel size.

    Raises
    ------
    CellsegError
        If the file cannot be read, or none of its points lies in the image.
    """
    source = None if image.path is None else image.path
    found = read_coordinates(path, image=source, shape=image.shape, pixel_nm=image.pixel_nm)
    if not len(found.points) and found.filaments:
        raise CellsegError(
            f"{path.name}: {len(found.filaments)} filaments and no points",
            "a table of points, X and Y",
            "give another file, or use masks",
        )
    try:
        return point_labels(found.points, image.shape, radius / (image.pixel_nm or 1.0))
    except CellsegError as error:
        raise CellsegError(f"{path.name}: {error.found}", error.expected, error.remedy) from None
