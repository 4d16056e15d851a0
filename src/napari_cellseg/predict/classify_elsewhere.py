"""Naming cells on several processors or machines: parts of the cells, put back into their order."""

from __future__ import annotations

import functools
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_cellseg.images.crops import Crops, LeftOut, read_crops
from napari_cellseg.predict.classify import Classified, classify
from napari_cellseg.predict.scheduler import run_files
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
    model, crops : Path
    format, group : str
        As `read_crops` takes them.
    settings : ClassifySettings
    """

    model: Path
    crops: Path
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


@functools.lru_cache(1)
def _opened(model: Path, changed: int, crops: Path, format: str, group: str) -> tuple[Classifier, Crops]:
    """Return model and cells, kept in this process for the next part."""
    from napari_cellseg.nets.model import load_model

    loaded = load_model(model, task="classify")
    return loaded, read_crops(crops, format=format or None, group=group, channels=loaded.spec.channels)
