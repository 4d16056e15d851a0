"""Which cells are learned from, chosen by, calibrated on and tested with.

Cells with the same pixels are always on one side, and those of a sample where there are
enough samples; each part holds every class in its share as far as that goes.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import ClassifierSettings

Indices = NDArray[np.intp]

FEWEST_SAMPLES = 3
TOLD_APART = 0.95
"""From this share of the cells whose class is what the sample says, class and sample are one."""


@dataclass(frozen=True)
class CropSplit:
    """Indices of the cells in each part, sorted; `notices` are sentences to show."""

    train: Indices
    validation: Indices
    calibration: Indices
    test: Indices
    notices: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Indices]:
        """The parts by name."""
        return {
            "train": self.train,
            "validation": self.validation,
            "calibration": self.calibration,
            "test": self.test,
        }


@dataclass
class _Draw:
    """Cells that are not in a part yet, and how they may be drawn."""

    classes: Indices
    samples: Indices
    units: Indices
    rng: np.random.Generator
    left: Indices
    torn: list[str] = field(default_factory=list)
    """Parts for which there were too few samples to keep them apart."""

    def take(self, share: float, what: str, *, by_sample: bool) -> Indices:
        """Move about `share` of all cells out of those that are left, and return them."""
        if not share:
            return np.zeros(0, np.intp)
        wanted = share * len(self.classes) / len(self.left)
        taken = self._samples(wanted) if by_sample else None
        if by_sample and taken is None:
            self.torn.append(what)
        if taken is None:
            taken = self._cells(wanted)
        self.left = np.setdiff1d(self.left, taken)
        return np.sort(taken)

    def _samples(self, share: float) -> Indices | None:
        """Return whole samples, or None where that leaves a class with nothing to learn from."""
        from sklearn.model_selection import StratifiedGroupKFold

        classes, samples = self.classes[self.left], self.samples[self.left]
        count, largest = len(np.unique(samples)), int(np.bincount(classes).max())
        folds = min(max(2, round(1 / share)), count, largest)
        if count < FEWEST_SAMPLES or folds < 2:
            return None
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=int(self.rng.integers(2**31)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes rarer than folds
            found = [test for _, test in splitter.split(classes, classes, samples)]
        whole = [
            fold for fold in found if len(fold) and set(np.delete(classes, fold)) == set(classes.tolist())
        ]
        if not whole:
            return None
        wanted = share * len(self.left)
        nearest: Indices = min(whole, key=lambda fold: abs(len(fold) - wanted))
        return self.left[nearest]

    def _cells(self, share: float) -> Indices:
        """Return some cells of each class, none with a double among those that stay."""
        _, first = np.unique(self.units[self.left], return_index=True)
        leaders = self.left[first]
        chosen: list[int] = []
        for name in np.unique(self.classes[leaders]):
            own = self.rng.permutation(leaders[self.classes[leaders] == name])
            many = min(max(round(share * len(own)), 1), len(own) // 2)  # half and more is learned from
            chosen += own[:many].tolist()
        taken = np.isin(self.units[self.left], self.units[chosen])
        classes = self.classes[self.left]
        last = np.setdiff1d(classes, classes[~taken])  # their doubles have other labels
        taken &= ~np.isin(self.units[self.left], self.units[self.left][np.isin(classes, last)])
        return self.left[taken]


def split_crops(
    labels: Sequence[str],
    samples: Sequence[str],
    doubles: Sequence[Indices],
    *,
    settings: ClassifierSettings,
    test: Indices | None = None,
) -> CropSplit:
    """Return which labelled cells go into which part.

    Parameters
    ----------
    labels : sequence of str
        Class of each cell.
    samples : sequence of str
        Sample of each cell; all "" where unknown.
    doubles : sequence of index arrays
        Groups of cells with the same pixels, as `find_duplicates` returns them.
    settings : ClassifierSettings
        Shares, seed, and whether samples stay together.
    test : indices, optional
        Cells to test on, instead of a draw.

    Raises
    ------
    CellsegError
        If there are no two classes to learn.

    Examples
    --------
    >>> split = split_crops(["a", "b"] * 40, [""] * 80, [], settings=ClassifierSettings())
    >>> [len(part) for part in split.parts.values()]
    [48, 12, 8, 12]
    """
    names, classes = np.unique(np.asarray(labels, np.str_), return_inverse=True)
    _check_classes(names, classes)
    _, groups = np.unique(np.asarray(samples, np.str_), return_inverse=True)
    units = np.arange(len(classes))
    for group in doubles:
        units[group] = group[0]
    notices = [*_about_classes(names, classes), *_about_doubles(classes, doubles)]
    count = len(np.unique(groups))
    known = 1 < count < 0.7 * len(classes)  # a sample of its own for each cell groups nothing
    notices += confounded(names, classes, np.unique(samples), groups) if known else []
    if known:
        for group in doubles:  # a double in another sample binds the two together
            groups[np.isin(groups, groups[group])] = groups[group[0]]
    rng = np.random.default_rng([settings.seed, 1])
    draw = _Draw(classes, groups, units, rng, np.arange(len(classes)))
    by_sample = known and settings.by_sample
    if test is None:
        test = draw.take(settings.test, "the test", by_sample=by_sample)
    else:
        test = np.sort(test)
        draw.left = _without_doubles(np.setdiff1d(draw.left, test), units, test, notices)
        _check_classes(names, classes[draw.left])
    validation = draw.take(settings.validation, "validation", by_sample=by_sample)
    # a part of cells never seen, from the samples that are learned from: it only scales confidences
    calibration = draw.take(settings.calibration, "calibration", by_sample=False)
    if draw.torn:
        notices.append(
            f"Too few samples ({count}) to keep them apart for {' and '.join(draw.torn)}: those cells are "
            "drawn from all samples, and a new sample will do worse than the figures say."
        )
    return CropSplit(draw.left, validation, calibration, test, tuple(dict.fromkeys(notices)))


def confounded(
    names: NDArray[np.str_], classes: Indices, samples: NDArray[np.str_], groups: Indices
) -> list[str]:
    """Return warnings where a cell's sample tells its class.

    Examples
    --------
    >>> said = confounded(
    ...     np.array(["a", "b"]), np.array([0, 0, 1, 1]), np.array(["x", "y"]), np.array([0, 0, 1, 1])
    ... )
    >>> said[0][:55]
    'WARNING: class and sample cannot be told apart: 100 % o'
    """
    table = np.zeros((len(samples), len(names)), np.int64)
    np.add.at(table, (groups, classes), 1)
    told, most = table.max(axis=1).sum() / table.sum(), table.sum(axis=0).max() / table.sum()
    if told - most >= TOLD_APART * (1 - most):
        return [
            f"WARNING: class and sample cannot be told apart: {100 * told:.0f} % of the cells have the class "
            "that is the most frequent in their sample. A network may learn the day or the instrument, and "
            "no figure here can show it; add samples that hold several classes."
        ]
    alone = [str(names[k]) for k in np.flatnonzero((table > 0).sum(axis=0) == 1)]
    return [f"WARNING: in one sample only: {', '.join(alone)}."] if alone else []


def _check_classes(names: NDArray[np.str_], classes: Indices) -> None:
    present = names[np.unique(classes)]
    if len(present) < 2:
        raise CellsegError(
            f"{len(classes)} labelled cells of {' and '.join(present) or 'no class'}",
            "at least two classes",
            "put cells of another class into a folder of its own, or label some",
        )


def _about_classes(names: NDArray[np.str_], classes: Indices) -> list[str]:
    counts = np.bincount(classes, minlength=len(names))
    few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < 5]
    single = [str(name) for name, count in zip(names, counts, strict=True) if count == 1]
    said = [f"Very few cells: {', '.join(few)}; figures of these classes say little."] if few else []
    if single:
        said.append(f"One cell only: {', '.join(single)}; learned from, but never tested.")
    return said


def _about_doubles(classes: Indices, doubles: Sequence[Indices]) -> list[str]:
    if not doubles:
        return []
    many = sum(len(group) for group in doubles)
    said = [f"{many} cells have a double with the same pixels; doubles are kept on one side of the split."]
    torn = sum(len(np.unique(classes[group])) > 1 for group in doubles)
    if torn:
        said.append(f"WARNING: {torn} groups of doubles have labels that contradict each other.")
    return said


def _without_doubles(left: Indices, units: Indices, test: Indices, notices: list[str]) -> Indices:
    double = np.isin(units[left], units[test])
    if double.any():
        notices.append(f"{int(double.sum())} cells are not learned from: they have doubles in the test part.")
    return left[~double]
