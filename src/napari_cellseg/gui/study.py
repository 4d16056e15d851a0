"""The Study dock: a finished study, one tested image at a time. `python -m napari_cellseg.gui.study DIR`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
)

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.dock import Dock, button
from napari_cellseg.report.study.errors import ERRORS

if TYPE_CHECKING:
    import napari.viewer
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_cellseg.report.study.results import StudyReport

REPORT = "study.json"
SHOWN = {"errors": "errors", "predictions": "labels"}  # and the role of such layers
LEGEND = " ".join(
    f"<span style='color: {color}'>&#9632;</span>&nbsp;{name}" for name, color in ERRORS.items()
)


class StudyDock(Dock):
    """Opens a study; chooses the image, the systems that are shown, and what of them.

    What is shown is the visibility of layers.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self.report: StudyReport | None = None
        self._made: list[Layer] = []  # not found by their metadata: a copy somebody made has it too
        self.title, self.verdict = QLabel("none open"), QLabel()
        legend = QLabel(LEGEND)
        for label in (self.title, self.verdict, legend):
            label.setWordWrap(True)
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(button("Open ...", self._ask, "Open the folder of a finished study"))
        column = QVBoxLayout()
        column.addLayout(head)
        column.addWidget(self.verdict)
        self.section("Study", column)
        self.image, self.shown = QComboBox(), QComboBox()
        self.shown.addItems(SHOWN)
        self.systems = QListWidget()
        rows = QFormLayout()
        rows.addRow("Image", self.image)
        rows.addRow("Show", self.shown)
        rows.addRow(legend)
        rows.addRow(self.systems)
        self.section("Systems", rows)
        self.column.addStretch()
        self.image.activated.connect(lambda index: self.open_image(self.image.itemText(index)))
        self.shown.activated.connect(lambda index: self.update_shown())
        self.systems.itemChanged.connect(lambda item: self.update_shown())

    def open(self, folder: Path) -> None:
        """Open the study in a folder with its first tested image."""
        from napari_cellseg.report.study.results import StudyReport
        from napari_cellseg.report.study.words import lead, with_interval

        try:
            report = StudyReport.read(folder)
        except CellsegError as error:
            self.message.say(str(error), "bad")
            return
        self.report = report
        self.message.say("")
        self.title.setText(f"<b>{report.title}</b>")
        self.title.setToolTip(str(report.folder))
        self.verdict.setText(lead(report))
        self.image.clear()
        self.image.addItems(report.test_images)
        self.systems.blockSignals(True)
        self.systems.clear()
        for rank, system in enumerate(report.ranked, start=1):
            item = QListWidgetItem(f"{rank}  {system.name}:  {with_interval(system)}")
            item.setData(Qt.ItemDataRole.UserRole, system.name)
            item.setCheckState(Qt.CheckState.Checked if rank == 1 else Qt.CheckState.Unchecked)
            self.systems.addItem(item)
        self.systems.blockSignals(False)
        if report.test_images:
            self.open_image(report.test_images[0])

    def open_image(self, name: str) -> None:
        """Show a tested image in place of the one before."""
        from napari_cellseg.gui.study_layers import study_layers

        if self.report is None:
            return
        try:
            layers = study_layers(self.report, name)
        except CellsegError as error:
            self.message.say(str(error), "bad")
            return
        for layer in self.layers():
            self.viewer.layers.remove(layer)
        self._made = [getattr(self.viewer, f"add_{kind}")(data, **more) for data, more, kind in layers]
        for layer in self._made[2:]:
            layer.editable = False  # its pixels are read from the disk when they are looked at
        self.image.setCurrentText(name)
        self.update_shown()
        self.viewer.reset_view()

    def update_shown(self) -> None:
        """Show the layers of the systems that are ticked."""
        from napari_cellseg.gui.layers import link_of
        from napari_cellseg.gui.study_layers import STUDY

        role = SHOWN[self.shown.currentText()]
        items = [self.systems.item(row) for row in range(self.systems.count())]
        ticked = {
            item.data(Qt.ItemDataRole.UserRole)
            for item in items
            if item.checkState() == Qt.CheckState.Checked
        }
        for layer in self.layers():
            system = layer.metadata.get(STUDY)
            if system:
                layer.visible = system in ticked and link_of(layer).role == role

    def layers(self) -> list[Layer]:
        """Return the layers of the study that are still there."""
        return [layer for layer in self._made if layer in self.viewer.layers]

    def _ask(self) -> None:
        path = QFileDialog.getExistingDirectory(self.native, "Open the folder of a finished study")
        if path:
            self.open(Path(path))


def show_study(viewer: napari.viewer.Viewer, folder: Path) -> StudyDock:
    """Open a study in its dock."""
    dock = StudyDock(viewer)
    viewer.window.add_dock_widget(dock, name="Study", area="right")
    dock.open(folder)
    return dock


def show_cell_study(viewer: napari.viewer.Viewer, folder: Path) -> None:
    """Open the cells of a study in the Gallery, and its best network in the Classify dock.

    Raises
    ------
    CellsegError
        If it is no finished study of cells.
    """
    from napari_cellseg.gui.classify import ClassifyDock
    from napari_cellseg.gui.gallery import GalleryDock
    from napari_cellseg.report.study.cells.results import best_model
    from napari_cellseg.report.study.outcome import read_json

    report, model = read_json(folder / REPORT), best_model(folder)
    crops = read_json(folder / "plan.json")["crops"][0]
    classify, gallery = ClassifyDock(viewer), GalleryDock(viewer)
    viewer.window.add_dock_widget(gallery, name="Gallery", area="right")
    viewer.window.add_dock_widget(classify, name="Classify", area="right", tabify=True)
    if model is not None:
        classify.model_row.choose(model)
    viewer.status = report["verdict"][0]
    gallery.open(Path(crops))


def main(arguments: list[str]) -> int:
    """Open the study in the folder named on the command line; 2 if there is none."""
    from napari_cellseg.report.study.cells.results import best_model
    from napari_cellseg.report.study.outcome import read_json
    from napari_cellseg.report.study.results import StudyReport

    folder = Path(arguments[0] if arguments else ".")
    try:
        cells = read_json(folder / REPORT).get("task") == "classify"
        if cells:
            best_model(folder)
        else:
            StudyReport.read(folder)
    except CellsegError as error:
        sys.stderr.write(f"napari-cellseg: {error}\n")
        return 2
    import napari

    show = show_cell_study if cells else show_study
    show(napari.Viewer(title="napari-cellseg study"), folder)
    napari.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
