"""Named cells for other programs: one button a format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from napari_cellseg.formats.class_kinds import CLASS_WRITERS
from napari_cellseg.gui.dock import button

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_cellseg.gui.cells.set import Cells


@dataclass(frozen=True)
class Exported:
    """A file for another program is written."""

    message: str


class ExportRow(QWidget):
    """A button for each of `CLASS_WRITERS`.

    Signals
    -------
    wanted(str, Path)
        Kind, and the file or folder to write.
    """

    wanted = Signal(str, object)

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for name, writer in CLASS_WRITERS.items():
            row.addWidget(button(name, lambda name=name: self._ask(name), writer.description))

    def _ask(self, name: str) -> None:
        suffix = CLASS_WRITERS[name].suffix
        if suffix:
            path, _ = QFileDialog.getSaveFileName(self, f"Export {name}", "", f"*{suffix}")
        else:
            path = QFileDialog.getExistingDirectory(self, f"Export {name}: an empty folder")
        if path:
            self.wanted.emit(name, Path(path).with_suffix(suffix) if suffix else Path(path))


def export(cells: Cells, name: str, path: Path) -> Generator[Exported, None, None]:
    """Write what is known of the cells, then tell.

    Raises
    ------
    CellsegError
        If there is something already, or the format has no place for these cells.
    """
    left_out = CLASS_WRITERS[name].write(path, cells.curation.table(), cells.crops)
    lost = f"; {len(left_out):,} cells could not be read" if left_out else ""
    yield Exported(f"{path.name} is written{lost}.")
