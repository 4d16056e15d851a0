"""Crops out of a field: every object of a label image becomes one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.crops import Crops, channel_names
from napari_cellseg.images.micrographs import Image


@dataclass(frozen=True, eq=False)
class Boxes:
    """Rectangles of one image, read when asked for."""

    image: Image
    boxes: NDArray[np.int64]

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(c, y, x)``."""
        top, left, bottom, right = self.boxes[row].tolist()
        return self.image.read(slice(top, bottom), slice(left, right))


@dataclass(frozen=True, eq=False)
class FieldObjects:
    """The objects of a field: their crops, and where they are; entry k of each belongs together.

    Attributes
    ----------
    crops : Crops
        Its ids are the label numbers.
    labels : (n,) int
        Number of each object in the label image.
    centres : (n, 2) float64
        Centres of mass (row, col) in pixels of the field.
    boxes : (n, 4) int
        Cut-out: first row, first column, row and column after the last.
    """

    crops: Crops
    labels: NDArray[np.int64]
    centres: NDArray[np.float64]
    boxes: NDArray[np.int64]


def crops_of_labels(
    image: Image, labels: ArrayLike, *, margin_px: int = 4, ids: Sequence[int] = ()
) -> FieldObjects:
    """Return the objects of a label image, each cut from the image with a margin; no pixels are read.

    Parameters
    ----------
    image : Image
        The field.
    labels : (y, x) int
        0 = nothing, then one number an object, with or without gaps.
    margin_px : int
        Pixels around an object, fewer at the image's edge.
    ids : sequence of int
        Objects to take, in this order; else all, by number.

    Raises
    ------
    CellsegError
        If the labels are of another size than the image, hold no object, or not one asked for.

    Examples
    --------
    >>> field = Image.from_array(np.arange(80).reshape(8, 10), "field")
    >>> found = crops_of_labels(field, np.pad([[7, 7]], ((3, 4), (2, 6))), margin_px=1)
    >>> found.labels.tolist(), found.centres.tolist(), found.boxes.tolist()
    ([7], [[3.0, 2.5]], [[2, 1, 5, 5]])
    >>> found.crops.read(0).shape
    (1, 3, 4)
    """
    plane = np.asarray(labels)
    if plane.shape != image.shape or plane.dtype.kind not in "iu":
        found = f"{image.name}: labels of shape {plane.shape}, {plane.dtype}"
        raise CellsegError(found, f"whole numbers of shape {image.shape}, as the image")
    there, dense = np.unique(np.maximum(plane, 0), return_inverse=True)
    if there[0] > 0:  # no pixel is free; find_objects counts from 1 all the same
        there, dense = np.concatenate([[0], there]), dense + 1
    dense = dense.reshape(plane.shape)  # numbers without gaps: a table of all of them fits
    if len(there) < 2:
        found = f"{image.name}: no object in the labels"
        raise CellsegError(found, "at least one", "segment or paint cells first")
    wanted = np.asarray(ids, np.int64) if len(ids) else there[1:].astype(np.int64)
    missing = np.setdiff1d(wanted, there[1:])
    if len(missing):
        raise CellsegError(f"{image.name}: no object {missing[0]} in the labels", "numbers that are there")
    rows = np.searchsorted(there, wanted)
    spans = ndimage.find_objects(dense)
    boxes = np.array(
        [_with_margin(spans[row - 1], plane.shape, margin_px) for row in rows.tolist()], np.int64
    )
    centres = np.array(ndimage.center_of_mass(np.ones_like(dense), dense, rows), np.float64)
    path = str(image.path) if image.path is not None else ""
    crops = Crops(
        name=image.name,
        ids=wanted.astype(np.str_),
        samples=np.full(len(wanted), image.name, np.str_),
        labels=np.full(len(wanted), "", np.str_),
        paths=np.full(len(wanted), path, np.str_),
        channels=channel_names(image.channels),
        source=Boxes(image, boxes),
    )
    return FieldObjects(crops, wanted, centres, boxes)


def _with_margin(span: tuple[slice, slice], shape: tuple[int, ...], margin_px: int) -> tuple[int, ...]:
    (top, bottom), (left, right) = ((part.start, part.stop) for part in span)
    return (
        max(top - margin_px, 0),
        max(left - margin_px, 0),
        min(bottom + margin_px, shape[0]),
        min(right + margin_px, shape[1]),
    )
