"""Points as a class: a disc around every point, so that whatever trains on labels trains on points.

A network that was trained on discs says where a point may be, as probabilities;
`objects.points` makes points of what it says.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cellseg.errors import CellsegError

BACKGROUND, POINT = 1, 2


def point_labels(points: ArrayLike, shape: tuple[int, int], radius_px: float) -> NDArray[np.uint8]:
    """Return a plane of annotation indices with a disc around every point.

    Every pixel says something, so all points in the field have to be there.

    Parameters
    ----------
    points : (n, 2)
        Rows and columns; those outside of the field are left out.
    shape : (y, x)
        Size of the image.
    radius_px : float
        Radius of a disc in pixels; the pixel that holds the point belongs to it in any case.

    Returns
    -------
    (y, x) uint8
        1 = background, 2 = point.

    Raises
    ------
    CellsegError
        If a point is not finite, none lies in the field, or the radius is negative.

    Examples
    --------
    >>> point_labels([[1, 2]], (3, 5), 1)
    array([[1, 1, 2, 1, 1],
           [1, 2, 2, 2, 1],
           [1, 1, 2, 1, 1]], dtype=uint8)
    """
    places = np.asarray(points, np.float64).reshape(-1, 2)
    if not np.isfinite(places).all():
        raise CellsegError("a point that is not a number", "finite rows and columns")
    if not radius_px >= 0:
        raise CellsegError(f"discs with a radius of {radius_px:g} px", "0 or more")
    inside = places[((places >= -0.5) & (places < np.asarray(shape) - 0.5)).all(axis=1)]
    if not len(inside):
        raise CellsegError(
            f"{len(places)} points, none in the image of {shape[0]} x {shape[1]} px",
            "points in pixels of this image",
            "are they of another image, or in nm?",
        )
    plane = np.full(shape, BACKGROUND, np.uint8)
    reach = int(np.ceil(radius_px))
    for place in inside:
        row, col = np.rint(place).astype(int)
        top, left = max(0, row - reach), max(0, col - reach)
        part = plane[top : row + reach + 1, left : col + reach + 1]
        rows, cols = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        part[np.hypot(rows - place[0], cols - place[1]) <= radius_px] = POINT
        plane[row, col] = POINT
    return plane
