"""What is known of each cell's class: what people say, what a model says, and the way back. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import STATUSES, UNCLASSIFIED, ClassTable
from napari_cellseg.images.crops import Crops

PREDICTED, VALIDATED, DUBIOUS = STATUSES
UNLABELLED = "unlabelled"
KINDS = (*STATUSES, UNLABELLED)
"""What a cell's class rests on; cells of the last kind have none."""

NONE = -1
MOST_STEPS = 1000
"""Changes that can be taken back."""


@dataclass(frozen=True)
class Said:
    """What a person says of one cell: a class ("" for none), and whether in doubt."""

    label: str
    dubious: bool = False


@dataclass(frozen=True, eq=False)
class _Change:
    """A step that can be taken back: which cells, what was said of them before and after."""

    indices: NDArray[np.intp]
    before: tuple[NDArray[np.int16], NDArray[np.bool_]]
    after: tuple[NDArray[np.int16], NDArray[np.bool_]]


class Curation:
    """Labels that people gave, predictions beside them, and every change undoable.

    A prediction never changes what a person said: the two are kept apart. Labels that came
    with the files count as said by a person.

    Parameters
    ----------
    crops : Crops
    classes : sequence of str
        Further names of classes, beside those of the files.

    Attributes
    ----------
    classes : tuple of str
        All there are; labels are indices into it, -1 for none.
    given : (n,) int16
        What people said.
    dubious : (n,) bool
        Whether they were not sure.
    guessed : (n,) int16
        What the model said; -1 where it was below its threshold or said nothing.
    probabilities : (n, class) float64, or None
        Of the model, in the order of `classes`; NaN where it said nothing.
    folds : (n, class) float64, or None
        As `probabilities`, each cell judged by a model that did not learn from it.

    Examples
    --------
    >>> cells = Curation(Crops.from_arrays([np.zeros((2, 2))] * 3, labels=["a", "b", ""]))
    >>> cells.assign([2], "a")
    >>> cells.labels().tolist(), cells.undo().tolist(), cells.labels().tolist()
    (['a', 'b', 'a'], [2], ['a', 'b', ''])
    """

    def __init__(self, crops: Crops, classes: Sequence[str] = ()) -> None:
        self.crops = crops
        self.classes: tuple[str, ...] = ()
        self.probabilities: NDArray[np.float64] | None = None
        self.folds: NDArray[np.float64] | None = None
        self.model = ""
        self.add_classes((*crops.class_names, *classes))
        place = {name: index for index, name in enumerate(self.classes)} | {"": NONE}
        names, which = np.unique(crops.labels, return_inverse=True)
        self.given = np.array([place[str(name)] for name in names], np.int16)[which].reshape(len(crops))
        self._in_files = self.given.copy()
        self.dubious = np.zeros(len(crops), bool)
        self.guessed = np.full(len(crops), NONE, np.int16)
        self._done: list[_Change] = []
        self._undone: list[_Change] = []

    def __len__(self) -> int:
        return len(self.crops)

    # -- what holds

    @property
    def current(self) -> NDArray[np.int16]:
        """Class of each cell, (n,): what people said, else what the model said, else -1."""
        return np.where(self.given >= 0, self.given, self.guessed)

    @property
    def kinds(self) -> NDArray[np.int8]:
        """What each class rests on, (n,): indices into `KINDS`."""
        kinds = np.full(len(self), KINDS.index(UNLABELLED), np.int8)
        if self.probabilities is not None:
            kinds[~np.isnan(self.probabilities[:, 0])] = KINDS.index(PREDICTED)
        kinds[self.given >= 0] = KINDS.index(VALIDATED)
        kinds[self.dubious] = KINDS.index(DUBIOUS)
        return kinds

    def labels(self) -> NDArray[np.str_]:
        """Return the name of each cell's class, "" for none."""
        return np.array([*self.classes, ""], np.str_)[self.current]

    def suggestions(self) -> NDArray[np.int16]:
        """Return the likeliest class of each cell by `evidence`, (n,); -1 where there is none."""
        found = self.evidence
        if found is None:
            return np.full(len(self), NONE, np.int16)
        known = ~np.isnan(found).all(axis=1)
        best = np.full(len(self), NONE, np.int16)
        best[known] = np.nanargmax(found[known], axis=1)
        return best

    @property
    def evidence(self) -> NDArray[np.float64] | None:
        """Probabilities to hold against the labels: out-of-fold ones if there are any."""
        return self.probabilities if self.folds is None else self.folds

    # -- what people say

    def add_classes(self, names: Sequence[str]) -> None:
        """Add classes that are not there yet."""
        new = tuple(dict.fromkeys(name for name in names if name and name not in self.classes))
        if UNCLASSIFIED in new:
            raise CellsegError(f"a class called {UNCLASSIFIED!r}", "another name")
        self.classes += new
        for kind in ("probabilities", "folds"):
            table = getattr(self, kind)
            if table is not None and new:
                setattr(self, kind, np.pad(table, ((0, 0), (0, len(new)))))

    def assign(self, indices: ArrayLike, name: str) -> None:
        """Say the class of some cells; "" takes back what was said."""
        self.add_classes([name])
        chosen = np.asarray(indices, np.intp)
        label = self.classes.index(name) if name else NONE
        self._change(chosen, np.full(len(chosen), label, np.int16), np.zeros(len(chosen), bool))

    def validate(self, indices: ArrayLike) -> None:
        """Say that some cells are what they are taken for; cells without a class stay as they are."""
        chosen = np.asarray(indices, np.intp)
        chosen = chosen[self.current[chosen] >= 0]
        self._change(chosen, self.current[chosen], np.zeros(len(chosen), bool))

    def doubt(self, indices: ArrayLike) -> None:
        """Mark some cells as dubious, or take that back if all of them are."""
        chosen = np.asarray(indices, np.intp)
        mark = not bool(self.dubious[chosen].all())
        self._change(chosen, self.given[chosen], np.full(len(chosen), mark))

    def undo(self) -> NDArray[np.intp]:
        """Take the last change back; return the cells concerned."""
        return self._step(self._done, self._undone, "before")

    def redo(self) -> NDArray[np.intp]:
        """Make the change again that was taken back last; return the cells concerned."""
        return self._step(self._undone, self._done, "after")

    def _change(self, chosen: NDArray[np.intp], given: NDArray[np.int16], dubious: NDArray[np.bool_]) -> None:
        before = (self.given[chosen].copy(), self.dubious[chosen].copy())
        if not len(chosen) or (np.array_equal(before[0], given) and np.array_equal(before[1], dubious)):
            return
        self.given[chosen], self.dubious[chosen] = given, dubious
        self._done.append(_Change(chosen, before, (given.copy(), dubious.copy())))
        del self._done[:-MOST_STEPS]
        self._undone.clear()

    def _step(self, source: list[_Change], target: list[_Change], side: str) -> NDArray[np.intp]:
        if not source:
            return np.zeros(0, np.intp)
        change = source.pop()
        target.append(change)
        self.given[change.indices], self.dubious[change.indices] = getattr(change, side)
        return change.indices

    def decisions(self) -> dict[str, Said]:
        """Return what people said by id, as far as it is not in the files."""
        chosen = np.flatnonzero((self.given != self._in_files) | self.dubious)
        names = (*self.classes, "")
        return {
            str(self.crops.ids[k]): Said(names[self.given[k]], bool(self.dubious[k])) for k in chosen.tolist()
        }

    def recall(self, decisions: Mapping[str, Said]) -> int:
        """Take up what was said at an earlier time; return for how many ids there is no cell."""
        self.add_classes([said.label for said in decisions.values()])
        place = {str(name): index for index, name in enumerate(self.crops.ids)}
        labels = {name: index for index, name in enumerate(self.classes)} | {"": NONE}
        strange = 0
        for name, said in decisions.items():
            index = place.get(name)
            if index is None:
                strange += 1
                continue
            self.given[index], self.dubious[index] = labels[said.label], said.dubious
        return strange

    def known(self) -> dict[str, str]:
        """Return the classes to learn from by id: "" where nothing, or nothing certain, was said."""
        names = np.array([*self.classes, ""], np.str_)[np.where(self.dubious, NONE, self.given)]
        return dict(zip(self.crops.ids.tolist(), names.tolist(), strict=True))

    # -- what a model says

    def predict(self, table: ClassTable) -> None:
        """Take a model's table; of the cells in it only the model's word changes, never a person's."""
        self.add_classes(table.classes)
        columns = [self.classes.index(name) for name in table.classes]
        order = np.argsort(self.crops.ids)
        at = np.searchsorted(self.crops.ids, table.ids, sorter=order)
        at = order[np.minimum(at, len(order) - 1)]
        ours = self.crops.ids[at] == table.ids
        if self.probabilities is None or table.model != self.model:
            self.probabilities = np.full((len(self), len(self.classes)), np.nan)
            self.guessed[:] = NONE
        self.model = table.model
        rows = np.zeros((int(ours.sum()), len(self.classes)))
        rows[:, columns] = table.probabilities[ours]
        self.probabilities[at[ours]] = rows
        place = {name: index for index, name in enumerate(self.classes)}
        self.guessed[at[ours]] = [place.get(name, NONE) for name in table.labels[ours].tolist()]

    def limit(self, limits: Mapping[str, float]) -> None:
        """Say anew from which confidence the model's word counts, by class."""
        if self.probabilities is None:
            return
        least = np.array([limits.get(name, 0.0) for name in self.classes])
        known = np.flatnonzero(~np.isnan(self.probabilities).all(axis=1))
        best = np.nanargmax(self.probabilities[known], axis=1)
        sure = self.probabilities[known, best] >= least[best]
        self.guessed[known] = np.where(sure, best, NONE)

    def table(self) -> ClassTable:
        """Return everything as a table for other programs."""
        labels = self.labels()
        kinds = np.array([*STATUSES, PREDICTED], np.str_)[self.kinds]
        return ClassTable.of(
            self.crops,
            self.classes,
            labels=np.where(labels == "", UNCLASSIFIED, labels),
            probabilities=self.probabilities,
            statuses=kinds,
            model=self.model,
        )

    def confusion(self) -> NDArray[np.intp]:
        """Return how often a cell that people call row is column to the model, (class, class)."""
        found = self.suggestions()
        both = (self.given >= 0) & (found >= 0)
        count = len(self.classes)
        flat = self.given[both].astype(np.intp) * count + found[both]
        return np.bincount(flat, minlength=count * count).reshape(count, count)
