"""Many small multi-channel images of varying size, read one at a time."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cellseg.errors import CellsegError

NAMED = 3  # examples in a message


class CropSource(Protocol):
    """Where the pixels come from; rows are numbered as the source numbers them."""

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(c, y, x)`` in the file's type; CellsegError if it cannot be read."""
        ...


@runtime_checkable
class FileSource(Protocol):
    """A source whose crops are files of their own."""

    def files(self, row: int) -> list[str]:
        """Return the files of one crop: one, or one a channel."""
        ...


@dataclass(frozen=True)
class LeftOut:
    """A crop that was not taken, and why: a channel is missing, its file is damaged."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Crops:
    """Many small multi-channel images of varying size, read one at a time.

    What is held is a few numpy arrays, not an object a crop: 100,000 crops take some tens
    of MB and no open file.

    Parameters
    ----------
    name : str
        Of the whole set: the folder's or the file's name.
    ids : (n,) str
        Unique ids of the objects.
    samples : (n,) str
        Group for splitting (a sample, a run); "" where unknown.
    labels : (n,) str
        Name of the class, or "".
    paths : (n,) str
        File that the crop comes from, for tables.
    channels : tuple of str
        Names of the channels, such as ``("Ch4", "Ch5", "Ch6")`` or ``("grey",)``.
    source : CropSource
        Reads a crop.
    left_out : tuple of LeftOut
        What was found and not taken.
    notices : tuple of str
        Sentences to show.
    rows : (n,) int
        Where each crop is in the source.
    picked : tuple of int
        Which of the source's channels these are; empty for all.

    Raises
    ------
    CellsegError
        If an id occurs twice or a column has another length.

    Examples
    --------
    >>> cells = Crops.from_arrays([np.zeros((1, 5, 4)), np.ones((1, 3, 7))], labels=["a", "b"])
    >>> len(cells), cells.class_names, cells.read(1).shape
    (2, ('a', 'b'), (1, 3, 7))
    >>> cells.take([1]).labels.tolist()
    ['b']
    """

    name: str
    ids: NDArray[np.str_]
    samples: NDArray[np.str_]
    labels: NDArray[np.str_]
    paths: NDArray[np.str_]
    channels: tuple[str, ...]
    source: CropSource = field(repr=False)
    left_out: tuple[LeftOut, ...] = ()
    notices: tuple[str, ...] = ()
    rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp), repr=False)
    picked: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.rows.size:
            object.__setattr__(self, "rows", np.arange(len(self.ids)))
        for column in ("samples", "labels", "paths", "rows"):
            if len(getattr(self, column)) != len(self.ids):
                found = f"{self.name}: {len(getattr(self, column))} {column} for {len(self.ids)} crops"
                raise CellsegError(found, "one a crop")
        names, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            raise CellsegError(f"{self.name}: id {str(names[counts > 1][0])!r} occurs twice", "different ids")

    @classmethod
    def from_arrays(
        cls,
        arrays: Sequence[NDArray[Any]],
        *,
        labels: Sequence[str] = (),
        samples: Sequence[str] = (),
        channels: Sequence[str] = (),
        name: str = "crops",
    ) -> Self:
        """Return crops of pixels that are already there: ``(c, y, x)`` each, or ``(y, x)``."""
        planes = [array if array.ndim == 3 else array[np.newaxis] for array in map(np.asarray, arrays)]
        names = tuple(channels) or channel_names(len(planes[0]) if planes else 1)
        none = [""] * len(planes)
        return cls(
            name,
            np.arange(1, len(planes) + 1).astype(np.str_),
            np.asarray(list(samples) or none, np.str_),
            np.asarray(list(labels) or none, np.str_),
            np.asarray(none, np.str_),
            names,
            Arrays(tuple(planes)),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> NDArray[Any]:
        """Return the pixels of one crop, ``(c, y, x)`` in the file's type.

        Raises
        ------
        CellsegError
            If its file is missing or damaged, or has other channels than the rest.
        """
        pixels = self.source.read(int(self.rows[index]))
        if self.picked:
            pixels = pixels[list(self.picked)]
        if len(pixels) != len(self.channels):
            found = f"{self.paths[index]}: {len(pixels)} channels"
            raise CellsegError(found, f"{len(self.channels)} ({', '.join(self.channels)}) as in the others")
        return pixels

    def files(self, index: int) -> list[str]:
        """Return the files that hold this crop and nothing else; none if it is part of a larger file."""
        return self.source.files(int(self.rows[index])) if isinstance(self.source, FileSource) else []

    def take(self, chosen: ArrayLike) -> Self:
        """Return some of the crops, in the order asked for, by indices or by a mask of truth values."""
        chosen = np.asarray(chosen)
        if chosen.dtype != np.bool_:
            chosen = chosen.astype(np.intp)
        columns = {key: getattr(self, key)[chosen] for key in ("ids", "samples", "labels", "paths", "rows")}
        return replace(self, **columns)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that occur, in natural order: ``class2`` before ``class10``."""
        return tuple(sorted((str(name) for name in np.unique(self.labels) if name), key=natural))

    def with_labels(self, labels: ArrayLike) -> Self:
        """Return the same crops with other class names, one a crop; "" for none."""
        return replace(self, labels=np.asarray(labels, np.str_))

    def with_samples(self, pattern: str) -> Self:
        """Return the crops grouped by what a regular expression finds in their file names.

        The first pair of parentheses is the sample's name, or all that was found. Without
        a pattern nothing changes.

        Raises
        ------
        CellsegError
            If the expression is none or fits no file name.

        Examples
        --------
        >>> cells = Crops.from_arrays([np.zeros((2, 2))] * 2)
        >>> named = replace(cells, paths=np.array(["x/day5-s2_0A.png", "x/day5-s3_0B.png"]))
        >>> named.with_samples("^(.*)_").samples.tolist()
        ['day5-s2', 'day5-s3']
        """
        if not pattern:
            return self
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise CellsegError(f"group {pattern!r}: {error}", "a regular expression or a column") from None
        found = [expression.search(re.split(r"[/\\]", path)[-1]) for path in self.paths.tolist()]
        samples = np.array([_first_group(match) for match in found], np.str_)
        missing = int((samples == "").sum())
        if len(samples) and missing == len(samples):
            example = re.split(r"[/\\]", str(self.paths[0]))[-1]
            raise CellsegError(
                f"group {pattern!r} fits no file name, such as {example!r}",
                "a column, or a regular expression such as '^(.*)_'",
            )
        notice = (f"group {pattern!r} fits {missing:,} of {len(samples):,} file names not",) * bool(missing)
        return replace(self, samples=samples, notices=(*self.notices, *notice))

    def with_channels(self, names: Sequence[str]) -> Self:
        """Return the crops with these channels alone, in this order; with all if none is named.

        Raises
        ------
        CellsegError
            If there is no channel of that name.
        """
        if not names or tuple(names) == self.channels:
            return self
        for name in names:
            if name not in self.channels:
                raise CellsegError(f"{self.name}: no channel {name!r}", " or ".join(self.channels))
        before = self.picked or range(len(self.channels))
        picked = tuple(before[self.channels.index(name)] for name in names)
        return replace(self, channels=tuple(names), picked=picked)


@dataclass(frozen=True)
class Arrays:
    """Crops in memory."""

    planes: tuple[NDArray[Any], ...]

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(c, y, x)``."""
        return self.planes[row]


def read_each(crops: Crops) -> Iterator[NDArray[Any] | LeftOut]:
    """Yield the pixels of one crop after another; for one that cannot be read, why.

    One damaged file among thousands is named and stops nothing.

    Examples
    --------
    >>> [pixels.shape for pixels in read_each(Crops.from_arrays([np.zeros((4, 5))]))]
    [(1, 4, 5)]
    """
    for index in range(len(crops)):
        try:
            yield crops.read(index)
        except CellsegError as error:
            yield LeftOut(str(crops.ids[index]), str(crops.paths[index]), str(error))


def channel_names(count: int) -> tuple[str, ...]:
    """Return what the channels of a picture are called.

    Examples
    --------
    >>> channel_names(1), channel_names(3), channel_names(2)
    (('grey',), ('red', 'green', 'blue'), ('Ch1', 'Ch2'))
    """
    known = {1: ("grey",), 3: ("red", "green", "blue")}
    return known.get(count) or tuple(f"Ch{number}" for number in range(1, count + 1))


def natural(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a key that sorts numbers in names by their value: ``Ch2`` before ``Ch12``."""
    parts = re.split(r"([0-9]+)", text.casefold())
    # the parts alternate between text and number, so like is compared with like
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def unique_ids(stems: Sequence[str], folders: Sequence[str]) -> NDArray[np.str_]:
    """Return an id a crop: its own name, with its folder before it where names repeat.

    Parameters
    ----------
    stems : sequence of str
        Names of the objects.
    folders : sequence of str
        Their folders below the root, with ``/``; "" for the root itself.

    Examples
    --------
    >>> unique_ids(["1", "2", "1"], ["A", "A", "B"]).tolist()
    ['A/1', '2', 'B/1']
    """
    ids = np.array(list(stems), np.str_)
    _, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[inverse] > 1)
    full = [f"{folders[i]}/{stems[i]}" if folders[i] else stems[i] for i in range(len(ids))]
    return np.array(full, np.str_) if len(repeated) == len(ids) else _replaced(ids, repeated, full)


def _replaced(ids: NDArray[np.str_], rows: NDArray[np.intp], names: list[str]) -> NDArray[np.str_]:
    texts: list[str] = ids.tolist()
    for row in rows.tolist():
        texts[row] = names[row]
    return np.array(texts, np.str_)


def _first_group(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    return (match[1] if match.re.groups else match[0]) or ""
