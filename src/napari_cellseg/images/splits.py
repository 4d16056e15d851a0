"""What is held out for validation: whole images, or windows of them.

Both go by a hash of the names and not by a generator of random numbers: the answer does not
depend on the order, the machine or the version of a library, and for windows not on the
other images either, so an image added later moves no window of the former ones.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError

Key = TypeVar("Key")
WindowKey = tuple[str, int, int]  # image name, row and column of the window in its grid


@dataclass(frozen=True)
class Split(Generic[Key]):
    """What is trained on and what is held out, each sorted; `notices` are sentences to show."""

    train: tuple[Key, ...]
    validation: tuple[Key, ...]
    notices: tuple[str, ...] = ()


def split_images(names: Sequence[str], share: float, seed: int) -> Split[str]:
    """Return which images are trained on and which are held out; neither part is empty.

    Parameters
    ----------
    names : sequence of str
        Names of the images, all different, in any order.
    share : float
        Share of the images to hold out, rounded to the nearest whole number of them.
    seed : int
        Another seed holds out other images.

    Raises
    ------
    CellsegError
        If there is one image only, or a name occurs twice.

    Examples
    --------
    >>> split_images(["a", "b", "c", "d", "e"], 0.4, 42).validation
    ('b', 'e')
    """
    _check_share(share)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        raise CellsegError(f"image {twice[0]!r} is listed twice", "different names")
    if len(names) < 2:
        raise CellsegError(
            f"{len(names)} image", "at least two to hold one out", "split by windows, or add an image"
        )
    ranked = sorted(names, key=lambda name: _uniform(seed, name))
    held = min(max(round(share * len(names)), 1), len(names) - 1)
    return Split(tuple(sorted(ranked[held:])), tuple(sorted(ranked[:held])))


def window_is_validation(name: str, row: int, col: int, *, share: float, seed: int) -> bool:
    """Tell whether a window is held out, whatever other windows there are.

    Parameters
    ----------
    name : str
        The image's name.
    row, col : int
        Place of the window in the grid of windows, not in pixels.
    share : float
        Share of windows to hold out, on average.
    seed : int
        Another seed holds out other windows.
    """
    return _uniform(seed, name, row, col) < share


def split_windows(
    keys: Sequence[WindowKey],
    share: float,
    seed: int,
    *,
    present: NDArray[np.bool_] | None = None,
    names: Sequence[str] = (),
) -> Split[WindowKey]:
    """Return which windows are trained on and which are held out; neither part is empty.

    Every window goes where `window_is_validation` says, but for the few that have to move so
    that every class is trained on and something is held out.

    Parameters
    ----------
    keys : sequence of (name, row, col)
        The windows, all different, in any order.
    share : float
        Share of windows to hold out, on average.
    seed : int
        Another seed holds out other windows.
    present : (window, class) bool array, optional
        Which classes are annotated in which window.
    names : sequence of str
        Names of those classes, for the notices; as many as `present` has columns.

    Raises
    ------
    CellsegError
        If no window can be held out without taking the last one of a class.

    Examples
    --------
    >>> split_windows([("a", 0, 0), ("a", 0, 1), ("a", 1, 0), ("a", 1, 1)], 0.25, 1).validation
    (('a', 0, 0),)
    """
    _check_share(share)
    if len(set(keys)) < len(keys):
        raise CellsegError("a window is listed twice", "different windows")
    if not len(keys):
        raise CellsegError("no window with labels", "at least two", "paint some strokes of each class")
    classes = np.zeros((len(keys), 0), bool) if present is None else np.asarray(present, bool)
    chance = np.array([_uniform(seed, *key) for key in keys])
    order = np.argsort(chance)
    held = chance < share
    _train_every_class(held, classes, order)
    if held.all():
        held[order[-1]] = False
    if not held.any():
        held[_first_to_spare(classes, order)] = True
    unseen = np.flatnonzero(classes.any(axis=0) & ~classes[held].any(axis=0)).tolist()
    names = names or [f"class {k + 1}" for k in range(classes.shape[1])]
    return Split(
        tuple(sorted(key for key, out in zip(keys, held, strict=True) if not out)),
        tuple(sorted(key for key, out in zip(keys, held, strict=True) if out)),
        tuple(f"'{names[k]}' is in no validation window: its score is unknown" for k in unseen),
    )


def _train_every_class(held: NDArray[np.bool_], classes: NDArray[np.bool_], order: NDArray[Any]) -> None:
    """Give back to training, in `held`, the last-ranked window of each class that has none there."""
    for k in range(classes.shape[1]):
        having = [i for i in order if classes[i, k]]
        if having and all(held[i] for i in having):
            held[having[-1]] = False


def _first_to_spare(classes: NDArray[np.bool_], order: NDArray[Any]) -> int:
    """Return the first window without which every class still has another one."""
    windows_of = classes.sum(axis=0)
    if len(order) > 1:
        for i in order:
            if not (classes[i] & (windows_of == 1)).any():
                return int(i)
    raise CellsegError(
        f"{len(order)} annotated window{'s' * (len(order) > 1)}, none to spare for validation",
        "every class in at least two places",
        "paint some more strokes of each class elsewhere, or use smaller windows",
    )


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise CellsegError(f"validation share {share}", "a number between 0 and 1")


def _uniform(seed: int, *key: str | int) -> float:
    """Return a number in [0, 1) that depends on nothing but `seed` and `key`."""
    plain = (
        int(seed),
        *(str(part) if isinstance(part, str) else int(part) for part in key),
    )  # no numpy types
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53
