"""Where the cells come from: a folder, a file, or the objects of a labels layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.cells.field import show_classes
from napari_cellseg.gui.cells.set import Cells, Remembered, Scratch, cut_cells, left_out_line, open_cells
from napari_cellseg.gui.cells.store import SUFFIX
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.job import Failed, start_job
from napari_cellseg.gui.layers import image_from, link_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel

    from napari_cellseg.gui.job import StepsWorker

SCRATCH = "napari-cellseg cells"  # where the metadata of a layer without a file hold a folder
LOST = "The image has no file: labels are kept only until napari is closed."
KINDS = "Cells (*.zip *.csv *.tsv *.lst *.roi *.adc *.hdr *.tif *.tiff *.png *.jpg);;All files (*)"


class CropRow(QWidget):
    """Name and number of the cells, "Folder ...", "File ..."; below, image and labels layer.

    Signals
    -------
    opened(Cells)
    said(str, str)
        What happens, and its tone.
    """

    opened = Signal(object)
    said = Signal(str, str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer, self.job = viewer, None
        self._newest: Cells | None = None
        self.name, self.labels, self.images = QLabel("no cells open"), QComboBox(), QComboBox()
        self.name.setMinimumWidth(60)
        column, head, self._field = QVBoxLayout(self), QHBoxLayout(), QWidget()
        for layout in (column, head):
            layout.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self.name, 1)
        head.addWidget(button("Folder ...", self._ask_folder, "IDEAS export, class folders, IFCB, FlowCam"))
        head.addWidget(button("File ...", self._ask_file, "EcoTaxa zip, CSV table, one run or bin"))
        column.addLayout(head)
        row = QHBoxLayout(self._field)
        row.setContentsMargins(0, 0, 0, 0)
        for title, box in (("objects of", self.labels), ("in", self.images)):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(6)
            row.addWidget(QLabel(title))
            row.addWidget(box, 1)
        row.addWidget(button("Take", self.take_objects, "Every object of the labels layer becomes a cell"))
        column.addWidget(self._field)
        for event in (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.events.renamed,
        ):
            event.connect(self._follow)
        self._follow()

    def open(self, path: Path) -> StepsWorker | None:
        """Open the cells of a folder or file, in the background."""
        return self._begin(open_cells(path), f"Reading {path.name} ...")

    def take_objects(self) -> StepsWorker | None:
        """Open the objects of the chosen labels layer as cells."""
        labels, image = self.labels.currentText(), self.images.currentText()
        if labels not in self.viewer.layers or image not in self.viewer.layers:
            self.said.emit("a labels layer and its image are needed", "bad")
            return None
        layer, source = self.viewer.layers[labels], self.viewer.layers[image]
        if layer.multiscale or layer.ndim != 2:
            self.said.emit(f"'{labels}' is a pyramid or a stack: take one plane of labels", "bad")
            return None
        try:
            pixels, folder = image_from(source), curation_folder(source, layer)
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return None
        return self._begin(cut_cells(pixels, np.array(layer.data), layer, folder), "Cutting objects out ...")

    def show_cells(self, cells: Cells) -> None:
        """Show the name and the number of the cells."""
        self.name.setText(f"<b>{cells.crops.name}</b>: {len(cells.crops):,} cells")
        self.name.setToolTip(f"{cells.source or cells.crops.name}\nlabels are kept in {cells.folder}")

    def _begin(self, steps: Generator, text: str) -> StepsWorker | None:
        if self.job is not None:
            return None
        self.said.emit(text, "wait")
        self.job = start_job(steps, on_record=self._record, on_end=self._ended)
        return self.job

    def _record(self, record: object) -> None:
        if not isalive(self):  # the dock was closed meanwhile
            return
        if isinstance(record, Failed):
            self.said.emit(record.message, "bad")
        elif isinstance(record, Cells):
            self._newest = record
            crops = record.crops
            strangers = f"{record.strangers:,} labels are of other cells." * bool(record.strangers)
            unsafe = LOST * (record.layer is not None and SCRATCH in record.layer.metadata)
            lines = (*crops.notices, left_out_line(crops.left_out), strangers, unsafe)
            self.said.emit(" ".join(filter(None, lines)), "wait" if unsafe else "plain")
            if record.layer is not None:
                record.changed.connect(lambda what: show_classes(record))
            self.opened.emit(record)
        elif isinstance(record, Remembered) and self._newest is not None:
            self._newest.remember(record)

    def _ended(self) -> None:
        self.job = None

    def _follow(self, event: object = None) -> None:
        for box, kind in ((self.labels, Labels), (self.images, ImageLayer)):
            names = [layer.name for layer in reversed(self.viewer.layers) if type(layer) is kind]
            if names != [box.itemText(k) for k in range(box.count())]:
                former = box.currentText()
                box.clear()
                box.addItems(names)
                box.setCurrentIndex(max(0, box.findText(former)))
        self._field.setVisible(self.labels.count() > 0 and self.images.count() > 0)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a folder of cells")
        if path:
            self.open(Path(path))

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open cells", "", KINDS)
        if path:
            self.open(Path(path))


def curation_folder(source: ImageLayer, layer: Labels) -> Path:
    """Return where labels of a field's objects are kept: project, beside the file, else with the layer."""
    link = link_of(source)
    name = f"{source.name if link is None else link.image}{SUFFIX}"
    if link is not None and link.project is not None:
        return link.project / "results" / name
    path = link.path if link is not None else source.source.path
    if path is not None:
        return Path(path).with_name(name)
    return layer.metadata.setdefault(SCRATCH, Scratch()).path / name
