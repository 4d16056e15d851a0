"""Naming cells in a store, and on several processors or machines: parts, put back into their order."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops, LeftOut, read_crops
from napari_cellseg.images.crops.crops import CropSource
from napari_cellseg.images.remote import Place
from napari_cellseg.predict.classify import Classified, classify
from napari_cellseg.predict.scheduler import run_files
from napari_cellseg.predict.staging import Stage, staged
from napari_cellseg.settings import ClassifySettings

if TYPE_CHECKING:
    from napari_cellseg.nets.classifier_spec import Classifier

PART = 2000  # cells
DEFAULTS = ClassifySettings()


@dataclass(frozen=True)
class ClassifyPart:
    """Where cells and model are; called with the first and the last cell + 1 it names those between.

    Attributes
    ----------
    model : Path
    crops : Path or Url
    format, group : str
        As `read_crops` takes them.
    settings : ClassifySettings
    """

    model: Path
    crops: Place
    format: str = ""
    group: str = ""
    settings: ClassifySettings = DEFAULTS

    def __call__(self, part: tuple[int, int]) -> tuple[int, list[Classified]]:
        """Name the cells of a part; return the first, and what was found (counted from all's first)."""
        model, crops = _opened(self.model, self.model.stat().st_mtime_ns, self.crops, self.format, self.group)
        found = classify(crops.take(np.arange(*part)), model, settings=self.settings)
        return part[0], [replace(batch, indices=batch.indices + part[0]) for batch in found]


def classify_elsewhere(
    crops: Crops, work: ClassifyPart, scheduler: str, *, part: int = PART
) -> Generator[Classified, None, None]:
    """Yield what a network says of cells, in their order, as `classify` does.

    Parameters
    ----------
    crops : Crops
        What ``read_crops`` makes of ``work.crops``; a part that is given up leaves its cells out.
    work : ClassifyPart
    scheduler : str
        See `predict.scheduler`.
    part : int
        Cells that a worker names at a time.
    """
    parts = [(start, min(start + part, len(crops))) for start in range(0, len(crops), part)]

    def lost(span: tuple[int, int], why: str) -> tuple[int, list[Classified]]:
        left = tuple(LeftOut(str(crops.ids[index]), str(crops.paths[index]), why) for index in range(*span))
        return span[0], [Classified(np.zeros(0, np.intp), np.zeros((0, 0)), (), left)]

    ready: dict[int, list[Classified]] = {}
    following = iter(parts)
    wanted = next(following, None)
    with closing(run_files(parts, work, scheduler=scheduler, lost=lost)) as outcomes:
        for (start, found), _ in outcomes:
            ready[start] = found
            while wanted is not None and wanted[0] in ready:
                yield from ready.pop(wanted[0])
                wanted = next(following, None)


def read_fetched(
    crops: Place, stage: Stage, *, format: str = "", group: str = "", channels: Sequence[str] = ()
) -> Crops:
    """Return cells as `read_crops` does, fetched before where they are in a store.

    They are called what they are called there, in what is said of those that cannot be read as well.

    Parameters
    ----------
    crops : Path or Url
        In a store a folder, or a file that holds all of them.
    stage : Stage
        Where they are as long as they are read.
    format, group, channels
        As `read_crops` takes them.

    Raises
    ------
    CellsegError
        If they are not there, or as `read_crops`.
    """
    near = stage.fetch(crops)
    try:
        found = read_crops(near, format=format or None, group=group, channels=channels)
    except CellsegError as error:
        raise _told(error, stage) from error
    if isinstance(crops, Path):
        return found
    return replace(
        found,
        paths=np.array([stage.told(path) for path in found.paths.tolist()], np.str_),
        left_out=tuple(
            LeftOut(one.id, stage.told(one.path), stage.told(one.reason)) for one in found.left_out
        ),
        notices=tuple(map(stage.told, found.notices)),
        source=_Fetched(found.source, stage),
    )


@dataclass(frozen=True)
class _Fetched:
    """Cells on this machine whose mistakes are told with the names in the store."""

    source: CropSource
    stage: Stage

    def read(self, row: int) -> NDArray[Any]:
        try:
            return self.source.read(row)
        except CellsegError as error:
            raise _told(error, self.stage) from error


def _told(error: CellsegError, stage: Stage) -> CellsegError:
    found, expected, remedy = (stage.told(text) for text in (error.found, error.expected, error.remedy))
    return CellsegError(found, expected, remedy)


@functools.lru_cache(1)
def _opened(model: Path, changed: int, crops: Place, format: str, group: str) -> tuple[Classifier, Crops]:
    """Return model and cells, kept in this process for the next part."""
    from napari_cellseg.nets.model import load_model

    loaded = load_model(model, task="classify")
    kept = ExitStack()
    atexit.register(kept.close)
    stage = kept.enter_context(staged())
    return loaded, read_fetched(crops, stage, format=format, group=group, channels=loaded.spec.channels)
