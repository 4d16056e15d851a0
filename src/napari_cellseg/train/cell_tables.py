"""What a training says of every cell, as a CSV: for the report, for sorting, for other programs."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops
from napari_cellseg.images.whole_files import replace_whole

PREDICTIONS, BASELINE = "predictions.csv", "baseline.csv"
COLUMNS = ("path", "id", "sample", "part", "truth", "label", "confidence")
PROBABILITY = "p_"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was said of cells whose class is known.

    Attributes
    ----------
    classes : tuple of str
    ids, samples, parts : (n,) str
        `parts` says on which side of the split a cell was.
    truth : (n,) int
    probabilities : (n, k)
    """

    classes: tuple[str, ...]
    ids: NDArray[np.str_]
    samples: NDArray[np.str_]
    parts: NDArray[np.str_]
    truth: NDArray[np.intp]
    probabilities: NDArray[np.float64]

    def part(self, name: str) -> "Predictions":
        """Return what was said of one part."""
        chosen = self.parts == name
        names = (self.ids[chosen], self.samples[chosen], self.parts[chosen])
        return Predictions(self.classes, *names, self.truth[chosen], self.probabilities[chosen])

    def __len__(self) -> int:
        return len(self.ids)


def write_predictions(
    path: Path,
    crops: Crops,
    parts: Sequence[str],
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
) -> None:
    """Write a line for each cell, whole or not at all.

    Parameters
    ----------
    path : Path
    crops : Crops
        Labelled cells.
    parts : sequence of str
        Side of the split of each.
    probabilities : (n, k)
    classes : sequence of str
        In the order of the columns of `probabilities`.
    """
    with replace_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, *(f"{PROBABILITY}{name}" for name in classes)))
        for index, row in enumerate(probabilities):
            named = (crops.paths[index], crops.ids[index], crops.samples[index], parts[index])
            best = int(row.argmax())
            said = (crops.labels[index], classes[best], f"{row[best]:.6f}")
            writer.writerow((*named, *said, *(f"{value:.6f}" for value in row)))


def read_predictions(path: Path) -> Predictions:
    """Return what `write_predictions` wrote.

    Raises
    ------
    CellsegError
        If the file is missing or is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise CellsegError(f"{path}: cannot be read ({error})", "predictions of a training") from None
    first = len(COLUMNS)
    if tuple(head[:first]) != COLUMNS:
        raise CellsegError(f"{path}: columns {', '.join(head[:first])}", ", ".join(COLUMNS))
    classes = tuple(name.removeprefix(PROBABILITY) for name in head[first:])
    place = {name: index for index, name in enumerate(classes)}
    columns: list[tuple[str, ...]] = list(zip(*rows, strict=True)) or [()] * len(head)
    ids, samples, parts = (np.array(columns[COLUMNS.index(key)], np.str_) for key in ("id", "sample", "part"))
    return Predictions(
        classes,
        ids,
        samples,
        parts,
        np.array([place[name] for name in columns[COLUMNS.index("truth")]], np.intp),
        np.array(columns[first:], np.float64).T.reshape(len(rows), len(classes)),
    )
