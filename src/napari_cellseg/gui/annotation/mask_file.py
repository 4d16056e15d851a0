"""A mask or points in a file as labels for an annotation: what is the class is asked, never assumed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import link_of, pixel_nm_of
from napari_cellseg.images.instance_rings import RINGS, are_rings
from napari_cellseg.settings import TrainSettings

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellseg.formats.masks import Polarity

FILES = "Masks and points (*.png *.tif *.tiff *.jpg *.jpeg *.mrc *.csv *.star);;All files (*)"
POINTS = (".csv", ".tsv", ".star")
RADIUS_NM = TrainSettings().point_radius_nm
SIDES: dict[Polarity, str] = {
    "bright": "the brighter side",
    "dark": "the darker side",
    "labels": "its numbers: 0 = background, 1 = the first class, ...",
    "instances": "its numbers are those of single cells: 0 = background, then one a cell",
}


def mask_labels(annotation: Labels, path: Path, polarity: Polarity) -> NDArray[Any]:
    """Return the labels (y, x) in a mask file, 1 = background, 2.. = classes.

    Raises
    ------
    CellsegError
        If the file is no mask, of another size than the annotation, or of more classes.
    """
    from napari_cellseg.formats.masks import mask_to_labels  # with dask: a dock opens without it

    classes = link_of(annotation).classes
    if polarity == "instances" and not are_rings(classes):
        raise CellsegError(
            f"a project of {', '.join(classes.targets)}",
            f"the classes {', '.join(RINGS.targets)} for numbers of single cells",
            "make a project with these classes, or train with `--polarity instances`",
        )
    labels = mask_to_labels(_plane(annotation, path), polarity)
    if labels.max() >= len(classes):
        raise CellsegError(
            f"{path.name} holds {labels.max() - 1} classes",
            f"at most {len(classes.targets)} as in the project",
            "add the missing ones with 'Add class ...'",
        )
    return labels


def disc_labels(annotation: Labels, path: Path, radius_nm: float) -> NDArray[Any]:
    """Return labels (y, x) with a disc of the first class around each point of a file.

    Raises
    ------
    CellsegError
        If the file holds no points of this image.
    """
    from napari_cellseg.formats.point_masks import read_point_mask
    from napari_cellseg.images.micrographs import Image

    known = link_of(annotation)
    rows, cols = annotation.data.shape
    plane = np.broadcast_to(np.uint8(0), (int(rows), int(cols)))
    image = Image.from_array(plane, known.image, pixel_nm=pixel_nm_of(annotation))
    return read_point_mask(path, image, radius_nm)


def ask_mask(parent: QWidget, annotation: Labels) -> NDArray[Any] | None:
    """Ask for a mask of an image and for what in it is the class; None if the user does not want to.

    What the mask looks like is said and preselected; it counts only if the user agrees.

    Raises
    ------
    CellsegError
        As `mask_labels`.
    """
    from napari_cellseg.formats.masks import suggest_polarity

    chosen, _ = QFileDialog.getOpenFileName(parent, "Choose a mask of this image", "", FILES)
    if not chosen:
        return None
    path = Path(chosen)
    if path.suffix.lower() in POINTS:
        question = (
            "Radius in nm of the disc around each point\n(in pixels where the image has no pixel size):"
        )
        radius, agreed = QInputDialog.getDouble(parent, path.name, question, RADIUS_NM, 0.1, 1000.0, 1)
        return disc_labels(annotation, path, radius) if agreed else None
    suggestion = suggest_polarity(_plane(annotation, path))
    names, likely = list(SIDES.values()), list(SIDES).index(suggestion.polarity)
    question = f"In this mask, {suggestion.reason}.\nWhat is the class?"
    name, agreed = QInputDialog.getItem(parent, path.name, question, names, likely, False)
    if not agreed:
        return None
    return mask_labels(annotation, path, list(SIDES)[names.index(name)])


def _plane(annotation: Labels, path: Path) -> NDArray[Any]:
    from napari_cellseg.formats.masks import read_mask

    plane = read_mask(path)
    if plane.shape != annotation.data.shape:
        raise CellsegError(
            f"{path.name}: a mask of {plane.shape[0]} x {plane.shape[1]} px",
            f"{annotation.data.shape[0]} x {annotation.data.shape[1]} px like the image",
            "use the mask that belongs to this image, unscaled and uncropped",
        )
    return plane
