"""Single cells as classes: every cell is cut into rings by how far a pixel is from the cell's own border.

A network that was trained on rings says where a cell ends and where its middle is, also where
cells touch; `objects.instances` makes cells of what it says. A model finds single cells if its
classes are rings.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes

RINGS = Classes.of("cell edge", "cell body", "cell centre")

DEPTHS = (0.0, 1 / 6, 3 / 6, 5 / 6)
"""Mean depth of the background and of each ring: 0 = at the cell's border, 1 = its middle."""


def are_rings(classes: Classes) -> bool:
    """Tell whether classes are the rings of single cells: a model with them finds cells."""
    return classes.targets == RINGS.targets


def ring_labels(instances: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the rings of all cells as annotation indices into `RINGS`.

    The depth of a pixel is its distance to the nearest pixel that is not of its cell, over
    the greatest such distance in that cell: large and small cells have the same three rings.
    The image's edge counts as a border.

    Parameters
    ----------
    instances : (y, x) integer array
        0 = background, then one number a cell, with or without gaps.

    Returns
    -------
    (y, x) uint8
        1 = background, 2 = edge, 3 = body, 4 = centre; every pixel says something.

    Raises
    ------
    CellsegError
        If the numbers are negative or broken.

    Examples
    --------
    >>> ring_labels(np.array([[0, 7, 7, 7, 7, 7, 9]] * 5))[2]
    array([1, 2, 3, 4, 3, 2, 4], dtype=uint8)
    """
    plane = whole_numbers(instances)
    rings = np.ones(plane.shape, np.uint8)
    if not plane.any():
        return rings
    there, dense = np.unique(plane, return_inverse=True)
    dense = dense.reshape(plane.shape) + (0 not in there)  # 0 stays the background
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        if box is None:
            continue
        cell = dense[box] == number
        distance = ndimage.distance_transform_edt(np.pad(cell, 1))[1:-1, 1:-1]
        ring = np.ceil(len(RINGS.targets) * (distance / distance.max()))
        rings[box][cell] = 1 + ring[cell].astype(np.uint8)
    return rings


def whole_numbers(instances: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers of cells as integers.

    Raises
    ------
    CellsegError
        If some are negative or broken.
    """
    plane = np.asarray(instances)
    if plane.dtype.kind == "b":
        return plane.astype(np.uint8)
    low, broken = plane.min(initial=0), plane.dtype.kind not in "iu" and (plane != np.rint(plane)).any()
    if low < 0 or broken:
        raise CellsegError(
            f"numbers of cells from {low:g}" if low < 0 else "numbers of cells with broken parts",
            "whole numbers: 0 = background, then one a cell",
            "save the mask as whole numbers",
        )
    return plane if plane.dtype.kind in "iu" else plane.astype(np.int64)


def looks_like_cells(instances: NDArray[Any], *, most_classes: int = 12) -> bool:
    """Tell whether label numbers look like those of single cells: more than anyone has classes.

    Examples
    --------
    >>> looks_like_cells(np.arange(40).reshape(5, 8)), looks_like_cells(np.array([[0, 1, 2]]))
    (True, False)
    """
    return len(np.unique(instances)) > most_classes + 1
