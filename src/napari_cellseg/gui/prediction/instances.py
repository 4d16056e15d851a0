"""The part of the Segment dock that makes single cells of what a network said about their rings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.form import Form
from napari_cellseg.gui.job import Failed, start_job
from napari_cellseg.gui.layers import add_layer, link_of, linked, pixel_nm_of, plane_of, remember, unfinished
from napari_cellseg.gui.prediction.refining import probability_planes
from napari_cellseg.images.instance_rings import are_rings
from napari_cellseg.settings import InstanceSettings

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellseg.gui.job import StepsWorker
    from napari_cellseg.images.annotation import Classes
    from napari_cellseg.objects.instances import CellsFound

ROWS = {
    "cell_seed": "part cells from depth",
    "cell_area_px": "least area (px)",
    "cell_threshold": "probability of a cell",
    "cell_smoothing_px": "smoothing (px)",
    "cell_area_nm2": "least area (nm\u00b2)",
    "cell_holes": "fill holes",
}


class InstancesBox(QWidget):
    """Of which result, with which settings; the cells become a labels layer of their own.

    Signals
    -------
    said(text, tone)
        Something for the message line.
    """

    said = Signal(str, str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.job: StepsWorker | None = None
        self.results = QComboBox()
        self.results.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.form = Form(InstanceSettings, basic=("cell_seed", "cell_area_px"), labels=ROWS)
        self.at_end = QCheckBox("as soon as an image is segmented")
        self.at_end.setChecked(True)
        self.find_button = button("Find the cells", self.find, "A new layer in which every cell has a number")
        rows, column = QFormLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        rows.addRow("result", self.results)
        column.addLayout(rows)
        column.addWidget(self.form.native)
        column.addWidget(self.find_button)
        column.addWidget(self.at_end)

    def offer(self, classes: Classes | None) -> None:
        """List the results that rings of cells are in; hide if there are none and none to come.

        Parameters
        ----------
        classes : Classes or None
            Those of the chosen model.
        """
        names = [layer.name for layer in linked(self.viewer, "labels") if _of_rings(layer)]
        if names != [self.results.itemText(i) for i in range(self.results.count())]:
            former = self.results.currentText()
            self.results.clear()
            self.results.addItems(names)
            if former in names:
                self.results.setCurrentText(former)
        self.find_button.setEnabled(bool(names) and self.job is None)
        section = self.parentWidget()
        if section is not None:
            section.setVisible(bool(names) or (classes is not None and are_rings(classes)))

    def find_at_end(self, labels: Labels) -> None:
        """Find the cells of a result that has just been made, if that is wanted."""
        if self.at_end.isChecked() and _of_rings(labels) and labels in self.viewer.layers:
            self.results.setCurrentText(labels.name)
            self.find()

    def find(self) -> None:
        """Find the cells of the chosen result in the background and add them as a layer."""
        if self.job is not None:
            return
        try:
            labels = self._chosen()
            steps = self._steps(labels, self.form.settings())
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return

        def record(found: CellsFound | NDArray[np.int32] | Failed) -> None:
            if isinstance(found, Failed):
                self.said.emit(found.message, "bad")
            elif isinstance(found, np.ndarray):
                self._show(labels, found)
            else:
                self.said.emit(f"{found.cells:,} cells, block {found.done} of {found.total} ...", "wait")

        def ended() -> None:
            self.job = None
            self.find_button.setEnabled(self.results.count() > 0)

        self.said.emit("Finding the cells ...", "wait")
        self.find_button.setEnabled(False)
        self.job = start_job(steps, on_record=record, on_end=ended)

    def _chosen(self) -> Labels:
        name = self.results.currentText()
        found = [layer for layer in linked(self.viewer, "labels") if layer.name == name]
        if not found:
            raise CellsegError("no result is chosen", remedy="segment an image with a model of single cells")
        if unfinished(found[:1]):
            raise CellsegError(f"'{name}' is not finished", remedy="wait until it is segmented")
        return found[0]

    def _steps(
        self, labels: Labels, settings: InstanceSettings
    ) -> Generator[CellsFound | NDArray[np.int32], None, None]:
        """Return a job that yields how far it is, then the cells; layers are looked at now."""
        planes, pixel_nm, shape = (
            probability_planes(self.viewer, labels),
            pixel_nm_of(labels),
            plane_of(labels).shape,
        )
        if planes is None:
            raise CellsegError(
                f"the probabilities of '{labels.name}' are not open",
                "their layers",
                "open or segment the image again",
            )

        def steps() -> Generator[CellsFound | NDArray[np.int32], None, None]:
            from napari_cellseg.objects.instances import find_instances_blockwise  # with scipy

            rings = [np.asarray(plane) for plane in planes]
            background = 255 - np.minimum(sum(ring.astype(np.uint16) for ring in rings), 255)
            said, out = np.stack([background.astype(np.uint8), *rings]), np.zeros(shape, np.int32)
            yield from find_instances_blockwise(said, out, settings=settings, pixel_nm=pixel_nm)
            yield out

        return steps()

    def _show(self, labels: Labels, cells: NDArray[np.int32]) -> None:
        if labels not in self.viewer.layers:
            return
        link, active = link_of(labels), self.viewer.layers.selection.active
        made = add_layer(
            self.viewer,
            "labels",
            cells,
            like=labels,
            name=f"{link.image} cells",
            link=replace(link, role="instances", classes=None),
            opacity=0.6,
        )
        remember(made)
        labels.visible = False
        self.viewer.layers.selection.active = active
        self.said.emit(f"{cells.max(initial=0):,} cells are in '{made.name}'.", "good")


def _of_rings(layer: Labels) -> bool:
    link = link_of(layer)
    return link is not None and link.classes is not None and bool(link.result) and are_rings(link.classes)
