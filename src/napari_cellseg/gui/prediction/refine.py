"""The part of the Segment dock that cleans up labels: a list of steps, live on what is in sight."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.correct import field_in_sight
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.job import Failed, start_job
from napari_cellseg.gui.layers import (
    KEY,
    add_layer,
    link_of,
    linked,
    place_within,
    remember,
    set_classes,
    unfinished,
)
from napari_cellseg.gui.prediction.refining import (
    around,
    check_replaceable,
    refine_steps,
    replace_labels,
    whole,
)
from napari_cellseg.gui.prediction.step_list import StepList

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_cellseg.gui.job import StepsWorker

SOON_MS = 300  # from the last change to its preview


class RefineBox(QWidget):
    """Which labels, which steps, and what becomes of them.

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
        self._hidden: Labels | None = None  # what the preview stands in for
        self.results, self.steps = QComboBox(), StepList()
        self.results.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.preview = QCheckBox("preview what is in sight")
        self.over = QCheckBox("also what was painted")
        self.over.setToolTip("Change labels in place even where somebody corrected them by hand")
        rows, row, column = QFormLayout(), QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        rows.addRow("labels", self.results)
        row.addWidget(button("Into a new layer", self.to_new_layer, "Leaves the labels as they are"))
        row.addWidget(button("Change these labels", self.in_place, "Ctrl+Z on the labels takes it back"))
        column.addLayout(rows)
        column.addWidget(self.steps)
        column.addWidget(self.preview)
        column.addLayout(row)
        column.addWidget(self.over)
        self._soon = QTimer(self, singleShot=True, interval=SOON_MS)
        self._soon.timeout.connect(self.show_preview)
        self.results.currentIndexChanged.connect(lambda index: self.end_preview())
        self.steps.changed.connect(self._ask_preview)
        self.steps.changed.connect(lambda: self.said.emit("", "plain"))
        self.steps.refused.connect(lambda text: self.said.emit(text, "bad"))
        self.preview.toggled.connect(self._toggle_preview)
        viewer.scene.camera.events.connect(self._ask_preview)
        self.offer()

    def offer(self) -> None:
        """List the labels that networks made, the topmost first."""
        names = [layer.name for layer in linked(self.viewer, "labels")]
        if names != [self.results.itemText(i) for i in range(self.results.count())]:
            former = self.results.currentText()
            self.results.clear()
            self.results.addItems(names)
            if former in names:
                self.results.setCurrentText(former)
        self.setEnabled(bool(names))

    @property
    def labels(self) -> Labels | None:
        """The labels to clean up."""
        name = self.results.currentText()
        return next((layer for layer in linked(self.viewer, "labels") if layer.name == name), None)

    # -- preview

    def _toggle_preview(self, wanted: bool) -> None:
        if wanted:
            self.show_preview()
        else:
            self.end_preview()

    def _ask_preview(self, event: object = None) -> None:
        if self.preview.isChecked():
            self._soon.start()

    def show_preview(self) -> None:
        """Compute what is in sight and show it in place of the labels."""
        labels = self.labels
        if not self.preview.isChecked() or labels is None:
            return
        if self.job is not None:
            self._soon.start()
            return
        region = field_in_sight(labels)
        outer, inner = around(region, labels)

        def show(plane: np.ndarray) -> None:
            self._show_plane(labels, plane[inner], region)

        with self._telling():
            self._start(refine_steps(self.viewer, labels, self.steps.chain, outer), show)

    def _show_plane(self, labels: Labels, plane: np.ndarray, region: tuple[slice, slice]) -> None:
        if not self.preview.isChecked() or labels not in self.viewer.layers:
            return
        place = place_within(labels, region[0].start, region[1].start)
        shown = linked(self.viewer, "preview")
        if shown:
            shown[0].data = plane
            shown[0].translate = place["translate"]
            return
        link, active = link_of(labels), self.viewer.layers.selection.active
        layer = self.viewer.add_labels(
            plane,
            name=f"{link.image} preview",
            metadata={KEY: replace(link, role="preview", result="")},
            opacity=labels.opacity,
            **place,
        )
        set_classes(layer, link.classes)
        layer.editable = False
        self._hidden, labels.visible = labels, False
        self.viewer.layers.selection.active = active

    def end_preview(self) -> None:
        """Take the preview off and show the labels again."""
        self.preview.setChecked(False)
        for layer in linked(self.viewer, "preview"):
            self.viewer.layers.remove(layer)
        if self._hidden is not None:
            self._hidden.visible = True
        self._hidden = None

    # -- the whole image

    def to_new_layer(self) -> None:
        """Add the labels of the whole image after all steps as a layer of its own."""

        def add(labels: Labels, plane: np.ndarray) -> None:
            link = link_of(labels)
            name = f"{link.image} labels refined"
            made = add_layer(self.viewer, "labels", plane, like=labels, name=name, link=link)
            made.opacity = labels.opacity
            set_classes(made, link.classes)
            remember(made)
            labels.visible = False
            self.said.emit(f"Put into '{made.name}'.", "good")

        with self._telling():
            self._compute_whole(self._present(), add)

    def in_place(self) -> None:
        """Change the labels themselves; refused where somebody worked on them, unless it is wanted."""

        def change(labels: Labels, plane: np.ndarray) -> None:
            changed = replace_labels(labels, plane)
            self.viewer.layers.selection.active = labels
            self.said.emit(f"Changed {changed:,} pixels. Ctrl+Z takes it back.", "good")

        with self._telling():
            labels = self._present()
            check_replaceable(labels, painted_too=self.over.isChecked())
            self._compute_whole(labels, change)

    def _present(self) -> Labels:
        if self.labels is None:
            raise CellsegError("no labels are chosen", remedy="segment an image first")
        if unfinished([self.labels]):
            raise CellsegError(f"'{self.labels.name}' is not finished", remedy="wait until it is segmented")
        return self.labels

    def _compute_whole(self, labels: Labels, then: Callable[[Labels, np.ndarray], None]) -> None:
        if self.job is not None:
            return
        if not self.steps.chain:
            raise CellsegError("there is no step", remedy="add one")
        steps = refine_steps(self.viewer, labels, self.steps.chain, whole(labels))
        self.end_preview()
        self.said.emit("Cleaning up the whole image ...", "wait")
        editable, labels.editable = labels.editable, False  # or strokes of these seconds would be lost

        def show(plane: np.ndarray) -> None:
            if labels in self.viewer.layers:
                then(labels, plane)

        def give_back() -> None:
            labels.editable = editable

        self._start(steps, show, give_back)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Show what the user can put right in the dock."""
        try:
            yield
        except CellsegError as error:
            self.said.emit(str(error), "bad")

    def _start(
        self,
        steps: Generator[np.ndarray, None, None],
        then: Callable[[np.ndarray], None],
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        def record(found: object) -> None:
            if isinstance(found, Failed):
                self.said.emit(found.message, "bad")
            else:
                then(found)

        def ended() -> None:
            self.job = None
            at_end()

        self.job = start_job(steps, on_record=record, on_end=ended)

    def closed(self) -> None:
        """Give the viewer back as it was."""
        self._soon.stop()
        self.viewer.scene.camera.events.disconnect(self._ask_preview)
        self.end_preview()
