"""Cells that are objects of a labels layer: from the cell to its place in the field, and back; colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_cellseg.gui.cells.classes import class_colors
from napari_cellseg.gui.cells.curation import KINDS
from napari_cellseg.gui.cells.orders import margin

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_cellseg.gui.cells.set import Cells

UNSURE = "#808080"  # of an object without a class


class FieldLink:
    """Centres the object of a chosen cell, and tells the cell of a picked object.

    Parameters
    ----------
    viewer : ViewerModel
    cells : Cells
        Without a layer there is nothing to do.
    picked : callable
        Called with the index of the cell whose label was picked in the layer.
    """

    def __init__(self, viewer: ViewerModel, cells: Cells, picked: Callable[[int], None]) -> None:
        self.viewer, self.cells, self.picked = viewer, cells, picked
        self._busy = False
        if cells.layer is not None:
            cells.layer.events.selected_label.connect(self._follow)

    def center(self, cell: int) -> None:
        """Show a cell's object in the middle of the window, at the zoom there is."""
        layer = self.cells.layer
        place = self.cells.place_of(cell)
        if layer is None or place is None or layer not in self.viewer.layers:
            return
        world = np.asarray(layer.data_to_world(place))[-2:]
        self.viewer.scene.camera.center = (0, *world.tolist())
        self._busy = True
        layer.selected_label = int(self.cells.field.labels[cell])
        self._busy = False

    def close(self) -> None:
        """Let go of the layer."""
        if self.cells.layer is not None:
            self.cells.layer.events.selected_label.disconnect(self._follow)

    def _follow(self, event: object = None) -> None:
        if self._busy:
            return
        found = np.flatnonzero(self.cells.field.labels == self.cells.layer.selected_label)
        if len(found):
            self.picked(int(found[0]))


def show_classes(cells: Cells) -> None:
    """Colour the objects of the layer by class and put what is known of them into its features.

    The columns are index, class, ``p_<class>`` for each class, margin and status.
    """
    layer = cells.layer
    curation = cells.curation
    if layer is None or not ((curation.current >= 0).any() or curation.evidence is not None):
        return  # nothing is known: the layer keeps its colours
    colors = dict(enumerate(class_colors(curation.classes))) | {-1: UNSURE}
    table = {None: "transparent", 0: "transparent"}
    numbers = cells.field.labels.tolist()
    table |= {number: colors[label] for number, label in zip(numbers, curation.current.tolist(), strict=True)}
    layer.colormap = DirectLabelColormap(color_dict=table)
    layer.features = features_of(cells)


def features_of(cells: Cells) -> dict[str, list]:
    """Return the columns of the layer's features, one row an object."""
    curation = cells.curation
    names = np.where(curation.labels() == "", "unclassified", curation.labels())
    columns: dict[str, list] = {"index": cells.field.labels.tolist(), "class": names.tolist()}
    if curation.probabilities is not None:
        for k, name in enumerate(curation.classes):
            columns[f"p_{name}"] = curation.probabilities[:, k].tolist()
        columns["margin"] = margin(curation.probabilities).tolist()
    columns["status"] = np.array(KINDS)[curation.kinds].tolist()
    return columns
