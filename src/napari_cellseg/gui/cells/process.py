"""The process that names and measures cells: `python -m napari_cellseg.gui.cells.process FOLDER`.

torch stays out of the viewer's process, see `gui.prediction.block_process`. Unlike that one this process
stays: the model and the cells it was last asked for are kept in memory, so that the next
question, about one cell perhaps, is answered in a blink. Questions are files `NUMBER.json` in
the folder; how far each is, and where its answer lies, is told in lines. Imports no napari.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import UNCLASSIFIED
from napari_cellseg.gui.cells.store import read_measured, write_measured
from napari_cellseg.images.crops import Crops, Measurements, measure_each, measured_names, read_crops

LOOK_SECONDS = 0.005
IDLE_SECONDS = 900.0  # then the memory is given back; the next question starts a new process
EVERY = 64
FOLDS, TREES = 5, 100  # of random trees: several times faster than boosted ones, and good enough to point


@dataclass(frozen=True)
class Question:
    """What to do with which cells.

    Attributes
    ----------
    number : int
    task : str
        One of `TASKS`.
    crops : str
        What `read_crops` takes.
    out : str
        The file to write the answer to.
    ids : tuple of str
        Cells asked for; all if empty.
    model : str
        Model file.
    settings : dict
        Of `ClassifySettings`.
    labels : dict
        What people say by id.
    measured : str
        File of what was measured on all cells.
    """

    number: int
    task: str
    crops: str
    out: str
    ids: tuple[str, ...] = ()
    model: str = ""
    settings: dict[str, object] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    measured: str = ""


@dataclass(frozen=True)
class Working:
    """So many of so many cells are done."""

    number: int
    done: int
    total: int


@dataclass(frozen=True)
class Answered:
    """The answer is written; `left_out` cells could not be read."""

    number: int
    out: str
    seconds: float
    left_out: int = 0


@dataclass(frozen=True)
class Refused:
    """It cannot be done, and why."""

    number: int
    message: str


Record = Working | Answered | Refused
EVENTS: dict[str, type[Record]] = {"working": Working, "answered": Answered, "refused": Refused}


def to_line(record: Record) -> str:
    """Return a record as a line of JSON."""
    event = next(name for name, kind in EVENTS.items() if isinstance(record, kind))
    return json.dumps({"event": event, **asdict(record)})


def from_line(line: str) -> Record:
    """Return the record that `to_line` wrote; ValueError if the line is none.

    Examples
    --------
    >>> from_line(to_line(Working(3, 1, 2)))
    Working(number=3, done=1, total=2)
    """
    values = json.loads(line)
    kind = EVENTS.get(values.pop("event", "")) if isinstance(values, dict) else None
    if kind is None:
        raise ValueError(f"not a record of naming cells: {line[:80]!r}")
    return kind(**values)


class _Kept:
    """What was read for the last question and may serve the next."""

    def __init__(self) -> None:
        self._path, self._crops = "", Crops.from_arrays([])
        self._key: tuple[str, int] = ("", 0)
        self._model: object = None

    def crops(self, question: Question) -> Crops:
        """Return the cells asked for; a question about all of them looks at the folder anew."""
        if self._path != question.crops or not question.ids:
            self._path, self._crops = question.crops, read_crops(question.crops)
        if not question.ids:
            return self._crops
        wanted = set(question.ids)
        return self._crops.take([k for k, name in enumerate(self._crops.ids.tolist()) if name in wanted])

    def model(self, path: str) -> object:
        """Return the model in a file, loaded again only if the file changed."""
        from napari_cellseg.nets.model import load_model

        key = (path, Path(path).stat().st_mtime_ns if Path(path).exists() else 0)
        if key != self._key or self._model is None:
            self._key, self._model = key, load_model(path, task="classify")
        return self._model


def _classify(question: Question, kept: _Kept) -> Iterator[Record]:
    from napari_cellseg.predict.classify import TableDone, TableProgress, classify_to_table
    from napari_cellseg.settings import ClassifySettings

    began = time.monotonic()
    model, crops = kept.model(question.model), kept.crops(question)
    settings = ClassifySettings.checked(dict(question.settings))
    for record in classify_to_table(crops, model, Path(question.out), settings=settings):
        if isinstance(record, TableProgress):
            yield Working(question.number, record.done, record.total)
        elif isinstance(record, TableDone):
            seconds = time.monotonic() - began
            yield Answered(question.number, question.out, seconds, len(record.left_out))


def _measure(question: Question, kept: _Kept) -> Iterator[Record]:
    began, crops = time.monotonic(), kept.crops(question)
    names = measured_names(crops.channels)
    values = np.empty((len(crops), len(names)), np.float32)
    for index, row in enumerate(measure_each(crops)):
        values[index] = row
        if index % EVERY == 0:
            yield Working(question.number, index, len(crops))
    write_measured(Path(question.out), Measurements(names, values), crops.ids)
    yield Answered(question.number, question.out, time.monotonic() - began)


def _judge(question: Question, kept: _Kept) -> Iterator[Record]:
    """Write what trees say of each labelled cell that did not learn from it."""
    from napari_cellseg.formats.class_table import ClassTable, write_class_table

    began, crops = time.monotonic(), kept.crops(question)
    measured = read_measured(Path(question.measured), crops.ids)
    if measured is None:
        raise CellsegError("these cells are not measured yet")
    labels = np.array([question.labels.get(name, "") for name in crops.ids.tolist()], np.str_)
    known = np.flatnonzero(labels != "")
    names, classes = np.unique(labels[known], return_inverse=True)
    if len(names) < 2:
        raise CellsegError("labels of one class", "two classes at least", "label some more cells")
    yield Working(question.number, 0, len(known))
    found = np.full((len(crops), len(names)), np.nan)
    found[known] = out_of_fold(measured.values[known], classes)
    best = np.where(np.isnan(found[:, 0]), UNCLASSIFIED, names[np.nan_to_num(found).argmax(axis=1)])
    table = ClassTable.of(crops, names.tolist(), labels=best, probabilities=found, model="out of fold")
    write_class_table(question.out, table, overwrite=True)
    yield Answered(question.number, question.out, time.monotonic() - began)


def out_of_fold(figures: NDArray[np.float32], classes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the probabilities (n, k) of cells, each by trees that did not learn from it.

    Parameters
    ----------
    figures : (n, m)
        What is measured on each cell.
    classes : (n,) int
        0 to k - 1, of which two have two cells at least.

    Raises
    ------
    CellsegError
        If there are too few cells to leave some out.

    Examples
    --------
    >>> x, y = np.linspace(0, 1, 100, dtype=np.float32)[:, None], np.arange(100) // 50
    >>> out_of_fold(x, y).argmax(axis=1)[[3, 97]].tolist()
    [0, 1]
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    counts = np.bincount(classes)
    if (counts > 1).sum() < 2:
        raise CellsegError("one cell of each class", "two of two classes at least", "label some more cells")
    folds = StratifiedKFold(min(FOLDS, int(counts.max())), shuffle=True, random_state=0)
    trees = RandomForestClassifier(
        TREES, min_samples_leaf=2, class_weight="balanced_subsample", random_state=0
    )
    with warnings.catch_warnings():  # of classes that have fewer cells than there are folds
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(
            cross_val_predict(trees, np.nan_to_num(figures), classes, cv=folds, method="predict_proba")
        )


def _prepare(question: Question, kept: _Kept) -> Iterator[Record]:
    """Load what an answer needs before anybody asks: the libraries and the model."""
    from napari_cellseg.nets.classifier_spec import Classifier
    from napari_cellseg.predict.classify import prepare_classifier

    began, model = time.monotonic(), kept.model(question.model)
    assert isinstance(model, Classifier)
    spec = model.spec
    pictures = np.zeros((1, len(spec.channels), *spec.size), np.float32)
    prepare_classifier(model)(pictures, np.zeros((1, spec.options.get("measurements", 0)), np.float32))
    yield Answered(question.number, "", time.monotonic() - began)


TASKS: dict[str, Callable[[Question, _Kept], Iterator[Record]]] = {
    "prepare": _prepare,
    "classify": _classify,
    "measure": _measure,
    "judge": _judge,
}


def answer_all(folder: Path) -> Iterator[Record]:
    """Answer what is asked until a file `stop` appears, nobody asks any more, or the viewer is gone."""
    kept, last, parent = _Kept(), time.monotonic(), os.getppid()
    while not (folder / "stop").exists():
        asked = sorted(folder.glob("[0-9]*.json"), key=lambda path: int(path.stem))
        if not asked:
            if time.monotonic() - last > IDLE_SECONDS or os.getppid() != parent:
                return
            time.sleep(LOOK_SECONDS)
            continue
        values = json.loads(asked[0].read_text("utf-8"))
        question = Question(**values | {"ids": tuple(values["ids"])})
        asked[0].unlink()
        try:
            for record in TASKS[question.task](question, kept):
                yield record
                if (folder / "stop").exists():
                    return
                if (folder / f"{question.number}.drop").exists():
                    yield Refused(question.number, "")
                    break
        except (CellsegError, RuntimeError) as error:  # torch tells what a device cannot do in the latter
            yield Refused(question.number, str(error).splitlines()[0])
        last = time.monotonic()


def main(arguments: list[str]) -> int:
    """Answer the questions in a folder."""
    for record in answer_all(Path(arguments[0])):
        print(to_line(record), flush=True)  # noqa: T201 (the viewer reads it)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
