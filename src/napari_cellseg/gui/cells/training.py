"""Training on the cells that people labelled, from the viewer: the run, and the process that does it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.job import Child, train_command
from napari_cellseg.nets.classifier_presets import classifier_settings
from napari_cellseg.train.crop_run import CropData, prepare_crop_run
from napari_cellseg.train.records import from_line

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_cellseg.gui.cells.curation import Curation
    from napari_cellseg.gui.cells.set import Cells

PRESET = "cells-fast"
EMBEDDINGS = "embeddings"  # shared by all runs on these cells: the next training looks at no cell again


def check_labels(curation: Curation) -> str:
    """Return a line about what there is to learn from.

    Raises
    ------
    CellsegError
        If that is too little.
    """
    known = curation.given[(curation.given >= 0) & ~curation.dubious]
    counts = np.bincount(known, minlength=len(curation.classes))
    enough = [name for name, count in zip(curation.classes, counts.tolist(), strict=True) if count > 1]
    if len(enough) < 2:
        raise CellsegError(
            f"{len(known):,} labelled cells, {len(enough)} classes with two or more",
            "two cells at least of two classes",
            "label some in the Gallery",
        )
    fewest = int(counts[counts > 0].argmin())
    name = [n for n, count in zip(curation.classes, counts.tolist(), strict=True) if count][fewest]
    return f"{len(known):,} labelled cells of {len(enough)} classes; fewest of {name}"


@dataclass(frozen=True)
class Prepared:
    """The run folder is made; the process starts."""

    run: Path


class CellTraining:
    """One training on the cells, in a process of its own."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.child: Child | None = None
        self._stopped = False

    def stop(self) -> None:
        """Ask for an end; the best network so far is kept."""
        self._stopped = True
        if self.child is not None:
            self.child.cancel()

    def steps(self) -> Generator[object, None, None]:
        """Yield what happens, as `train_classifier` tells it, `Prepared` first."""
        path = yield from self.cells.readable()
        folder = self.cells.folder
        data = CropData(
            str(path.absolute()),
            labels=self.cells.curation.known(),
            embeddings=str((folder / EMBEDDINGS).absolute()),
        )
        run = _free(folder / "runs", f"{datetime.now():%Y%m%d-%H%M%S}")
        prepare_crop_run(run, data, classifier_settings(PRESET))
        yield Prepared(run)
        if not self._stopped:
            self.child = Child(train_command(run), run / "stop", from_line)
            yield from self.child.records()


def _free(folder: Path, name: str) -> Path:
    run, number = folder / name, 1
    while run.exists():
        number += 1
        run = folder / f"{name}-{number}"
    return run
