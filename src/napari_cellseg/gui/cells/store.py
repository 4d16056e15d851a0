"""The folder ``NAME.curation`` beside the cells: what people said, what models said. No Qt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import ClassTable, read_class_table
from napari_cellseg.gui.cells.curation import DUBIOUS, VALIDATED, Said
from napari_cellseg.images.crops import Measurements
from napari_cellseg.images.whole_files import replace_whole, write_whole

SCHEMA = 1
SUFFIX = ".curation"
LABELS, PREDICTIONS, FOLDS = "labels.json", "predictions.csv", "out_of_fold.csv"
MEASURED, LIMITS = "measured.npz", "thresholds.json"


def folder_of(path: Path) -> Path:
    """Return where the curation of the cells in `path` is kept.

    Examples
    --------
    >>> folder_of(Path("data/lake")).as_posix(), folder_of(Path("data/run.zip")).as_posix()
    ('data/lake.curation', 'data/run.curation')
    """
    path = path.absolute() if path.name in ("", "..") else path
    return path.with_name((path.stem if path.suffix.lower() in _SUFFIXES else path.name) + SUFFIX)


_SUFFIXES = {".zip", ".csv", ".tsv", ".lst", ".roi", ".adc", ".hdr", ".tif", ".tiff", ".png", ".zarr"}


def write_decisions(folder: Path, decisions: Mapping[str, Said], classes: tuple[str, ...]) -> None:
    """Write what people said, whole or not at all; the former state survives a crash.

    Raises
    ------
    CellsegError
        If the folder cannot be written.
    """
    cells = {name: [said.label, DUBIOUS if said.dubious else VALIDATED] for name, said in decisions.items()}
    content = {"schema": SCHEMA, "classes": list(classes), "cells": cells}
    write_whole(folder / LABELS, json.dumps(content, ensure_ascii=False, indent=0))


def read_decisions(folder: Path) -> tuple[dict[str, Said], tuple[str, ...]]:
    """Return what people said by id, and all classes in their order; nothing if there is nothing.

    Raises
    ------
    CellsegError
        If the file is damaged or of a later version.
    """
    path = folder / LABELS
    if not path.is_file():
        return {}, ()
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SCHEMA:
            raise CellsegError(f"{path}: schema {content['schema']}", f"{SCHEMA}", "update napari-cellseg")
        cells = {
            str(name): Said(str(label), status == DUBIOUS)
            for name, (label, status) in content["cells"].items()
        }
        return cells, tuple(map(str, content["classes"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CellsegError(
            f"{path}: cannot be understood ({error})",
            "labels that the Gallery wrote",
            "restore a copy, or move it away",
        ) from None


def write_limits(folder: Path, model: str, limits: Mapping[str, float]) -> None:
    """Write from which confidence each class of a model counts for these cells; the model by its id.

    Raises
    ------
    CellsegError
        If the folder cannot be written.
    """
    kept = _limits(folder) | {model: dict(limits)}
    write_whole(folder / LIMITS, json.dumps(kept, ensure_ascii=False, indent=0))


def read_limits(folder: Path, model: str) -> dict[str, float]:
    """Return from which confidence each class of a model counts; nothing where nobody changed it."""
    return _limits(folder).get(model, {})


def _limits(folder: Path) -> dict[str, dict[str, float]]:
    """Return what is kept by model; a file that cannot be understood only holds what is set again soon."""
    try:
        content = json.loads((folder / LIMITS).read_text("utf-8"))
        return {
            str(model): {str(name): float(value) for name, value in limits.items()}
            for model, limits in content.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def read_predictions(folder: Path, name: str = PREDICTIONS) -> ClassTable | None:
    """Return what a model said the last time; None if none did."""
    return read_class_table(folder / name) if (folder / name).is_file() else None


def write_measured(path: Path, measured: Measurements, ids: np.ndarray) -> None:
    """Write what was measured on the cells of these ids."""
    with replace_whole(path) as part, part.open("wb") as file:
        np.savez(file, ids=ids, names=np.array(measured.names, np.str_), values=measured.values)


def read_measured(path: Path, ids: np.ndarray) -> Measurements | None:
    """Return what was measured on exactly these cells; None if it was others, or nothing."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        if not np.array_equal(file["ids"], ids):
            return None
        return Measurements(tuple(file["names"].tolist()), file["values"])
