"""The part of the Annotate dock that copies a prediction into the annotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.correct import drawn_region, field_in_sight, fill, take_over
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.layers import KEY, Link, link_of, linked, place_of

if TYPE_CHECKING:
    import numpy as np
    from napari.components import ViewerModel
    from numpy.typing import NDArray

IN_SIGHT, DRAWN, WHOLE = "what is in sight", "the drawn area", "the whole image"
COPY_KEY = "G"


class CopyBox(QWidget):
    """Which prediction, how much of it, and whether over what is annotated.

    Signals
    -------
    wanted()
        "Copy" was pressed.
    area_wanted()
        "Draw an area" was pressed.
    mask_wanted()
        "From a mask file ..." was pressed.
    """

    wanted = Signal()
    area_wanted = Signal()
    mask_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.predictions, self.where = QComboBox(), QComboBox()
        self.where.addItems([IN_SIGHT, DRAWN, WHOLE])
        self.over = QCheckBox("replace what is annotated")
        self.over.setToolTip("Off: only pixels that are not annotated are filled")
        layout.addRow("from", self.predictions)
        layout.addRow("take", self.where)
        layout.addRow("", self.over)
        row = QHBoxLayout()
        row.addWidget(button("Draw an area", self.area_wanted.emit, "Circle what you want with the lasso"))
        row.addWidget(button(f"Copy ({COPY_KEY})", self.wanted.emit, "Ctrl+Z takes it back"))
        layout.addRow(row)
        layout.addRow(
            button("From a mask file ...", self.mask_wanted.emit, "Fill the annotation from a picture")
        )

    def offer(self, viewer: ViewerModel, annotation: Labels | None) -> None:
        """List the label layers that may be copied, predictions of this image first."""
        layers = [x for x in reversed(viewer.layers) if isinstance(x, Labels) and x != annotation]
        image = None if annotation is None else link_of(annotation).image
        layers.sort(
            key=lambda x: not (link_of(x) and link_of(x).role == "labels" and link_of(x).image == image)
        )
        names, former = [layer.name for layer in layers], self.predictions.currentText()
        if names != [self.predictions.itemText(i) for i in range(self.predictions.count())]:
            self.predictions.clear()
            self.predictions.addItems(names)
            if former in names:
                self.predictions.setCurrentText(former)

    def draw_area(self, viewer: ViewerModel, annotation: Labels) -> None:
        """Add a shapes layer over the image, or take the one there, with the lasso at hand."""
        link = link_of(annotation)
        areas = linked(viewer, "area", image=link.image)
        if areas:
            shapes = areas[0]
        else:
            area = Link("area", link.image, link.project)
            shapes = viewer.add_shapes(
                ndim=2, name=f"{link.image} area", metadata={KEY: area}, opacity=0.4, **place_of(annotation)
            )
        viewer.layers.selection.active = shapes
        shapes.mode = "add_polygon_lasso"
        self.where.setCurrentText(DRAWN)

    def copy(self, viewer: ViewerModel, annotation: Labels | None) -> str:
        """Copy as chosen and return what happened, in a sentence.

        Raises
        ------
        CellsegError
            If there is nothing to copy from, or no area is drawn.
        """
        name = self.predictions.currentText()
        if annotation is None or name not in viewer.layers:
            raise CellsegError("there is no prediction to copy", remedy="open an image and segment it first")
        region, mask = field_in_sight(annotation), None
        if self.where.currentText() == WHOLE:
            region = None
        elif self.where.currentText() == DRAWN:
            areas = linked(viewer, "area", image=link_of(annotation).image)
            if not areas:
                raise CellsegError("no area is drawn", remedy="press 'Draw an area' and circle what you want")
            region, mask = drawn_region(areas[0], annotation)
        changed = take_over(annotation, viewer.layers[name], region, mask, replace=self.over.isChecked())
        viewer.layers.selection.active = annotation
        return self._told(changed)

    def copy_mask(self, annotation: Labels, labels: NDArray[np.integer]) -> str:
        """Fill an annotation with the labels (y, x) of a mask and return what happened, in a sentence."""
        everything = tuple(slice(0, side) for side in labels.shape)
        return self._told(fill(annotation, labels, everything, replace=self.over.isChecked()))

    def _told(self, changed: int) -> str:
        kept = "" if self.over.isChecked() else "; what was annotated is kept"
        return f"Copied {changed:,} pixels{kept}. Ctrl+Z takes it back."
