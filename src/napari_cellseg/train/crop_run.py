"""The run folder of a classifier: which crops it learns from, and how what is read of them is kept.

``settings.json`` and ``data.json`` (``"task": "classify"``) are written by whoever prepares the
run; the rest by the training, as for a segmenter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops, read_crops
from napari_cellseg.settings import ClassifierSettings
from napari_cellseg.train.run import read_json, write_run

TASK = "classify"


@dataclass(frozen=True)
class CropData:
    """What a classifier learns from.

    Attributes
    ----------
    path : str
        Of the crops, as `read_crops` takes it.
    format, group : str
        See `read_crops`; empty for what it finds.
    labels : dict
        Class by id, in place of what the crops themselves say; "" for none.
    only : tuple of str
        Ids of the cells that are used; all if empty.
    test : tuple of str
        Ids of the cells that are tested on, instead of a draw.
    embeddings : str
        Folder in which embedded cells are kept, so that several runs share them; by default the
        run's own.
    """

    path: str
    format: str = ""
    group: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    embeddings: str = ""


def prepare_crop_run(run: str | Path, data: CropData, settings: ClassifierSettings) -> Path:
    """Write the folder of a training that `train_classifier` can take up.

    Raises
    ------
    CellsegError
        If there is a run in this folder already.
    """
    return write_run(run, {"task": TASK} | vars(data), settings)


def is_crop_run(run: str | Path) -> bool:
    """Tell whether a run folder is that of a classifier.

    Raises
    ------
    CellsegError
        If it is no run folder.
    """
    return read_json(Path(run) / "data.json").get("task") == TASK


def read_crop_settings(run: str | Path) -> ClassifierSettings:
    """Return the settings of a run."""
    return ClassifierSettings.checked(read_json(Path(run) / "settings.json"))


def read_crop_data(run: str | Path) -> CropData:
    """Return what a run learns from.

    Raises
    ------
    CellsegError
        If the file is damaged.
    """
    run = Path(run)
    values = read_json(run / "data.json")
    try:
        if values.pop("task") != TASK:
            raise KeyError("task")
        return CropData(**values | {key: tuple(values.get(key, ())) for key in ("only", "test")})
    except (KeyError, TypeError) as error:
        raise CellsegError(f"{run / 'data.json'}: not the data of a classifier ({error!r})") from None


def open_crops(data: CropData, channels: Sequence[str] = ()) -> Crops:
    """Return the labelled cells that a run learns from.

    Raises
    ------
    CellsegError
        If nothing can be read, or an id is unknown.
    """
    crops = read_crops(data.path, format=data.format or None, group=data.group, channels=channels)
    if data.labels:
        crops = crops.with_labels(_relabelled(crops, data.labels))
    if data.only:
        crops = crops.take(_found(crops, data.only))
    return crops.take(crops.labels != "")


def listed_test(crops: Crops, data: CropData) -> Any:
    """Return the indices of the cells that the run says to test on; None for a draw."""
    return _found(crops, data.test) if data.test else None


def _found(crops: Crops, ids: Sequence[str]) -> Any:
    place = {str(name): index for index, name in enumerate(crops.ids)}
    unknown = [name for name in ids if name not in place]
    if unknown:
        raise CellsegError(
            f"{crops.name}: no labelled cell {unknown[0]!r}", "ids of cells in it", "prepare the run again"
        )
    return np.array([place[name] for name in ids], np.intp)


def _relabelled(crops: Crops, labels: Mapping[str, str]) -> list[str]:
    return [labels.get(str(name), str(old)) for name, old in zip(crops.ids, crops.labels, strict=True)]
