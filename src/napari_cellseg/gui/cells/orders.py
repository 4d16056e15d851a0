"""In which order a gallery shows cells, and which of them: `ORDERS`. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.cells.curation import KINDS, Curation
from napari_cellseg.images.crops import Measurements

NO_MODEL = "classify the cells first: choose a model in the Classify dock, or train one from here"
NO_FIGURES = "wait until the cells are measured"


@dataclass(frozen=True)
class Known:
    """All that an order may go by."""

    curation: Curation
    measured: Measurements | None = None
    chosen: int | None = None


@dataclass(frozen=True)
class Order:
    """One way to sort: `key` returns (n,) floats, the smallest first, NaN last.

    `measured` says that it goes by what is measured on the cells, `judged` by what trees that
    did not learn from a cell say of it.
    """

    key: Callable[[Known], NDArray[np.float64]]
    description: str
    measured: bool = False
    judged: bool = False


def _files(known: Known) -> NDArray[np.float64]:
    return np.arange(len(known.curation), dtype=np.float64)


def _class(known: Known) -> NDArray[np.float64]:
    current = known.curation.current.astype(np.float64)
    return np.where(current < 0, np.nan, current)


def _probabilities(known: Known) -> NDArray[np.float64]:
    if known.curation.probabilities is None:
        raise CellsegError("no model has seen these cells", remedy=NO_MODEL)
    return known.curation.probabilities


def margin(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the likeliest class is ahead of the second, (n,).

    Examples
    --------
    >>> margin(np.array([[0.7, 0.2, 0.1]])).round(3).tolist()
    [0.5]
    """
    two = np.sort(probabilities, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of each row in bits, (n,): 0 for a model without doubt.

    Examples
    --------
    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    return -(probabilities * np.log2(np.where(probabilities > 0, probabilities, 1))).sum(axis=1) + 0.0


def _suspicion(known: Known) -> NDArray[np.float64]:
    """Return how far the label is ahead of the best other class, most negative first."""
    curation = known.curation
    found = curation.evidence
    if found is None:
        return _probabilities(known)
    labelled = np.flatnonzero(curation.given >= 0)
    others = found[labelled].copy()
    own = others[np.arange(len(labelled)), curation.given[labelled]].copy()
    others[np.arange(len(labelled)), curation.given[labelled]] = -1
    key = np.full(len(curation), np.nan)
    key[labelled] = own - others.max(axis=1)
    return key


def _similarity(known: Known) -> NDArray[np.float64]:
    if known.chosen is None:
        raise CellsegError("no cell is chosen", remedy="click on one, then sort by similarity")
    if known.measured is not None:
        return distances(known.measured.values, known.chosen)
    if known.curation.probabilities is None:
        raise CellsegError("nothing is measured", remedy=NO_FIGURES)
    return distances(known.curation.probabilities, known.chosen, scaled=False)


def distances(table: NDArray[np.floating], chosen: int, *, scaled: bool = True) -> NDArray[np.float64]:
    """Return the distance of every row from a chosen one, each column by its spread if `scaled`.

    Examples
    --------
    >>> distances(np.array([[0.0], [2.0], [1.0]]), 0, scaled=False).tolist()
    [0.0, 2.0, 1.0]
    """
    values = np.asarray(table, np.float64)
    if scaled:
        low, middle, high = np.nanpercentile(values, (25, 50, 75), axis=0)
        spread = np.where(high > low, high - low, 1)
        values = np.clip((values - middle) / spread, -3, 3)  # a single wild figure must not decide
    return np.asarray(np.sqrt(((values - values[chosen]) ** 2).sum(axis=1)), np.float64)


def _column(known: Known, name: str) -> NDArray[np.float64]:
    if known.measured is None:
        raise CellsegError("nothing is measured", remedy=NO_FIGURES)
    return known.measured.column(name).astype(np.float64)


def _blur(known: Known) -> NDArray[np.float64]:
    first = known.curation.crops.channels[0]
    return _column(known, f"{first}_blur")


ORDERS: dict[str, Order] = {
    "as in the files": Order(_files, "the order of the folder or table"),
    "class": Order(_class, "cells of a class together"),
    "doubt (margin)": Order(lambda k: margin(_probabilities(k)), "where two classes are nearly as likely"),
    "doubt (entropy)": Order(lambda k: -entropy(_probabilities(k)), "where many classes are possible"),
    "suspected label error": Order(
        _suspicion,
        "labels that contradict what is measured most, judged by trees that did not learn from the cell",
        judged=True,
    ),
    "similar to the chosen cell": Order(_similarity, "by what is measured on them", measured=True),
    "largest first": Order(lambda k: -_column(k, "area_px2"), "area of the object", measured=True),
    "smallest first": Order(lambda k: _column(k, "area_px2"), "area of the object", measured=True),
    "blurred first": Order(_blur, "sharpness of the first channel", measured=True),
}


@dataclass(frozen=True)
class Filter:
    """Which cells are shown; None for no restriction.

    Attributes
    ----------
    label : int, optional
        Index of the class; -1 for cells without one.
    kind : str, optional
        One of `KINDS`.
    sample : str, optional
    pair : (int, int), optional
        What people say and what the model says: a cell of the confusion matrix.
    """

    label: int | None = None
    kind: str | None = None
    sample: str | None = None
    pair: tuple[int, int] | None = None

    def mask(self, curation: Curation) -> NDArray[np.bool_]:
        """Return which cells pass, (n,)."""
        passed = np.ones(len(curation), bool)
        if self.label is not None:
            passed &= curation.current == self.label
        if self.kind is not None:
            passed &= curation.kinds == KINDS.index(self.kind)
        if self.sample is not None:
            passed &= curation.crops.samples == self.sample
        if self.pair is not None:
            passed &= (curation.given == self.pair[0]) & (curation.suggestions() == self.pair[1])
        return passed


def arranged(known: Known, order: str, chosen: Filter | None = None) -> NDArray[np.intp]:
    """Return the indices of the cells to show, in their order.

    Raises
    ------
    CellsegError
        If the order goes by something that is not known yet.

    Examples
    --------
    >>> from napari_cellseg.images.crops import Crops
    >>> cells = Curation(Crops.from_arrays([np.zeros((2, 2))] * 3, labels=["b", "", "a"]))
    >>> arranged(Known(cells), "class").tolist()
    [2, 0, 1]
    """
    key = ORDERS[order].key(known)
    ranks = np.argsort(key, kind="stable")
    return ranks if chosen is None else ranks[chosen.mask(known.curation)[ranks]]
