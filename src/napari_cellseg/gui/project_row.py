"""Which project is open, and the buttons that make or open one."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QInputDialog, QLabel, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.dock import button
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.project import Project


class ProjectRow(QWidget):
    """Name of the project, "New ..." and "Open ...".

    Signals
    -------
    opened(Project)
        A project was made or opened.
    failed(str)
        Why that was not possible.
    """

    opened = Signal(object)
    failed = Signal(str)

    def __init__(self, *, new: bool = True) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.name = QLabel("none open")
        layout.addWidget(self.name, 1)
        if new:
            layout.addWidget(button("New ...", self._new, "Make a project folder NAME.cellseg"))
        layout.addWidget(button("Open ...", self._open, "Open a project folder NAME.cellseg"))

    def show_project(self, project: Project | None) -> None:
        """Show the project's name, its folder as the tip."""
        self.name.setText("none open" if project is None else f"<b>{project.path.stem}</b>")
        self.name.setToolTip("" if project is None else str(project.path))

    def create(self, path: Path | str, targets: list[str]) -> None:
        """Make a project with these classes beside the background."""
        self._hand_over(lambda: Project.create(Path(path), Classes.of(*targets)))

    def open(self, path: Path | str) -> None:
        """Open a project folder."""
        self._hand_over(lambda: Project.open(Path(path)))

    def _hand_over(self, make: object) -> None:
        try:
            project = make()
        except CellsegError as error:
            self.failed.emit(str(error))
            return
        self.opened.emit(project)

    def _new(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "New project", "", "Projects (*.cellseg)")
        if not path:
            return
        text, agreed = QInputDialog.getText(
            self, "Classes", "What do you want to find? Names, separated by commas:", text="filament"
        )
        if agreed:
            self.create(path, [name.strip() for name in text.split(",") if name.strip()])

    def _open(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a project folder (NAME.cellseg)")
        if path:
            self.open(path)
