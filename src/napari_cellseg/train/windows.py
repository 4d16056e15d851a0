"""Training windows: which are drawn, and what validation looks at.

Notation: C channels; targets hold output indices (label - 1), `IGNORED` where nothing is
annotated or where the pixel belongs to the other part of the split.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.train.planes import Plane

ANCHORS = 50_000
AHEAD = 2  # batches drawn before they are needed

Window = tuple[NDArray[np.float32], NDArray[np.int64]]


class Drawer(Protocol):
    """Where the windows of an epoch come from."""

    def batches(self, rng: np.random.Generator, count: int, steps: int, first: int = 0) -> Iterator[Window]:
        """Yield `steps` times images ``(count, c, w, w)`` float32 and targets ``(count, w, w)`` int64.

        `first` is the place of the first one in a batch that several devices share.
        """

    def steps_for_all(self, count: int) -> int:
        """Return how many batches of `count` windows it takes to see everything about once."""


def ahead(batches: Iterator[Window], count: int = AHEAD) -> Iterator[Window]:
    """Yield the same, the next ones drawn by a thread while this one is worked on.

    Examples
    --------
    >>> list(ahead(iter([1, 2, 3])))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="cellseg-windows") as pool:
        waiting = deque(pool.submit(next, batches, None) for _ in range(count))
        while (window := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, batches, None))
            yield window


class WholeDrawer:
    """Draws planes that are one window each, all of them before one comes again.

    Examples
    --------
    >>> image, labels = np.zeros((1, 32, 32), np.float16), np.ones((32, 32), np.uint8)
    >>> drawer = WholeDrawer([Plane(name, image, labels, 0 * labels) for name in "abc"])
    >>> drawer.steps_for_all(2), [len(images) for images, _ in drawer.batches(np.random.default_rng(0), 2, 2)]
    (2, [2, 2])
    """

    def __init__(self, planes: Sequence[Plane]) -> None:
        self._planes = [plane for plane in planes if plane.train.any()]
        if not self._planes:
            raise CellsegError("no labels left to train on", "annotated pixels outside the validation part")

    def batches(self, rng: np.random.Generator, count: int, steps: int, first: int = 0) -> Iterator[Window]:
        """Yield the planes in a random order, begun anew where it ends."""
        rounds = ceil(count * steps / len(self._planes))
        order = np.concatenate([rng.permutation(len(self._planes)) for _ in range(rounds)])
        for step in range(steps):
            chosen = [self._planes[k] for k in order[step * count : (step + 1) * count]]
            yield _stack([(plane.image.astype(np.float32), _targets(plane.train)) for plane in chosen])

    def steps_for_all(self, count: int) -> int:
        """Return how many batches hold every plane once."""
        return ceil(len(self._planes) / count)


class WindowDrawer:
    """Draws training windows where there are labels.

    Half of the windows hold a pixel of a class drawn with equal chances, so that rare
    classes are seen; the others any annotated pixel, so that shares stay near those of
    the annotation. The pixel lies anywhere in the window.

    Parameters
    ----------
    planes : sequence of Plane
    window_px : int
    seed : int
        Seed of the choice of pixels windows may be drawn around, where there are many.
    margin_px : int
        Pixels drawn around each window, for augmentation to turn in. Beyond the plane's
        edges they mirror it and are not annotated.

    Examples
    --------
    >>> image, labels = np.zeros((1, 64, 80), np.float16), np.ones((64, 80), np.uint8)
    >>> drawer = WindowDrawer([Plane("a", image, labels, 0 * labels)], 32, 0)
    >>> images, targets = drawer.draw(np.random.default_rng(0), 4)
    >>> images.shape, targets.shape, int(targets.max())
    ((4, 1, 32, 32), (4, 32, 32), 0)
    """

    def __init__(self, planes: Sequence[Plane], window_px: int, seed: int, margin_px: int = 0) -> None:
        self._planes, self._window, self._margin = planes, window_px, margin_px
        rng = np.random.default_rng(seed)
        found: dict[int, list[NDArray[np.int32]]] = {}
        for i, plane in enumerate(planes):
            for label in np.unique(plane.train[plane.train > 0]):
                places = np.flatnonzero(plane.train == label)
                if len(places) > ANCHORS:
                    places = np.sort(rng.choice(places, ANCHORS, replace=False))
                rows, cols = np.unravel_index(places, plane.train.shape)
                found.setdefault(int(label), []).append(
                    np.stack([np.full(len(rows), i), rows, cols], 1).astype(np.int32)
                )
        if not found:
            raise CellsegError("no labels left to train on", "annotated pixels outside the validation part")
        self._anchors = [np.concatenate(found[label]) for label in sorted(found)]
        areas = np.array([np.count_nonzero(plane.train) for plane in planes], float)
        self._areas, self._annotated_px = areas / areas.sum(), float(areas.sum())
        self._any = [np.concatenate([a[a[:, 0] == i] for a in self._anchors]) for i in range(len(planes))]
        # Within an image, anchors of a class stand for as many pixels as it has there.
        self._weights = [self._class_shares(plane) for plane in planes]

    def _class_shares(self, plane: Plane) -> NDArray[np.float64]:
        counts = np.bincount(plane.train.ravel(), minlength=2)[1:].astype(float)
        kept = np.minimum(counts, ANCHORS)
        weights = np.repeat(
            np.divide(counts, kept, out=np.zeros_like(counts), where=kept > 0), kept.astype(int)
        )
        return weights / weights.sum() if len(weights) else weights

    def draw(self, rng: np.random.Generator, count: int, first: int = 0) -> Window:
        """Return images ``(count, c, w, w)`` float32 and targets ``(count, w, w)`` int64.

        They are those from `first` on of a larger batch: every other one is of a class drawn evenly.
        """
        return _stack([self._cut(rng, balanced=bool(k % 2)) for k in range(first, first + count)])

    def batches(self, rng: np.random.Generator, count: int, steps: int, first: int = 0) -> Iterator[Window]:
        """Yield windows drawn one by one."""
        for _ in range(steps):
            yield self.draw(rng, count, first)

    def steps_for_all(self, count: int) -> int:
        """Return how many batches have as many pixels as are annotated."""
        return ceil(self._annotated_px / (count * self._window**2))

    def _cut(self, rng: np.random.Generator, *, balanced: bool) -> Window:
        if balanced:
            anchors = self._anchors[rng.integers(len(self._anchors))]
            i, row, col = anchors[rng.integers(len(anchors))]
        else:
            which = rng.choice(len(self._planes), p=self._areas)
            i, row, col = self._any[which][rng.choice(len(self._any[which]), p=self._weights[which])]
        plane, w = self._planes[i], self._window
        top, left = (
            int(np.clip(place - rng.integers(w), 0, side - w))
            for place, side in zip((row, col), plane.train.shape, strict=True)
        )
        m = self._margin
        return _region(plane, (top - m, left - m), w + 2 * m)


def _region(plane: Plane, start: tuple[int, int], side_px: int) -> Window:
    """Return a square of a plane that may reach beyond it: mirrored there, and not annotated."""
    part, missing = [], []
    for first, size in zip(start, plane.train.shape, strict=True):
        inside = slice(max(0, first), min(first + side_px, size))
        part.append(inside)
        missing.append((inside.start - first, first + side_px - inside.stop))
    image, labels = plane.image[:, part[0], part[1]], plane.train[part[0], part[1]]
    if np.any(missing):
        image = np.pad(image, [(0, 0), *missing], mode="symmetric")
        labels = np.pad(labels, missing)
    return image.astype(np.float32), _targets(labels)


def validation_windows(planes: Sequence[Plane], window_px: int, limit: int) -> list[tuple[int, int, int]]:
    """Return (plane, row, col) of the windows that hold validation labels.

    They lie on a grid; the last ones in a row or column may reach into their neighbours,
    `validation_batch` leaves out what was counted there. At most `limit`, spread evenly.
    """
    found = [
        (i, row, col)
        for i, plane in enumerate(planes)
        if plane.validation.any()
        for row in range(0, plane.validation.shape[0], window_px)
        for col in range(0, plane.validation.shape[1], window_px)
        if plane.validation[row : row + window_px, col : col + window_px].any()
    ]
    chosen = np.unique(np.linspace(0, len(found) - 1, min(limit, len(found))).round().astype(int))
    return [found[k] for k in chosen]


def validation_batches(
    planes: Sequence[Plane], places: Sequence[tuple[int, int, int]], window_px: int, batch: int
) -> Iterator[Window]:
    """Yield the windows at `places` as batches of images and targets."""
    for start in range(0, len(places), batch):
        cuts = []
        for i, row, col in places[start : start + batch]:
            plane = planes[i]
            top, left = (
                min(place, side - window_px)
                for place, side in zip((row, col), plane.validation.shape, strict=True)
            )
            part = np.s_[top : top + window_px, left : left + window_px]
            targets = _targets(plane.validation[part])
            targets[: row - top] = IGNORED
            targets[:, : col - left] = IGNORED
            cuts.append((plane.image[(slice(None), *part)].astype(np.float32), targets))
        yield _stack(cuts)


def _stack(cuts: Sequence[Window]) -> Window:
    return np.stack([cut[0] for cut in cuts]), np.stack([cut[1] for cut in cuts])


def _targets(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    return labels.astype(np.int64) + IGNORED  # 0, not annotated, becomes IGNORED
