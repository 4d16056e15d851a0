"""The Train dock: settings, a training in a process of its own, its curves, stop and resume."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QFileSystemWatcher, QTimer
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLineEdit, QProgressBar, QVBoxLayout

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.curves import Curves
from napari_cellseg.gui.dock import Dock, Message, button
from napari_cellseg.gui.form import Form
from napari_cellseg.gui.job import Beat, Child, Failed, start_job, train_command
from napari_cellseg.gui.opening import open_project, save_all
from napari_cellseg.gui.project_row import ProjectRow
from napari_cellseg.images.annotation import check_trainable
from napari_cellseg.images.project import Project
from napari_cellseg.nets.encoders import ENCODERS
from napari_cellseg.nets.losses import LOSSES
from napari_cellseg.nets.presets import PRESETS, settings_from
from napari_cellseg.nets.segmenters import ARCHITECTURES
from napari_cellseg.report.progress import duration
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train.records import Epoch, Finished, RateFound, RateTrial, Started, Step, from_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari.viewer

    from napari_cellseg.gui.job import StepsWorker

BASIC = ("preset", "minutes", "epochs", "pixel_nm", "architecture", "device")
ROW_LABELS = {"pixel_nm": "pixel size (nm)", "minutes": "time limit (minutes)"}
NO_PROJECT = "no image of a project is open: open a project here, or make one in the Annotate dock"
LOOK_MS = 600  # after the annotations on the disk changed


@dataclass(frozen=True)
class Ready:
    """What can be trained on; `reason` says why not, and is empty if it can."""

    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """The run folder is made; the child process starts."""

    run: Path


class TrainDock(Dock):
    """Train on what is annotated in the open project."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.project: Project | None = None
        self.run: Path | None = None
        self.child: Child | None = None
        self.job: StepsWorker | None = None
        self._look_job: StepsWorker | None = None
        self._ready = Ready(NO_PROJECT)
        self._build()
        self._watcher = QFileSystemWatcher(self.native)
        self._watcher.directoryChanged.connect(lambda path: self._looking.start())
        self._looking = QTimer(self.native)
        self._looking.setSingleShot(True)
        self._looking.setInterval(LOOK_MS)
        self._looking.timeout.connect(self.look)
        layers = self.viewer.layers
        layers.events.inserted.connect(self._follow)
        layers.selection.events.active.connect(self._follow)
        self._follow()
        self._show_state()

    def _build(self) -> None:
        self.project_row, self.reason = ProjectRow(new=False), Message()
        self.project_row.opened.connect(self.set_project)
        self.project_row.failed.connect(lambda text: self.message.say(text, "bad"))
        column = QVBoxLayout()
        column.addWidget(self.project_row)
        column.addWidget(self.reason)
        self.section("Project", column)

        keys = {"preset": PRESETS, "encoder": ENCODERS, "architecture": ARCHITECTURES, "loss": LOSSES}
        choices = {name: list(registry) for name, registry in keys.items()}
        self.form = Form(TrainSettings, basic=BASIC, choices=choices, labels=ROW_LABELS)
        self.form.rows["preset"].changed.connect(self._apply_preset)
        self.about_preset = Message()
        self.about_preset.say(PRESETS[TrainSettings().preset].description)
        self.model_name = QLineEdit()
        self.model_name.setPlaceholderText("model-1, model-2, ...")
        column, names = QVBoxLayout(), QFormLayout()
        column.addWidget(self.about_preset)
        column.addWidget(self.form.native)
        names.addRow("name of the model", self.model_name)
        column.addLayout(names)
        self.section("Settings", column)

        self.start_button = button("Train", self.start, "Train on all annotated images of the project")
        self.stop_button = button("Stop", self.stop, "Stop after the step in work; the best network is kept")
        self.resume_button = button("Resume", self.resume, "Go on with the last training, as it was set")
        self.bar, self.curves = QProgressBar(), Curves()
        column, row = QVBoxLayout(), QHBoxLayout()
        for widget in (self.start_button, self.stop_button, self.resume_button):
            row.addWidget(widget)
        column.addLayout(row)
        column.addWidget(self.bar)
        column.addWidget(self.curves)
        self.section("Training", column)
        self.column.addStretch(1)

    # -- what there is to train on

    def set_project(self, project: Project) -> None:
        """Train on this project."""
        if self._watcher.directories():
            self._watcher.removePaths(self._watcher.directories())
        self.project = project
        self.project_row.show_project(project)
        self._watcher.addPath(str(project.path / "annotations"))
        self.run = next(
            (run for run in reversed(project.runs()) if (run / "last.safetensors").exists()), None
        )
        self.look()

    def _follow(self, event: object = None) -> None:
        path = open_project(self.viewer)
        if path is not None and self.job is None and (self.project is None or self.project.path != path):
            try:
                self.set_project(Project.open(path))
            except CellsegError as error:
                self.message.say(str(error), "bad")

    def look(self) -> None:
        """Find out, in the background, whether there is enough to train on."""
        if self.project is None or self._look_job is not None:
            return
        self._look_job = start_job(
            _readiness(self.project.path),
            on_record=self.while_alive(self._looked),
            on_end=self.while_alive(self._look_ended),
        )

    def _looked(self, record: object) -> None:
        if isinstance(record, Failed):
            record = Ready(record.message)
        if isinstance(record, Ready):
            self._ready = record
        self._show_state()

    def _look_ended(self) -> None:
        self._look_job = None

    def _apply_preset(self, preset: str) -> None:
        self.about_preset.say(PRESETS[preset].description)
        self.form.show_settings(settings_from(preset))

    # -- the training

    def start(self) -> None:
        """Train from the start, in a new run folder."""
        if self.project is None or self.job is not None:
            return
        try:
            settings = self.form.settings()
            save_all(self.viewer, self.project.path)
        except CellsegError as error:
            self.message.say(str(error), "bad")
            return
        self.curves.clear()
        self._begin(self._train(Project.open(self.project.path), settings))

    def resume(self) -> None:
        """Go on with the last training from its last checkpoint."""
        if self.run is None or self.job is not None:
            return
        self.curves.clear()
        for epoch in (record for record in _events(self.run) if isinstance(record, Epoch)):
            self.curves.add(epoch)
        self._begin(self._go_on(self.run, resume=True))

    def stop(self) -> None:
        """Ask the training to stop; what it learned so far is kept."""
        if self.job is None:
            return
        if self.child is not None:
            self.child.cancel()
        else:  # the run folder is still being written
            self.job.quit()
        self.message.say("Stopping after the step in work ...", "wait")
        self.stop_button.setEnabled(False)

    def _train(self, project: Project, settings: TrainSettings) -> Iterator[Any]:
        run = project.new_run(settings)
        yield Prepared(run)
        yield from self._go_on(run)

    def _go_on(self, run: Path, *, resume: bool = False) -> Iterator[Any]:
        self.child = Child(train_command(run, resume=resume), run / "stop", from_line)
        yield from self.child.records()

    def _begin(self, steps: Iterator[Any]) -> None:
        self.message.say("Starting: libraries and images are loaded ...", "wait")
        self.bar.setRange(0, 0)  # no telling how long
        self._left, self._told_at = None, time.monotonic()
        self.job = start_job(
            steps, on_record=self.while_alive(self._record), on_end=self.while_alive(self._ended)
        )
        self._show_state()

    def _record(self, record: object) -> None:
        if isinstance(record, Prepared):
            self.run = record.run
        elif isinstance(record, Started):
            images = f"{record.train_images} image{'s' if record.train_images > 1 else ''}"
            parts = f"{images}, {record.train_windows} windows an epoch, on {record.device}"
            self.message.say("\n".join((f"Training on {parts}.", *record.notices)))
        elif isinstance(record, RateTrial):
            self.bar.setRange(0, record.steps)
            self.bar.setValue(record.step)
            self.bar.setFormat(f"looking for a learning rate: {record.rate:.1e}")
        elif isinstance(record, RateFound):
            self.message.say(f"Training at a rate of {record.rate:.2e}, where the loss fell fastest.")
        elif isinstance(record, Step):
            self._left, self._told_at = record.seconds_left, time.monotonic()
            self.bar.setRange(0, record.steps)
            self.bar.setValue(record.step)
            self._show_left()
        elif isinstance(record, Epoch):
            self.curves.add(record)
        elif isinstance(record, Beat):
            self._show_left()
        elif isinstance(record, Finished):
            self._finished(record)
        elif isinstance(record, Failed):
            self._failed(record.message)

    def _show_left(self) -> None:
        if self._left is not None:
            left = max(0.0, self._left - (time.monotonic() - self._told_at))
            whole = self.bar.value() == self.bar.maximum()
            self.bar.setFormat("writing the model ..." if whole else f"%p %   about {duration(left)} left")

    def _finished(self, record: Finished) -> None:
        how = {"done": "Done", "cancelled": "Stopped", "time": "Time is up"}.get(record.reason, "Done early")
        try:
            kept = self._keep_model(Path(record.model))
        except CellsegError as error:
            self.message.say(f"{how}; the model stays in {record.model}: {error}", "bad")
            return
        self.message.say(
            f"{how} after {duration(record.seconds)}: best score {record.score:.3f} in epoch "
            f"{record.best_epoch}. Model '{kept.stem}' is in the project; the Segment dock has it.",
            "good",
        )

    def _keep_model(self, best: Path) -> Path:
        """Copy the best network into the project under a free name."""
        from napari_cellseg.train.files import copy_model  # with dask: not needed to open the dock

        folder, wished = (
            self.project.path / "models",
            self.model_name.text().strip().removesuffix(".safetensors"),
        )
        number = 1
        path = folder / f"{wished or 'model-1'}.safetensors"
        while path.exists():
            number += 1
            path = folder / f"{wished or 'model'}-{number}.safetensors"
        copy_model(best if best.is_absolute() else self.run / best, path)
        return path

    def _failed(self, why: str) -> None:
        kept = self.run is not None and (self.run / "last.safetensors").exists()
        rest = " Your annotations and the last checkpoint are safe: press Resume to go on." if kept else ""
        self.message.say(f"The training stopped: {why}.{rest}", "bad")

    def _ended(self) -> None:
        self.job, self.child, self._left = None, None, None
        self.bar.setRange(0, max(1, self.bar.maximum()))
        self.bar.setFormat("%p %")
        self._show_state()

    def _show_state(self) -> None:
        running = self.job is not None
        self.start_button.setEnabled(not running and not self._ready.reason)
        self.stop_button.setEnabled(running)
        self.resume_button.setEnabled(not running and self.run is not None and _resumable(self.run))
        if self._ready.reason:
            self.reason.say(f"Cannot train yet: {self._ready.reason}", "wait")
        else:
            self.reason.say("\n".join(self._ready.notes), "good")

    def closed(self) -> None:
        """Stop a training in work as Stop does: its best network is kept in the run folder."""
        if self.child is not None:
            self.child.cancel()


def _readiness(path: Path) -> Iterator[Ready]:
    """Yield whether the project can be trained on; reads the planes, so not on the main thread."""
    annotations = Project.open(path).annotations()
    notices = check_trainable(annotations)
    images = f"{len(annotations)} annotated image{'s' if len(annotations) > 1 else ''}"
    classes = annotations[0].classes.names[1:]
    pixels = ", ".join(f"{name} {sum(a.counts()[name] for a in annotations):,} px" for name in classes)
    yield Ready("", (f"{images}: {pixels}", *notices))


def _events(run: Path) -> list[Any]:
    events, records = run / "events.jsonl", []
    if not events.exists():
        return []
    for line in events.read_text("utf-8").splitlines():
        try:
            records.append(from_line(line))
        except ValueError:  # cut off by a kill
            continue
    return records


def _resumable(run: Path) -> bool:
    """Return whether a training has a checkpoint and did not come to its planned end."""
    if not (run / "last.safetensors").exists():
        return False
    end = [record for record in _events(run)[-1:] if isinstance(record, Finished)]
    return not end or end[0].reason in ("cancelled", "time")
