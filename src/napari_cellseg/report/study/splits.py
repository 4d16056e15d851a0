"""Which images each training learns from and which it is tested on, as scikit-learn draws them."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import stem
from napari_cellseg.report.study.study_file import HOLDOUT, Grouping, SplitEntry


@dataclass(frozen=True)
class Part:
    """The names of the images that one training learns from and is tested on, each sorted."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def draw_split(
    names: Sequence[str], split: SplitEntry, *, groups: Sequence[str] | None = None
) -> tuple[Part, ...]:
    """Return the parts of a split: one, or as many as there are folds.

    Parameters
    ----------
    names : sequence of str
        Names of the images; they are sorted before anything is drawn.
    split : SplitEntry
        A share held out or folds, and the seed. The share is drawn as scikit-learn's
        ``train_test_split(sorted(names), test_size=share, random_state=seed)`` does it, folds as
        its ``KFold(folds, shuffle=True, random_state=seed)``.
    groups : sequence of str, optional
        The group of each of `names`, sorted by name; those of a group stay together
        (``GroupShuffleSplit``, ``GroupKFold``).

    Raises
    ------
    CellsegError
        If there is nothing to test on, nothing to learn from, or fewer images than folds.

    Examples
    --------
    >>> draw_split([f"s{i:02d}" for i in range(10)], SplitEntry(holdout=0.2))[0].test
    ('s01', 's08')
    """
    from sklearn import model_selection as drawn

    names, share = sorted(names), split.holdout or HOLDOUT
    units, what = (len(names), "image") if groups is None else (len(set(groups)), "group")
    folds = split.folds
    if units < (folds or 2):
        raise CellsegError(
            f"{units} {what}{'s' * (units != 1)}: nothing is left to {'fold' if folds else 'test on'}",
            f"at least {folds or 2} {what}s",
            "add images" if groups is None else "add images of other groups, or leave out `group`",
        )
    if folds is not None:
        kind = drawn.KFold if groups is None else drawn.GroupKFold
        splitter = kind(folds, shuffle=True, random_state=split.seed)
    elif groups is None:
        splitter = drawn.ShuffleSplit(1, test_size=share, random_state=split.seed)
    else:
        splitter = drawn.GroupShuffleSplit(1, test_size=share, random_state=split.seed)
    try:
        found = list(splitter.split(names, groups=groups))
    except ValueError:  # of two images, 0.9 would hold out both
        raise CellsegError(
            f"a holdout of {share} of {units} {what}s leaves nothing to learn from", "a smaller share"
        ) from None
    return tuple(Part(_named(names, train), _named(names, test)) for train, test in found)


def listed_split(train: Sequence[Path], test: Sequence[Path]) -> tuple[Part, ...]:
    """Return the one part of a split whose images are listed.

    Raises
    ------
    CellsegError
        If an image is in both lists.
    """
    both = sorted({path.resolve() for path in train} & {path.resolve() for path in test})
    if both:
        raise CellsegError(
            f"{both[0].name} is in `train` and in `test`", "images to test on that are not learned from"
        )
    return (Part(*(tuple(sorted(stem(path) for path in paths)) for paths in (train, test))),)


def find_groups(names: Sequence[str], grouping: Grouping, folder: Path) -> list[str]:
    """Return the group of each image, in the order of the names.

    Parameters
    ----------
    names : sequence of str
        Names of the images without suffixes.
    grouping : Grouping
        A pattern in the name, or a table.
    folder : Path
        What the table's path is relative to.

    Raises
    ------
    CellsegError
        If the pattern or the table is wrong, or says nothing about an image.

    Examples
    --------
    >>> find_groups(["child01_left", "child02_left"], Grouping(pattern="child[0-9]+"), Path())
    ['child01', 'child02']
    """
    table = (
        _groups_in_table(folder, grouping) if grouping.table else _groups_in_names(names, grouping.pattern)
    )
    without = [name for name in names if not table.get(name)]
    if without:
        source = grouping.table or f"pattern {grouping.pattern!r}"
        raise CellsegError(f"{source}: no group of {', '.join(without[:5])}", "a group for every image")
    return [table[name] for name in names]


def _groups_in_names(names: Sequence[str], pattern: str) -> dict[str, str]:
    try:
        found = {name: re.search(pattern, name) for name in names}
    except re.error as error:
        raise CellsegError(f"pattern {pattern!r}: {error}", "a regular expression") from None
    return {name: match[match.re.groups and 1] for name, match in found.items() if match is not None}


def _groups_in_table(folder: Path, grouping: Grouping) -> dict[str, str]:
    path = folder / Path(grouping.table).expanduser()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CellsegError(f"{path}: cannot be read ({reason})", "a CSV file with a header") from None
    head = list(rows[0]) if rows else []
    for column in (grouping.image, grouping.column):
        if column not in head:
            present = f"one of {', '.join(map(str, head))}" if head else "a header and rows"
            raise CellsegError(f"{path}: no column {column!r}", present)
    return {stem(row[grouping.image] or ""): row[grouping.column] or "" for row in rows}


def _named(names: Sequence[str], chosen: np.ndarray) -> tuple[str, ...]:
    return tuple(sorted(names[index] for index in chosen))
