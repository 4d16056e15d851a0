"""A table that `classify` wrote against the true classes: which cell is which, then the scores."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import read_crops
from napari_cellseg.nets.classifier_spec import UNCLASSIFIED
from napari_cellseg.report.metrics.classes import class_scores

PROBABILITY = "p_"
KEYS = ("id", "path")
LABELS = ("label", "class", "truth")


@dataclass(frozen=True, eq=False)
class ClassTable:
    """What a table says of cells.

    Attributes
    ----------
    classes : tuple of str
        Those with a column of probabilities.
    rows : tuple of dict
        As they stand in the file.
    probabilities : (n, k)
    """

    classes: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    probabilities: NDArray[np.float64]


def evaluate_classes(predicted: Path, truth: Path) -> dict[str, Any]:
    """Return the scores of a table of labels.

    Cells pair by id, or by path where ids do not fit. Every cell counts with its likeliest class;
    what "unclassified" leaves out is told beside it.

    Parameters
    ----------
    predicted : Path
        CSV that `classify` wrote.
    truth : Path
        Crops with known classes, as `read_crops` takes them, or a CSV with columns id (or path)
        and label.

    Returns
    -------
    dict
        What `class_scores` returns, with ``"labelled"``: the share of cells that got a label and
        how many of those are right; and ``"notices"``.

    Raises
    ------
    CellsegError
        If a file cannot be read, or no cell is in both.
    """
    table = read_class_table(predicted)
    known = true_classes(truth)
    key, names = _paired(table.rows, known, predicted, truth)
    kept = [index for index, row in enumerate(table.rows) if row[key] in names]
    classes = tuple(dict.fromkeys((*table.classes, *sorted(names[table.rows[i][key]] for i in kept))))
    foreign = sorted(set(classes) - set(table.classes))
    place = {name: index for index, name in enumerate(classes)}
    true = np.array([place[names[table.rows[index][key]]] for index in kept], np.intp)
    probabilities = np.zeros((len(kept), len(classes)))
    probabilities[:, : len(table.classes)] = table.probabilities[kept]
    notices = []
    if len(kept) < len(table.rows):
        notices.append(f"{len(table.rows) - len(kept)} cells without a known class are not scored.")
    if foreign:
        notices.append(f"The model does not know {', '.join(foreign)}: those cells count as wrong.")
    samples = [table.rows[index].get("sample") or "" for index in kept]
    labels = np.array([table.rows[index].get("label", "") for index in kept], np.str_)
    return class_scores(true, probabilities, classes, samples=samples) | {
        "labelled": _labelled(labels, [classes[index] for index in true]),
        "notices": notices,
    }


def read_class_table(path: Path) -> ClassTable:
    """Return a table that `classify` wrote.

    Raises
    ------
    CellsegError
        If it cannot be read or is another kind of table.
    """
    rows = _rows(path)
    columns = list(rows[0]) if rows else []
    probabilities = [name for name in columns if name.startswith(PROBABILITY)]
    if not probabilities or not any(key in columns for key in KEYS):
        raise CellsegError(
            f"{path}: columns {', '.join(columns) or 'none'}",
            "id or path, label and a column p_CLASS for each class",
            "give a table that `napari-cellseg classify` wrote",
        )
    try:
        values = np.array([[float(row[name]) for name in probabilities] for row in rows])
    except (TypeError, ValueError) as error:
        raise CellsegError(f"{path}: a probability that is no number ({error})") from None
    return ClassTable(tuple(name.removeprefix(PROBABILITY) for name in probabilities), tuple(rows), values)


def true_classes(path: Path) -> dict[str, dict[str, str]]:
    """Return the known class of each cell, by id and by path."""
    if path.suffix.lower() == ".csv":
        rows = _rows(path)
        column = next((name for name in LABELS if rows and name in rows[0]), None)
        if column is None or not any(key in rows[0] for key in KEYS):
            raise CellsegError(f"{path}: no column of labels", "columns id (or path) and label")
        return {key: {row[key]: row[column] for row in rows if row.get(key) and row[column]} for key in KEYS}
    crops = read_crops(path)
    labelled = crops.take(crops.labels != "")
    if not len(labelled):
        raise CellsegError(f"{path}: no cell has a class", "folders named after classes, or a CSV of labels")
    labels = labelled.labels.tolist()
    return {
        "id": dict(zip(labelled.ids.tolist(), labels, strict=True)),
        "path": dict(zip(labelled.paths.tolist(), labels, strict=True)),
    }


def _paired(
    rows: Sequence[dict[str, str]], known: dict[str, dict[str, str]], predicted: Path, truth: Path
) -> tuple[str, dict[str, str]]:
    """Return the key by which most cells are found, and the classes under it."""
    found = {key: sum(row[key] in known[key] for row in rows) for key in KEYS if rows and key in rows[0]}
    best = max(found, key=lambda key: found[key])
    if not found[best]:
        raise CellsegError(
            f"no cell of {predicted} is in {truth}", "the same ids, or the same paths", "give the same cells"
        )
    return best, known[best]


def _labelled(labels: NDArray[np.str_], truth: list[str]) -> dict[str, Any]:
    given = labels != UNCLASSIFIED
    right = labels == np.array(truth, np.str_)
    return {
        "share": float(given.mean()),
        "accuracy": float(right[given].mean()) if given.any() else None,
        "unclassified": int((~given).sum()),
    }


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CellsegError(f"{path}: cannot be read ({reason})", "a CSV file with a header") from None
