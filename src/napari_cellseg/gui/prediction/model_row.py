"""The part of the Segment dock that chooses the model, or several that find the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QFileSystemWatcher, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.dock import Message, button
from napari_cellseg.nets.model import read_spec

if TYPE_CHECKING:
    from napari_cellseg.images.project import Project
    from napari_cellseg.nets.model import ModelSpec

NO_MODEL = "no model yet: train one, or choose a file"


class ModelRow(QWidget):
    """The models of a project and files from elsewhere; one that is new is chosen by itself.

    Signals
    -------
    changed()
        Another model is chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.project: Project | None = None
        self.specs: dict[Path, ModelSpec] = {}  # of those that can be read
        self._files: list[Path] = []  # from outside the project
        self.models, self.about = QComboBox(), Message()
        self.together = QCheckBox()
        self.together.setToolTip("The mean of several models errs less, and takes as many times as long")
        row, column = QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.models, 1)
        row.addWidget(button("File ...", self._choose_file, "A model file from elsewhere"))
        column.addLayout(row)
        column.addWidget(self.about)
        column.addWidget(self.together)
        self.models.currentIndexChanged.connect(lambda index: self._show())
        self._watcher = QFileSystemWatcher(self)
        self._watcher.directoryChanged.connect(lambda path: self.offer())
        self.offer()

    @property
    def path(self) -> Path | None:
        """The chosen model."""
        chosen = self.models.currentData()
        return None if chosen is None else Path(chosen)

    @property
    def spec(self) -> ModelSpec | None:
        """What the chosen model says it is; None if it cannot be read."""
        return None if self.path is None else self.specs.get(self.path)

    def paths(self) -> list[Path]:
        """Return the model files to use: the chosen one first."""
        if self.path is None:
            return []
        return [self.path, *(self._alike() if self.together.isChecked() else [])]

    def set_project(self, project: Project) -> None:
        """Offer the models of this project, the newest first."""
        if self._watcher.directories():
            self._watcher.removePaths(self._watcher.directories())
        self.project = project
        self._watcher.addPath(str(project.path / "models"))
        self.offer()

    def offer(self) -> None:
        """List the models; one that is new since the last look is chosen."""
        paths = [*self._files, *(_models(self.project) if self.project is not None else ())]
        former = [self.models.itemData(i) for i in range(self.models.count())]
        new = [path for path in paths if str(path) not in former]
        chosen = str(new[0]) if new else self.models.currentData()
        self.models.blockSignals(True)
        self.models.clear()
        for path in paths:
            self.models.addItem(_title(path), str(path))
        self.models.setCurrentIndex(max(0, self.models.findData(chosen)))
        self.models.blockSignals(False)
        self._show()

    def choose(self, path: Path) -> None:
        """Take a model file from anywhere."""
        if path not in self._files:
            self._files.insert(0, path)
        self.offer()
        self.models.setCurrentIndex(self.models.findData(str(path)))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", "Models (*.safetensors)")
        if path:
            self.choose(Path(path))

    def _show(self) -> None:
        self.specs = {}
        for i in range(self.models.count()):
            path = Path(self.models.itemData(i))
            try:
                self.specs[path] = read_spec(path)
            except CellsegError as error:
                if path == self.path:
                    self.about.say(str(error), "bad")
        if self.path is None:
            self.about.say(NO_MODEL, "wait")
        elif self.spec is not None:
            self.about.say(describe(self.spec))
        others = len(self._alike())
        self.together.setText(f"together with {others} more that find{'s' * (others == 1)} the same")
        self.together.setVisible(others > 0)
        self.together.setChecked(self.together.isChecked() and others > 0)
        self.changed.emit()

    def _alike(self) -> list[Path]:
        """Return the other models that find the same in images of as many channels."""
        if self.spec is None:
            return []
        wanted = self.spec.classes.names, self.spec.channels
        found = [path for path, spec in self.specs.items() if (spec.classes.names, spec.channels) == wanted]
        return [path for path in found if path != self.path]


def describe(spec: ModelSpec) -> str:
    """Return what a model finds, at which pixel size, from what and how well, for the dock."""
    lines = [f"finds {', '.join(spec.classes.targets)}"]
    size = (
        f"at {spec.pixel_nm:g} nm a pixel" if spec.pixel_nm is not None else "at the image's own pixel size"
    )
    channels = f", {spec.channels} channels" if spec.channels > 1 else ""
    network = f"{spec.architecture} / {spec.encoder}" if spec.encoder else spec.architecture
    lines.append(f"{network}, {size}{channels}")
    images, score = spec.provenance.get("images") or [], spec.provenance.get("validation_dice")
    if images:
        shown = ", ".join(str(name) for name in images[:3]) + (" ..." if len(images) > 3 else "")
        lines.append(f"trained on {len(images)} image{'s' if len(images) > 1 else ''}: {shown}")
    if isinstance(score, float):
        lines.append(f"score {score:.3f} (Dice on pixels held out)")
    return "\n".join(lines)


def _models(project: Project) -> list[Path]:
    """Return the project's models; the best of a run only if the project holds no copy of it."""
    named = [path for path in project.models() if path.parent.name == "models"]
    return named or list(project.models())


def _title(path: Path) -> str:
    return f"best of {path.parent.name}" if path.stem == "best" else path.stem
