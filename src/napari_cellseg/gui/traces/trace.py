"""The part of the Filaments dock that traces: in which layer and how, live on what is in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Shapes
from qtpy.compat import isalive
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.correct import field_in_sight
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.form import Form
from napari_cellseg.gui.job import Failed, start_job
from napari_cellseg.gui.layers import KEY, Link, link_of, linked, pixel_nm_of, place_of
from napari_cellseg.gui.traces.contamination import avoided, show_contamination
from napari_cellseg.gui.traces.source import Contamination, Source, micrograph_for, sources, trace_steps
from napari_cellseg.objects.filaments import TRACERS
from napari_cellseg.objects.settings import TraceSettings

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_cellseg.gui.job import StepsWorker
    from napari_cellseg.gui.traces.contamination import Avoided
    from napari_cellseg.images.filament import Filament

SOON_MS = 300  # from the last change to its preview
PREVIEW, PREVIEW_COLOR = "filaments preview", "#00e5ff"
LENGTHS = {
    "min_length": "shortest",
    "gap": "longest gap closed",
    "min_radius": "tightest bend",
    "edge": "margin left out",
    "width": "width",
}
NOTHING = "nothing to trace: segment an image, or open labels or probabilities of filaments"


class TraceBox(QWidget):
    """In which layer and how filaments are traced.

    Signals
    -------
    said(text, tone)
        Something for the message line.
    traced(source, base, filaments)
        Filaments of a whole plane, in pixels of the layer `base`.
    """

    said = Signal(str, str)
    traced = Signal(object, object, object)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.job: StepsWorker | None = None
        self.preview_job: StepsWorker | None = None
        self.stopped = False
        self.sources: list[Source] = []
        self._hidden: list[Layer] = []  # what the preview stands in for
        self.choice = QComboBox()
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.forms = {unit: _form(unit) for unit in ("nm", "px")}
        self.avoid = QCheckBox("not on carbon and ice")
        self.avoid.setToolTip(
            "Nothing is traced on a class called carbon, ice or contamination, where one is painted or "
            "segmented; else where the micrograph is much darker than its ice: that is shown as a layer "
            "to correct"
        )
        self.preview = QCheckBox("preview")
        self.preview.setToolTip("Shows what these settings give for the part in sight, and follows")
        self.start_button = button("Trace the image", self.start, "Filaments corrected by hand are kept")
        self.stop_button = button("Stop", self.stop)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        column, rows, row = QVBoxLayout(self), QFormLayout(), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        rows.addRow("trace in", self.choice)
        column.addLayout(rows)
        for form in self.forms.values():
            column.addWidget(form.native)
            form.changed.connect(self._ask_preview)
        ticks = QHBoxLayout()
        ticks.addWidget(self.preview)
        ticks.addWidget(self.avoid)
        column.addLayout(ticks)
        row.addWidget(self.start_button)
        row.addWidget(self.stop_button)
        column.addLayout(row)
        column.addWidget(self.bar)
        self._soon = QTimer(self, singleShot=True, interval=SOON_MS)
        self._soon.timeout.connect(self.show_preview)
        self.choice.currentIndexChanged.connect(self._show_source)
        self.avoid.toggled.connect(self._ask_preview)
        self.preview.toggled.connect(self._toggle_preview)
        viewer.scene.camera.events.connect(self._ask_preview)
        self.offer()
        self._show_state()

    def offer(self) -> None:
        """List the layers that filaments can be traced in."""
        self.sources = sources(self.viewer)
        titles = [one.title for one in self.sources]
        if titles != [self.choice.itemText(i) for i in range(self.choice.count())]:
            former = self.choice.currentText()
            self.choice.blockSignals(True)
            self.choice.clear()
            self.choice.addItems(titles)
            self.choice.setCurrentIndex(titles.index(former) if former in titles else 0 if titles else -1)
            self.choice.blockSignals(False)
            self._show_source()

    @property
    def source(self) -> Source | None:
        """What to trace in."""
        index = self.choice.currentIndex()
        return self.sources[index] if 0 <= index < len(self.sources) else None

    @property
    def settings(self) -> TraceSettings:
        """The settings as filled in.

        Raises
        ------
        CellsegError
            If a row cannot be understood.
        """
        return self.forms[self._unit()].settings()

    def base(self, source: Source) -> Layer:
        """Return the layer that filaments of a source come to lie upon."""
        return micrograph_for(self.viewer, source.layer) or source.layer

    def _avoided(self, source: Source) -> Avoided | None:
        """Return what says where carbon and ice are, if they are to be left out."""
        if not self.avoid.isChecked():
            return None
        return avoided(self.viewer, source, micrograph_for(self.viewer, source.layer))

    def _unit(self) -> str:
        known = self.source is not None and pixel_nm_of(self.source.layer) is not None
        return "nm" if known or self.source is None else "px"

    def _show_source(self, index: int = 0) -> None:
        for unit, form in self.forms.items():
            form.native.setVisible(unit == self._unit())
        self.choice.setToolTip(self.choice.currentText())
        self._show_state()
        self._ask_preview()

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
        """Trace what is in sight and show it in place of the filaments there are."""
        source = self.source
        if not self.preview.isChecked() or source is None:
            return
        if self.preview_job is not None:
            self._soon.start()
            return
        try:
            region = source.around(field_in_sight(source.layer))
            steps = trace_steps(source, source.layer, self.settings, region, avoid=self._avoided(source))
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return

        def record(found: object) -> None:
            if not isalive(self):
                return  # the dock was closed
            if isinstance(found, Failed):
                self.said.emit(found.message, "bad")
            elif isinstance(found, Contamination):
                return  # shown once the whole image is traced
            elif self.preview.isChecked() and source.layer in self.viewer.layers:
                self._show_paths(source.layer, found)

        def ended() -> None:
            self.preview_job = None

        self.preview_job = start_job(steps, on_record=record, on_end=ended)

    def _show_paths(self, like: Layer, filaments: list[Filament]) -> None:
        self._take_off_preview()
        self.said.emit(f"{len(filaments)} filaments in sight with these settings.", "plain")
        if not self._hidden:
            self._hidden = [one for one in linked(self.viewer, "filaments") if one.visible]
            for layer in self._hidden:
                layer.visible = False
        if not filaments:
            return
        link, active = link_of(like), self.viewer.layers.selection.active
        layer = Shapes(
            [one.path for one in filaments],
            shape_type="path",
            edge_color=PREVIEW_COLOR,
            edge_width=max(1.0, max(self.source.shape) / 600),
            name="filaments preview",
            metadata={KEY: Link(PREVIEW, like.name if link is None else link.image)},
            **place_of(like),
        )
        layer.editable = False
        self.viewer.add_layer(layer)
        self.viewer.layers.selection.active = active

    def _take_off_preview(self) -> None:
        for layer in linked(self.viewer, PREVIEW):
            self.viewer.layers.remove(layer)

    def end_preview(self) -> None:
        """Take the preview off and show the filaments again."""
        self.preview.setChecked(False)
        self._take_off_preview()
        for layer in self._hidden:
            layer.visible = True
        self._hidden = []

    # -- the whole image

    def start(self) -> None:
        """Trace the whole image beside the window."""
        source = self.source
        if self.job is not None:
            return
        if source is None:
            self.said.emit(NOTHING, "bad")
            return
        try:
            base = self.base(source)
            steps = trace_steps(source, base, self.settings, avoid=self._avoided(source))
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return
        self.end_preview()
        self.stopped = False
        self.said.emit("Tracing ...", "wait")
        self.bar.setRange(0, 0)

        def record(found: object) -> None:
            if not isalive(self):
                return  # the dock was closed
            if isinstance(found, Failed):
                self.said.emit(found.message, "bad")
            elif self.stopped:
                return
            elif isinstance(found, Contamination):
                show_contamination(self.viewer, source, found.mask)
            else:
                self.traced.emit(source, base, found)

        self.job = start_job(steps, on_record=record, on_end=self._ended)
        self._show_state()

    def stop(self) -> None:
        """Leave the filaments as they are."""
        if self.job is not None:
            self.stopped = True
            self.said.emit("Stopped: nothing changed.", "wait")
            self._show_state()

    def _ended(self) -> None:
        self.job = None
        if isalive(self):
            self._show_state()

    def _show_state(self) -> None:
        running = self.job is not None and not self.stopped
        self.start_button.setEnabled(self.job is None and self.source is not None)
        self.start_button.setToolTip("Filaments corrected by hand are kept" if self.sources else NOTHING)
        self.stop_button.setEnabled(running)
        self.bar.setVisible(running)

    def closed(self) -> None:
        """Give the viewer back as it was."""
        self._soon.stop()
        self.stop()
        self.viewer.scene.camera.events.disconnect(self._ask_preview)
        self.end_preview()


def _form(unit: str) -> Form:
    other = "px" if unit == "nm" else "nm"
    return Form(
        TraceSettings,
        basic=("threshold", f"min_length_{unit}", f"gap_{unit}"),
        choices={"tracer": tuple(TRACERS)},
        labels={f"{name}_{unit}": f"{label} ({unit})" for name, label in LENGTHS.items()},
        leave_out=("label", *(f"{name}_{other}" for name in LENGTHS)),
    )
