"""The part of the Filaments dock that writes files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import WRITERS, coordinate_file, write_coordinates, write_list
from napari_cellseg.formats.relion import MICROGRAPH, PICKED
from napari_cellseg.formats.star import read_tables, table_with
from napari_cellseg.gui.coordinates import coordinates_from
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.form import Form
from napari_cellseg.settings import ExportSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Shapes


LISTED, LIST = ("relion", "startend"), "autopick.star"
PROJECT = "default_pipeline.star"  # lies in the root of a RELION project


class ExportBox(QWidget):
    """For which program, and how.

    Parameters
    ----------
    chosen : callable
        Returns the layer of filaments; raises `CellsegError` if there is none.

    Signals
    -------
    said(text, tone)
        Something for the message line.
    """

    said = Signal(str, str)

    def __init__(self, chosen: Callable[[], Shapes]) -> None:
        super().__init__()
        self._chosen = chosen
        self.format, self.next_step = QComboBox(), QLabel()
        self.format.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.format.setMinimumContentsLength(10)
        for row, (name, writer) in enumerate(WRITERS.items()):
            self.format.addItem(writer.description, name)
            self.format.setItemData(row, writer.description, Qt.ItemDataRole.ToolTipRole)
        self.next_step.setWordWrap(True)
        self.form = Form(
            ExportSettings,
            basic=("step_px", "box_px"),
            labels={"step_px": "segment every (px)", "box_px": "box (px)"},
        )
        rows, column = QFormLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        rows.addRow("for", self.format)
        column.addLayout(rows)
        column.addWidget(self.form.native)
        column.addWidget(self.next_step)
        column.addWidget(button("Export ...", self._ask, "Write the filaments of the list"))
        self.format.currentIndexChanged.connect(self._show_format)
        self._show_format()

    @property
    def chosen_format(self) -> str:
        """One of `WRITERS`."""
        return self.format.currentData()

    def _show_format(self, index: int = 0) -> None:
        writer = WRITERS[self.chosen_format]
        self.next_step.setText(f"<b>Then:</b> {writer.next_step}.")
        self.format.setToolTip(writer.description)

    def export(self, path: Path) -> None:
        """Write the filaments; replaces a file that is there: the dialog has asked."""
        name = self.chosen_format
        try:
            found = coordinates_from([self._chosen()])
            done = write_coordinates(path, found, format=name, overwrite=True, settings=self.form.settings())
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return
        notices = [*done.notices]
        if name in LISTED and found.micrograph and Path(found.micrograph).is_file():
            try:
                add_to_list(done.path.parent / LIST, found.micrograph, done.path)
            except CellsegError as error:
                notices.append(f"{LIST} was left as it is: {error}")
        cut = f" as {done.rows:,} segments" if WRITERS[name].cuts else ""
        said = [
            f"{done.filaments} filaments{cut} are in {done.path}.",
            *(f"{notice}." for notice in notices),
            f"Next, {WRITERS[name].next_step}.",
        ]
        self.said.emit("\n".join(said), "good")

    def _ask(self) -> None:
        try:
            layer = self._chosen()
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return
        found = coordinates_from([layer])
        folder = Path(found.micrograph).parent if found.micrograph else Path()
        start = coordinate_file(folder, found.micrograph or layer.name, self.chosen_format)
        ending = start.suffix
        path, _ = QFileDialog.getSaveFileName(
            self, "Export filaments", str(start), f"Coordinates (*{ending})"
        )
        if path:
            self.export(Path(path) if Path(path).suffix else Path(path).with_suffix(ending))


def add_to_list(path: Path, micrograph: str, file: Path) -> None:
    """Write or extend the list that RELION imports; what it says of other micrographs stays.

    Paths count from the root of the RELION project if the file lies in one, else from the current folder.

    Raises
    ------
    CellsegError
        If there is a file of this name that is no such list, or a path has a space.
    """
    root = next((one for one in path.absolute().parents if (one / PROJECT).is_file()), Path().absolute())
    listed = {str(Path(micrograph).absolute()): file.absolute()}
    if path.exists():
        tables = read_tables(path.read_text(encoding="utf-8"), path.name)
        table = table_with(tables, [MICROGRAPH, PICKED], path.name)
        before = zip(table[MICROGRAPH], table[PICKED], strict=True)
        listed = {str(root / name): root / picked for name, picked in before} | listed
    write_list(path, list(listed.items()), root=root, overwrite=True)
