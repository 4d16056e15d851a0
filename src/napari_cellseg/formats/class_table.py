"""What cells were named, as a table: for people, and for everything that reads CSV."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops, LeftOut, Measurements
from napari_cellseg.images.crops.columns import read_columns, read_text
from napari_cellseg.images.whole_files import replace_whole

STATUSES = ("predicted", "validated", "dubious")
UNCLASSIFIED = "unclassified"
COLUMNS = ("path", "id", "sample", "label", "confidence")
PROBABILITY = "p_"


@dataclass(frozen=True, eq=False)
class ClassTable:
    """What was said of some cells, one entry a cell.

    Parameters
    ----------
    classes : tuple of str
        All classes there are, in the order of the columns of `probabilities`.
    ids, paths, samples : (n,) str
        As in `Crops`.
    labels : (n,) str
        A class, or "unclassified".
    statuses : (n,) str
        "predicted", "validated" (a person said so) or "dubious" (a person was not sure).
    probabilities : (n, k) float64
        NaN where nothing was predicted.
    model : str
        Id of the model; "" if there was none.

    Raises
    ------
    CellsegError
        If a column has another length, or a label or a status is unknown.
    """

    classes: tuple[str, ...]
    ids: NDArray[np.str_]
    paths: NDArray[np.str_]
    samples: NDArray[np.str_]
    labels: NDArray[np.str_]
    statuses: NDArray[np.str_]
    probabilities: NDArray[np.float64]
    model: str = ""

    def __post_init__(self) -> None:
        for name in ("paths", "samples", "labels", "statuses", "probabilities"):
            if len(getattr(self, name)) != len(self.ids):
                raise CellsegError(
                    f"{len(getattr(self, name))} {name} for {len(self.ids)} cells", "one a cell"
                )
        if self.probabilities.shape != (len(self.ids), len(self.classes)):
            found = f"probabilities of shape {self.probabilities.shape}"
            raise CellsegError(found, f"({len(self.ids)}, {len(self.classes)}): cells and classes")
        for what, values, known in (
            ("label", self.labels, (*self.classes, UNCLASSIFIED)),
            ("status", self.statuses, STATUSES),
        ):
            strange = sorted(set(values.tolist()) - set(known))
            if strange:
                raise CellsegError(f"{what} {strange[0]!r}", " or ".join(known))

    @classmethod
    def of(
        cls,
        crops: Crops,
        classes: Sequence[str],
        *,
        labels: Sequence[str] | NDArray[np.str_],
        probabilities: NDArray[np.floating] | None = None,
        statuses: Sequence[str] | NDArray[np.str_] = (),
        model: str = "",
    ) -> "ClassTable":
        """Return the table of these crops; everything counts as predicted unless `statuses` says more.

        Examples
        --------
        >>> cells = Crops.from_arrays([np.zeros((2, 2))])
        >>> ClassTable.of(cells, ("a", "b"), labels=["a"]).statuses.tolist()
        ['predicted']
        """
        if probabilities is None:
            probabilities = np.full((len(crops), len(classes)), np.nan)
        said = np.asarray(statuses, np.str_) if len(statuses) else np.full(len(crops), STATUSES[0])
        named = np.asarray(labels, np.str_)
        values = np.asarray(probabilities, np.float64)
        return cls(tuple(classes), crops.ids, crops.paths, crops.samples, named, said, values, model)

    @property
    def confidences(self) -> NDArray[np.float64]:
        """Probability of the likeliest class, (n,); NaN where nothing was predicted."""
        if not self.classes:
            return np.full(len(self.ids), np.nan)
        highest: NDArray[np.float64] = self.probabilities.max(axis=1)
        return highest

    def __len__(self) -> int:
        return len(self.ids)


def write_class_table(path: str | Path, table: ClassTable, *, overwrite: bool = False) -> None:
    """Write a CSV: path, id, sample, label, confidence, ``p_<class>`` for each class, status, model.

    Raises
    ------
    CellsegError
        If the file exists or cannot be written.
    """
    path = free(path, overwrite)
    head = (*COLUMNS, *(PROBABILITY + name for name in table.classes), "status", "model")
    columns = (table.paths, table.ids, table.samples, table.labels, table.confidences)
    with replace_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for *named, confidence, row, status in zip(
            *columns, table.probabilities, table.statuses, strict=True
        ):
            numbers = ("" if np.isnan(value) else f"{value:.9g}" for value in (confidence, *row))
            writer.writerow((*named, *numbers, status, table.model))


def read_class_table(path: str | Path) -> ClassTable:
    """Return what a table written by `classify` or `write_class_table` says; classes in its order.

    Raises
    ------
    CellsegError
        If a column is missing or a probability is no number.
    """
    path = Path(path)
    columns = read_columns(read_text(path), path.name, separators=",")
    missing = [name for name in ("path", "id", "sample", "label") if name not in columns]
    if missing:
        raise CellsegError(f"{path.name}: no column {missing[0]!r}", "a table written by classify")
    keys = [name for name in columns if name.startswith(PROBABILITY)]
    count = len(columns["id"])
    probabilities = np.empty((count, len(keys)))
    for index, key in enumerate(keys):
        try:
            probabilities[:, index] = [float(cell or "nan") for cell in columns[key]]
        except ValueError as error:
            raise CellsegError(f"{path.name}: column {key}: {error}", "numbers") from None
    models = columns.get("model", [])
    texts = {name: np.array(columns[name], np.str_) for name in ("path", "id", "sample", "label")}
    return ClassTable(
        tuple(key.removeprefix(PROBABILITY) for key in keys),
        ids=texts["id"],
        paths=texts["path"],
        samples=texts["sample"],
        labels=texts["label"],
        statuses=np.array(columns.get("status", [STATUSES[0]] * count), np.str_),
        probabilities=probabilities,
        model=models[0] if models else "",
    )


def write_measurements(
    path: str | Path,
    crops: Crops,
    measured: Measurements,
    *,
    pixel_nm: float | None = None,
    overwrite: bool = False,
) -> None:
    """Write a CSV of what was measured: id, path, sample, label, then the figures.

    Parameters
    ----------
    path : str or Path
    crops : Crops
    measured : Measurements
        Of these crops, see `measure_crops`.
    pixel_nm : float, optional
        Pixel size; with it lengths are in um and areas in um2, and the columns say so.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    CellsegError
        If the file exists or cannot be written.
    """
    path = free(path, overwrite)
    um = None if pixel_nm is None else pixel_nm / 1000
    units = [_in_um(name, um) for name in measured.names]
    columns = (crops.ids, crops.paths, crops.samples, crops.labels)
    with replace_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "path", "sample", "label", *(name for name, _ in units)))
        scaled = measured.values * np.array([scale for _, scale in units])
        for *named, row in zip(*columns, scaled, strict=True):
            writer.writerow((*named, *("" if np.isnan(value) else f"{value:.6g}" for value in row)))


def write_left_out(path: str | Path, left_out: Sequence[LeftOut], *, overwrite: bool = False) -> None:
    """Write a CSV of the crops that were not taken: path, id, reason."""
    path = free(path, overwrite)
    with replace_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "id", "reason"))
        writer.writerows((one.path, one.id, one.reason) for one in left_out)


def free(path: str | Path, overwrite: bool) -> Path:
    """Return where to write.

    Raises
    ------
    CellsegError
        If there is something already and it may not be replaced.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise CellsegError(
            f"{path}: exists already", "a new name", "choose another name or allow overwriting"
        )
    return path


def _in_um(name: str, um: float | None) -> tuple[str, float]:
    for ending, power in (("_px2", 2), ("_px", 1)):
        if um is not None and name.endswith(ending):
            return name.removesuffix(ending) + ending.replace("px", "um"), um**power
    return name, 1.0
