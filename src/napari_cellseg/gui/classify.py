"""The Classify dock: a model names cells or objects; what people corrected trains the next one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.cells.asking import Answers
from napari_cellseg.gui.cells.export import Exported, ExportRow, export
from napari_cellseg.gui.cells.models import NO_MODEL, ClassifierRow
from napari_cellseg.gui.cells.process import Answered, Question, Refused, Working
from napari_cellseg.gui.cells.row import CropRow
from napari_cellseg.gui.cells.set import MODEL, Cells, Cutting, share, shared_cells
from napari_cellseg.gui.cells.store import PREDICTIONS, read_limits, read_predictions, write_limits
from napari_cellseg.gui.cells.thresholds import Thresholds
from napari_cellseg.gui.cells.training import CellTraining, check_labels
from napari_cellseg.gui.dock import Dock, Message, button
from napari_cellseg.gui.form import Form
from napari_cellseg.gui.job import Failed, start_job
from napari_cellseg.settings import ClassifySettings
from napari_cellseg.train.records import Epoch, Finished, Reading, Started

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari.viewer

    from napari_cellseg.formats.class_table import ClassTable
    from napari_cellseg.gui.job import StepsWorker


class ClassifyDock(Dock):
    """Name the cells of a folder or the objects of a labels layer."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.cells: Cells | None = None
        self.training: CellTraining | None = None
        self.job: StepsWorker | None = None
        self._asked, self._prepared = False, ""
        self.answers = Answers(self.native)
        self._build()
        cells = shared_cells(self.viewer)
        if cells is not None:
            self.show_cells(cells)
        self._show_state()

    def _build(self) -> None:
        self.source, self.model_row, self.thresholds = CropRow(self.viewer), ClassifierRow(), Thresholds()
        self.source.opened.connect(self._opened)
        self.source.said.connect(self.message.say)
        self.model_row.changed.connect(self._show_model)
        self.thresholds.changed.connect(self._limit)
        self.section("Cells", _column(self.source))
        self.form = Form(ClassifySettings, basic=(), leave_out=("threshold", "precision"))
        self.section("Model", _column(self.model_row, self.thresholds, self.form.native))

        self.start_button = button("Classify", self.start, "Name all cells")
        self.stop_button = button("Stop", self.stop, "What was known before stays")
        self.bar = QProgressBar()
        row = QHBoxLayout()
        row.addWidget(self.start_button)
        row.addWidget(self.stop_button)
        row.addWidget(button("Gallery", self.open_gallery, "Look at the cells and correct their classes"))
        column = QVBoxLayout()
        column.addLayout(row)
        column.addWidget(self.bar)
        self.section("Run", column)

        self.labelled = Message()
        self.train_button = button("Train", self.train, "Learn from all labels of people; seconds on a CPU")
        self.section("Train from here", _column(self.labelled, self.train_button))
        exports = ExportRow()
        exports.wanted.connect(self.export)
        self.section("Export", _column(exports))
        self.column.addStretch(1)
        self._show_model()

    # -- the cells

    def _opened(self, cells: Cells) -> None:
        self.show_cells(cells)
        share(self.viewer, cells, self)

    def show_cells(self, cells: Cells) -> None:
        """Work on these cells; another dock may have opened them."""
        if self.cells is not None:
            self.cells.changed.disconnect(self._changed, missing_ok=True)
        self.cells = cells
        cells.changed.connect(self._changed)
        self.source.show_cells(cells)
        self.model_row.look_in(cells.folder, *_project_of(cells))
        self._changed("")

    def _changed(self, what: str) -> None:
        try:
            self.labelled.say(check_labels(self.cells.curation))
            self._trainable = True
        except CellsegError as error:
            self.labelled.say(str(error), "wait")
            self._trainable = False
        self._show_state()

    def open_gallery(self) -> None:
        """Show the Gallery dock with these cells."""
        self.viewer.window.add_plugin_dock_widget("napari-cellseg", "Gallery", tabify=False)
        if self.cells is not None:
            share(self.viewer, self.cells, self)

    # -- a model's word

    def _show_model(self) -> None:
        kept = {} if self.cells is None else read_limits(self.cells.folder, self.model_row.id)
        self.thresholds.show_model(self.model_row.spec, self.model_row.path, kept)
        self._prepare()
        self._show_state()

    def _prepare(self) -> None:
        """Have torch and the model loaded before somebody asks: it takes seconds, an answer does not."""
        if self.cells is not None and self.model_row.spec is not None and not self.running:
            path = str(self.model_row.path)
            if path != self._prepared:
                self._prepared = path
                self.answers.ask(Question(0, "prepare", "", "", model=path), lambda record: None)

    @property
    def _limits(self) -> dict[str, float]:
        return dict(zip(self.model_row.spec.classes, self.thresholds.limits, strict=True))

    def _limit(self) -> None:
        """Keep changed thresholds and apply them to what the model said; no cell is looked at again."""
        if self.cells is None:
            return
        try:
            write_limits(self.cells.folder, self.model_row.id, self._limits)
        except CellsegError as error:
            self.message.say(str(error), "bad")
        if self.cells.curation.probabilities is not None:
            self.cells.curation.limit(self._limits)
            self.cells.changed.emit(MODEL)

    def start(self) -> None:
        """Name all cells with the chosen model."""
        if self.cells is None or self.model_row.path is None or self.running:
            self.message.say(NO_MODEL if self.cells is not None else "open some cells first", "bad")
            return
        try:
            self.settings = self.form.settings()
        except CellsegError as error:
            self.message.say(str(error), "bad")
            return
        self._begin(_readable(self.cells), "Loading the model ...")

    def _ask(self, path: Path) -> None:
        question = Question(
            0,
            "classify",
            str(path),
            str(self.cells.folder / PREDICTIONS),
            model=str(self.model_row.path),
            settings=self.settings.model_dump(mode="json"),
        )
        self._asked = True
        self.answers.ask(question, self.while_alive(self._answered))

    def _answered(self, record: object) -> None:
        if isinstance(record, Working):
            self._progress(record.done, record.total, "%v of %m cells")
            return
        self._asked = False
        if isinstance(record, Refused):
            self.message.say(record.message or "Stopped.", "bad" if record.message else "wait")
            self._progress(0, 1, "")
        elif isinstance(record, Answered):
            lost = f" {record.left_out:,} cells could not be read or lack a channel." * bool(record.left_out)
            self._said = f"Classified in {record.seconds:.1f} s.{lost}"
            self._begin(_table_of(self.cells.folder), "")
        self._show_state()

    def stop(self) -> None:
        """Stop what runs."""
        if self.training is not None:
            self.training.stop()
        self.answers.drop()
        self.message.say("Stopping ...", "wait")

    # -- training

    def train(self) -> None:
        """Learn from what people said, then name all cells with what was learned."""
        if self.cells is None or self.running:
            return
        self.training = CellTraining(self.cells)
        self._begin(self.training.steps(), "Starting: libraries and cells are loaded ...")

    # -- what runs

    @property
    def running(self) -> bool:
        """Whether something runs."""
        return self.job is not None or self._asked

    def _begin(self, steps: Generator[Any, Any, Any], text: str) -> None:
        if text:
            self.message.say(text, "wait")
            self.bar.setRange(0, 0)
        self._next = None
        self.job = start_job(
            steps, on_record=self.while_alive(self._record), on_end=self.while_alive(self._ended)
        )
        self._show_state()

    def _record(self, record: object) -> None:
        if isinstance(record, Failed):
            self.message.say(record.message, "bad")
        elif isinstance(record, (Reading, Cutting)):
            what = record.what if isinstance(record, Reading) else "cutting out"
            self._progress(record.done, record.total, f"{what}: %v of %m")
        elif isinstance(record, Started):
            self.message.say("\n".join((f"Training on {record.train_windows:,} cells.", *record.notices)))
        elif isinstance(record, Epoch):
            self._progress(record.epoch, record.epochs, "epoch %v of %m")
        elif isinstance(record, Finished):
            self.model_row.offer()
            self.model_row.choose(Path(record.model))
            self.message.say(f"Trained in {record.seconds:.0f} s: macro F1 {record.score:.3f}.", "good")
            self._next = self.start  # the order of doubt follows what was learned
        elif isinstance(record, Path):
            self._next = lambda: self._ask(record)
        elif record is not None and hasattr(record, "probabilities"):
            self._take(record)
        elif isinstance(record, Exported):
            self.message.say(record.message, "good")

    def _take(self, table: ClassTable) -> None:
        self.cells.curation.predict(table)
        self.cells.curation.limit(self._limits)
        unsure = int((self.cells.curation.current < 0).sum())
        self.message.say(f"{self._said} {unsure:,} cells are unclassified." if unsure else self._said, "good")
        self.cells.changed.emit(MODEL)

    def _progress(self, done: int, total: int, text: str) -> None:
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)
        self.bar.setFormat(text)

    def _ended(self) -> None:
        self.job, self.training = None, None
        following, self._next = self._next, None
        if following is not None:
            following()
        elif not self.running:
            self._progress(1, 1, "")
        self._show_state()

    # -- out

    def export(self, name: str, path: Path) -> None:
        """Write what is known for another program, in the background."""
        if self.cells is None or self.running:
            self.message.say("open some cells first" if self.cells is None else "wait for what runs", "bad")
            return
        self._begin(export(self.cells, name, path), f"Writing {path.name} ...")

    def _show_state(self) -> None:
        able = self.cells is not None and not self.running
        self.start_button.setEnabled(able and self.model_row.spec is not None)
        self.train_button.setEnabled(able and self._trainable)
        self.stop_button.setEnabled(self._asked or self.training is not None)

    _trainable = False

    def closed(self) -> None:
        """Stop what runs."""
        if self.training is not None:
            self.training.stop()
        self.answers.end()


def _column(*widgets: QWidget) -> QVBoxLayout:
    column = QVBoxLayout()
    for widget in widgets:
        column.addWidget(widget)
    return column


def _project_of(cells: Cells) -> list[Path]:
    """Return the project that the cells' labels are kept in, if they are in one."""
    return [folder for folder in cells.folder.parents if folder.name.endswith(".cellseg")][:1]


def _readable(cells: Cells) -> Generator[object, None, None]:
    yield (yield from cells.readable())


def _table_of(folder: Path) -> Generator[ClassTable | None, None, None]:
    yield read_predictions(folder)
