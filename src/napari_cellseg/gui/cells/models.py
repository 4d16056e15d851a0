"""Which classifier: those trained on these cells, those of the project, files from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.dock import Message, button
from napari_cellseg.nets.classifiers import MEASURED
from napari_cellseg.nets.model import model_id, read_spec

if TYPE_CHECKING:
    from napari_cellseg.nets.classifier_spec import ClassifierSpec

NO_MODEL = "no model chosen: take a file, or label some cells and train one below"


class ClassifierRow(QWidget):
    """The models there are, a button for others, what the chosen one knows.

    Signals
    -------
    changed()
        Another model is chosen, or none any more.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.models, self.about = QComboBox(), Message()
        self.models.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.spec: ClassifierSpec | None = None
        self._files: list[Path] = []
        self._folders: list[Path] = []
        row, column = QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.models, 1)
        row.addWidget(button("File ...", self._ask, "A model of a classifier (.safetensors)"))
        column.addLayout(row)
        column.addWidget(self.about)
        self.models.currentIndexChanged.connect(lambda index: self._show())
        self.offer()

    @property
    def path(self) -> Path | None:
        """The chosen model."""
        chosen = self.models.currentData()
        return None if chosen is None else Path(chosen)

    @property
    def id(self) -> str:
        """What tables call the chosen model; empty if there is none."""
        return "" if self.spec is None else model_id(self.path)

    def look_in(self, *folders: Path) -> None:
        """Offer the classifiers in `runs` and `models` of these folders, the newest first."""
        self._folders = list(folders)
        self.offer()

    def offer(self) -> None:
        """List the models again; what is chosen stays."""
        found = [
            path
            for folder in self._folders
            for path in (*folder.glob("models/*.safetensors"), *folder.glob("runs/*/best.safetensors"))
            if _is_classifier(path)
        ]
        found.sort(key=lambda path: -path.stat().st_mtime_ns)
        chosen = self.models.currentData()
        self.models.blockSignals(True)
        self.models.clear()
        for path in (*self._files, *found):
            self.models.addItem(_title(path), str(path))
        self.models.setCurrentIndex(max(0, self.models.findData(chosen)))
        self.models.blockSignals(False)
        self._show()

    def choose(self, path: Path) -> None:
        """Take a model file from anywhere."""
        if self.models.findData(str(path)) < 0:
            self._files.insert(0, path)
            self.offer()
        self.models.setCurrentIndex(self.models.findData(str(path)))
        self._show()

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", "Models (*.safetensors)")
        if path:
            self.choose(Path(path))

    def _show(self) -> None:
        self.spec = None
        if self.path is None:
            self.about.say(NO_MODEL, "wait")
        else:
            try:
                self.spec = read_spec(self.path, task="classify")
                self.about.say(describe(self.spec))
            except CellsegError as error:
                self.about.say(str(error), "bad")
        self.changed.emit()


def describe(spec: ClassifierSpec) -> str:
    """Return what a classifier tells apart, in which channels, and how well, for the dock."""
    rows, cols = spec.size
    looks = f"{rows} x {cols} px; {spec.architecture} with head {spec.head}"
    if spec.architecture == MEASURED:
        looks = "by what is measured on a cell"
    lines = [f"tells apart {', '.join(spec.classes)}", f"in {', '.join(spec.channels)}; {looks}"]
    learned = (spec.provenance.get("cells") or {}).get("train")
    score = spec.provenance.get("validation_f1")
    if isinstance(score, float) and learned:
        lines.append(f"learned from {learned:,} cells; macro F1 {score:.3f} on cells held out")
    return "\n".join(lines)


def _is_classifier(path: Path) -> bool:
    try:
        read_spec(path, task="classify")
    except CellsegError:
        return False
    return True


def _title(path: Path) -> str:
    return f"trained {path.parent.name}" if path.stem == "best" else path.stem
