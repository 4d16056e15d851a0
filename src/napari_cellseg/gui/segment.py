"""The Segment dock: a model, an image, labels and probabilities filling in, what is in sight first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QProgressBar, QVBoxLayout

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.correct import field_in_sight
from napari_cellseg.gui.dock import Dock, button
from napari_cellseg.gui.form import Form
from napari_cellseg.gui.job import Failed, start_job
from napari_cellseg.gui.layers import link_of, linked
from napari_cellseg.gui.opening import next_image, open_image, open_project
from napari_cellseg.gui.prediction.block_process import BlockDone, Loaded, classes_of
from napari_cellseg.gui.prediction.blocks import Block, Segmentation
from napari_cellseg.gui.prediction.explain import ExplainBox
from napari_cellseg.gui.prediction.instances import InstancesBox
from napari_cellseg.gui.prediction.model_row import NO_MODEL, ModelRow
from napari_cellseg.gui.prediction.refine import RefineBox
from napari_cellseg.gui.prediction.result_layers import ResultLayers
from napari_cellseg.gui.project_row import ProjectRow
from napari_cellseg.images.project import Project
from napari_cellseg.nets.backends import BACKENDS
from napari_cellseg.report.progress import duration
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from pathlib import Path

    import napari.viewer

    from napari_cellseg.gui.job import StepsWorker


class SegmentDock(Dock):
    """Run a trained model over an image layer."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.project: Project | None = None
        self.job: StepsWorker | None = None
        self.segmentation: Segmentation | None = None
        self.results: ResultLayers | None = None
        self.stopped = False
        self._build()
        layers = self.viewer.layers
        events = layers.events
        for signal in (events.inserted, events.removed, events.renamed, layers.selection.events.active):
            signal.connect(self._follow)
        self._follow()
        self._show_model()

    def _build(self) -> None:
        self.project_row = ProjectRow(new=False)
        self.project_row.opened.connect(self.set_project)
        self.project_row.failed.connect(lambda text: self.message.say(text, "bad"))
        column = QVBoxLayout()
        column.addWidget(self.project_row)
        self.section("Project", column)

        self.model_row, self.images = ModelRow(), QComboBox()
        self.model_row.changed.connect(self._show_model)
        column, rows = QVBoxLayout(), QFormLayout()
        column.addWidget(self.model_row)
        rows.addRow("image", self.images)
        column.addLayout(rows)
        self.section("Model and image", column)

        choices = {"backend": ["auto", *(name for name in BACKENDS if name != "auto")]}
        self.form = Form(SegmentSettings, basic=("device",), choices=choices)
        column = QVBoxLayout()
        column.addWidget(self.form.native)
        self.section("Settings", column)

        self.start_button = button("Segment", self.start, "What you see now comes first")
        self.next_button = button("Next image, segmented", self.segment_next, "Open the project's next image")
        self.stop_button = button("Stop", self.stop, "Keep what is done")
        self.bar = QProgressBar()
        column, row = QVBoxLayout(), QHBoxLayout()
        row.addWidget(self.start_button)
        row.addWidget(self.stop_button)
        column.addLayout(row)
        column.addWidget(self.next_button)
        column.addWidget(self.bar)
        self.section("Run", column)

        self.instances = InstancesBox(self.viewer)
        self.refining, self.explaining = RefineBox(self.viewer), ExplainBox(self.viewer, self._chosen)
        for title, box in (
            ("Single cells", self.instances),
            ("Clean up the labels", self.refining),
            ("Why?", self.explaining),
        ):
            box.said.connect(self.message.say)
            column = QVBoxLayout()
            column.addWidget(box)
            self.section(title, column)
        self.column.addStretch(1)

    # -- models

    def set_project(self, project: Project) -> None:
        """Offer the models of this project, the newest first."""
        self.project = project
        self.project_row.show_project(project)
        self.model_row.set_project(project)
        self._show_state()

    def _show_model(self) -> None:
        spec = self.model_row.spec
        self.explaining.offer(None if spec is None else spec.classes)
        self.instances.offer(None if spec is None else spec.classes)
        if self.job is None:
            self.message.say("")  # what was said was of another model
        self._show_state()

    def _chosen(self) -> tuple[ImageLayer, Path, str]:
        """Return the image layer, the model file and the device that are chosen.

        Raises
        ------
        CellsegError
            If there is none.
        """
        name, model = self.images.currentText(), self.model_row.path
        if model is None:
            raise CellsegError(NO_MODEL)
        if name not in self.viewer.layers:
            raise CellsegError("no image is open", remedy="open one, or drop a file into the window")
        return self.viewer.layers[name], model, self.form.settings().device

    # -- running

    def start(self) -> None:
        """Segment the chosen image, beginning with what is in sight."""
        if self.job is not None:
            return
        try:
            self._source, _, _ = self._chosen()
            settings = self.form.settings()
            rows, cols = field_in_sight(self._source)
            center = (rows.start + rows.stop) / 2, (cols.start + cols.stop) / 2
            models = self.model_row.paths()
            self.segmentation = Segmentation(self._source, models, center=center, settings=settings)
        except CellsegError as error:
            self.message.say(str(error), "bad")
            return
        self.results = None
        self.bar.setRange(0, 0)
        self.message.say("Loading the model ...", "wait")
        self.job = start_job(
            self.segmentation.blocks(), on_record=self.while_alive(self._record), on_end=self._ended
        )
        self._show_state()

    def stop(self) -> None:
        """Stop after the block in work; what is done stays."""
        if self.job is not None:
            self.segmentation.stop()
            self.stopped = True
            self.message.say("Stopping after the block in work ...", "wait")

    def segment_next(self) -> None:
        """Open the project's next image with its annotation and segment it."""
        if self.project is None or self.job is not None:
            return
        try:
            active = linked(self.viewer, "annotation", project=self.project.path)
            visible = next((layer for layer in active if layer.visible), None)
            self.project = Project.open(self.project.path)  # images may have been added in another dock
            name = next_image(self.project, None if visible is None else link_of(visible).image)
            if name is None:
                raise CellsegError("the project has no other image", remedy="add files in the Annotate dock")
            open_image(self.viewer, self.project, name, alone=True)
        except CellsegError as error:
            self.message.say(str(error), "bad")
            return
        self.images.setCurrentText(
            linked(self.viewer, "image", project=self.project.path, image=name)[0].name
        )
        self.start()

    def _record(self, record: object) -> None:
        if isinstance(record, Failed):
            self.message.say(record.message, "bad")
        elif isinstance(record, Loaded):
            if self._source not in self.viewer.layers:
                self.stop()
                return
            classes, doubt = classes_of(record), record.uncertainty
            self.results = ResultLayers(self.viewer, self._source, classes, record.shape, uncertainty=doubt)
            self._device = record.device
            self.bar.setRange(0, record.blocks)
            self.bar.setFormat("%v of %m blocks")
            self.message.say(f"Segmenting on {record.device}: what you see comes first ...", "wait")
        elif isinstance(record, Block) and self.results is not None:
            self.results.fill(record)
            self.bar.setValue(record.told.done)
            self._tell(record.told)

    def _tell(self, block: BlockDone) -> None:
        if block.done == block.blocks:
            self.message.say(f"Done in {duration(block.seconds_all)}.", "good")
            return
        on = (
            "No GPU: about {} for this image on this CPU"
            if self._device == "cpu"
            else "About {} for this image"
        )
        self.message.say(f"{on.format(duration(block.seconds_all))}, {duration(block.seconds_left)} left.")

    def _ended(self) -> None:
        self.job = None
        if self.results is not None:
            self.results.finish()  # the layers stay when the dock is gone, and are unlocked
        self.while_alive(self._show_end)()

    def _show_end(self) -> None:
        stopped, self.stopped = self.stopped, False
        self.bar.setRange(0, max(1, self.bar.maximum()))
        if self.results is not None:
            if self.bar.value() == self.bar.maximum():
                self.instances.find_at_end(self.results.labels)
            elif stopped:
                self.message.say("Stopped: what is done is in the layers.", "wait")
        elif stopped:
            self.message.say("Stopped.", "wait")
        self._show_state()

    # -- keeping up with the viewer

    def _follow(self, event: object = None) -> None:
        path = open_project(self.viewer)
        if path is not None and (self.project is None or self.project.path != path):
            try:
                self.set_project(Project.open(path))
            except CellsegError as error:
                self.message.say(str(error), "bad")
        names = [
            x.name for x in reversed(self.viewer.layers) if isinstance(x, ImageLayer) and not _made_by_us(x)
        ]
        if names != [self.images.itemText(i) for i in range(self.images.count())]:
            former = self.images.currentText()
            self.images.clear()
            self.images.addItems(names)
            if former in names:
                self.images.setCurrentText(former)
        self.refining.offer()
        self.instances.offer(None if self.model_row.spec is None else self.model_row.spec.classes)
        self._show_state()

    def _show_state(self) -> None:
        running = self.job is not None
        able = not running and self.model_row.path is not None
        self.start_button.setEnabled(able and self.images.count() > 0)
        self.next_button.setEnabled(able and self.project is not None)
        self.stop_button.setEnabled(running)

    def closed(self) -> None:
        """Stop what runs; its layers stay."""
        self.stop()
        self.refining.closed()
        self.explaining.closed()


def _made_by_us(layer: ImageLayer) -> bool:
    link = link_of(layer)
    return link is not None and link.role != "image"
