"""The cells that the docks work on: from files or out of a labels layer, with what is known of them."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from psygnal import Signal

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import ClassTable
from napari_cellseg.gui.cells.curation import Curation
from napari_cellseg.gui.cells.store import (
    FOLDS,
    MEASURED,
    PREDICTIONS,
    folder_of,
    read_decisions,
    read_limits,
    read_measured,
    read_predictions,
    write_decisions,
)
from napari_cellseg.gui.cells.view import View, view_of
from napari_cellseg.images.crops import (
    Crops,
    FieldObjects,
    LeftOut,
    Measurements,
    crops_of_labels,
    read_crops,
)
from napari_cellseg.images.whole_files import write_errors

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellseg.images.micrographs import Image

LABELS, MODEL, FIGURES = "labels", "model", "figures"  # what may have changed


class Scratch:
    """A temporary folder that goes with whoever holds this."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="napari-cellseg-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __deepcopy__(self, memo: dict) -> Scratch:
        return self  # a duplicate of a layer has the same


class Cells:
    """Crops, their curation, where both are on the disk, and the layer they are objects of.

    Parameters
    ----------
    crops : Crops
    source : Path, optional
        What `read_crops` takes; None for objects of a layer.
    folder : Path
        Where the curation is kept.
    layer : Labels layer, optional
    field : FieldObjects, optional
        Where the objects are in the layer.

    Attributes
    ----------
    changed : signal (str)
        `LABELS`, `MODEL` or `FIGURES` changed.
    """

    changed = Signal(str)

    def __init__(
        self,
        crops: Crops,
        folder: Path,
        *,
        source: Path | None = None,
        layer: Labels | None = None,
        field: FieldObjects | None = None,
    ) -> None:
        self.crops, self.folder, self.source = crops, folder, source
        self.layer, self.field = layer, field
        decisions, classes = read_decisions(folder)
        self.curation = Curation(crops, classes)
        self.strangers = self.curation.recall(decisions)
        self.measured: Measurements | None = None
        self.view: View = view_of(crops)
        self._cut: Scratch | None = None

    def saving(self) -> Generator[None, None, None]:
        """Write what people said."""
        write_decisions(self.folder, self.curation.decisions(), self.curation.classes)
        yield

    def remember(self, found: Remembered) -> None:
        """Take up what models said at an earlier time."""
        for table in (found.predictions, found.folds):
            if table is not None and table is found.folds:
                self.set_folds(table)
            elif table is not None:
                self.curation.predict(table)
                limits = read_limits(self.folder, table.model)
                if limits:
                    self.curation.limit(limits)
        self.measured = found.measured
        self.changed.emit(MODEL)

    def set_folds(self, table: ClassTable) -> None:
        """Take probabilities of models that did not learn from the cell itself."""
        beside = Curation(self.crops, self.curation.classes)
        beside.predict(table)
        self.curation.add_classes(beside.classes)
        self.curation.folds = beside.probabilities

    def readable(self) -> Generator[object, None, Path]:
        """Return a path that another process can read these cells from; objects are cut out first."""
        if self.source is not None:
            return self.source
        if self._cut is None:
            self._cut = Scratch()
            with write_errors(self._cut.path):
                for index in range(len(self.crops)):
                    path = self._cut.path / f"{self.crops.ids[index]}.tif"
                    write_crop(path, self.crops.read(index))
                    if index % 256 == 0:
                        yield Cutting(index, len(self.crops))
        return self._cut.path

    def place_of(self, index: int) -> tuple[float, float] | None:
        """Return the centre (row, col) of a cell in its field; None for a file of its own."""
        return None if self.field is None else tuple(self.field.centres[index].tolist())


@dataclass(frozen=True)
class Cutting:
    """So many of so many objects are cut out."""

    done: int
    total: int


@dataclass(frozen=True)
class Remembered:
    """What earlier sessions left beside the labels."""

    predictions: ClassTable | None = None
    folds: ClassTable | None = None
    measured: Measurements | None = None


def write_crop(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write ``(c, y, x)`` so that `read_crops` finds the same channels."""
    colours = pixels.dtype == np.uint8 and len(pixels) == 3
    data = pixels.transpose(1, 2, 0) if colours else pixels[0] if len(pixels) == 1 else pixels
    tifffile.imwrite(path, data, photometric="rgb" if colours else "minisblack")


def open_cells(path: Path) -> Generator[Cells | Remembered, None, None]:
    """Yield the cells of a folder or file, then what is remembered of them.

    Raises
    ------
    CellsegError
        If there are none, or what people said of them cannot be read.
    """
    crops = read_crops(path)
    if not len(crops):
        left = f" ({len(crops.left_out)} left out)" if crops.left_out else ""
        raise CellsegError(f"{path}: no cell can be read{left}", "images of single cells")
    folder = folder_of(path)
    yield Cells(crops, folder, source=path)
    yield recalled(folder, crops)


def cut_cells(
    image: Image, plane: NDArray[np.integer], layer: Labels, folder: Path
) -> Generator[Cells | Remembered, None, None]:
    """Yield the objects of a label image, then what is remembered of them."""
    field = crops_of_labels(image, plane)
    yield Cells(field.crops, folder, layer=layer, field=field)
    yield recalled(folder, field.crops)


def recalled(folder: Path, crops: Crops) -> Remembered:
    """Return what is beside the labels."""
    return Remembered(
        read_predictions(folder, PREDICTIONS),
        read_predictions(folder, FOLDS),
        read_measured(folder / MEASURED, crops.ids),
    )


def left_out_line(left_out: tuple[LeftOut, ...]) -> str:
    """Return what to say of cells that were not taken; "" if there are none."""
    if not left_out:
        return ""
    first = left_out[0]
    return f"{len(left_out):,} cells are left out, such as {first.id}: {first.reason}."


def shared_cells(viewer: ViewerModel) -> Cells | None:
    """Return the cells that another dock of the window has open."""
    return next((dock.cells for dock in _cell_docks(viewer) if dock.cells is not None), None)


def share(viewer: ViewerModel, cells: Cells, origin: object) -> None:
    """Have every dock of the window that works on cells show these."""
    for dock in _cell_docks(viewer):
        if dock is not origin and dock.cells is not cells:
            dock.show_cells(cells)


def _cell_docks(viewer: ViewerModel) -> list:
    window = getattr(viewer, "window", None)
    docks = [] if window is None else window.dock_widgets.values()
    return [dock for dock in docks if hasattr(dock, "show_cells")]
