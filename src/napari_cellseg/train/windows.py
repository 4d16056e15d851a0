"""Training windows: what is held out, which windows are drawn, and what validation looks at.

Every image is read, normalised and brought to the working pixel size once; the planes
lie in memory, or in files of the run folder where they would take too much of it.
Notation: C channels; targets hold output indices (label - 1), `IGNORED` where nothing is
annotated or where the pixel belongs to the other part of the split.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Annotation
from napari_cellseg.images.normalise import intensity_figures
from napari_cellseg.images.resample import read_resampled, working_shape
from napari_cellseg.images.splits import Split, split_images, split_windows
from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.settings import TrainSettings

BAND_PX = 1024
ANCHORS = 50_000
MEMORY_SHARE = 0.25
IMAGES_TO_HOLD_ONE_OUT = 4

Window = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Plane:
    """A normalised image at the working pixel size and its labels in both parts.

    Attributes
    ----------
    name : str
    image : (c, y, x) float16
    train, validation : (y, x) uint8
        Annotation indices; 0 where not annotated or of the other part.
    """

    name: str
    image: NDArray[np.float16]
    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]


def load_planes(
    annotations: Sequence[Annotation], pixel_nm: float | None, settings: TrainSettings, folder: Path
) -> tuple[list[Plane], Split[Any]]:
    """Read the annotated images and split their labels.

    Parameters
    ----------
    annotations : sequence of Annotation
    pixel_nm : float or None
        Working pixel size.
    settings : TrainSettings
        Its window, split, share and seed are used.
    folder : Path
        Where planes go that would fill the memory.

    Raises
    ------
    CellsegError
        If nothing can be held out without losing a class, or the images do not have the
        same number of channels.
    """
    channels = {annotation.image.name: annotation.image.channels for annotation in annotations}
    if len(set(channels.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in channels.items())
        raise CellsegError(f"images with different numbers of channels ({listed})", "the same number in all")
    labels = [_working_labels(annotation, pixel_nm, settings.window_px) for annotation in annotations]
    names = [annotation.image.name for annotation in annotations]
    classes = annotations[0].classes.names[1:]
    by_image = settings.split == "image" or (
        settings.split == "auto" and len(names) >= IMAGES_TO_HOLD_ONE_OUT
    )
    found = _split_by_images(names, labels, classes, settings) if by_image else None
    split, parts = found or _split_by_windows(names, labels, classes, settings)
    total = sum(
        2 * annotation.image.channels * plane.size
        for annotation, plane in zip(annotations, labels, strict=True)
    )
    on_disk = total > MEMORY_SHARE * psutil.virtual_memory().available
    planes = [
        Plane(
            name,
            _working_image(annotation, pixel_nm, plane.shape, folder / f"{i}.npy" if on_disk else None),
            *part,
        )
        for i, (name, annotation, plane, part) in enumerate(
            zip(names, annotations, labels, parts, strict=True)
        )
    ]
    return planes, split


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

    Examples
    --------
    >>> image, labels = np.zeros((1, 64, 80), np.float16), np.ones((64, 80), np.uint8)
    >>> drawer = WindowDrawer([Plane("a", image, labels, 0 * labels)], 32, 0)
    >>> images, targets = drawer.draw(np.random.default_rng(0), 4)
    >>> images.shape, targets.shape, int(targets.max())
    ((4, 1, 32, 32), (4, 32, 32), 0)
    """

    def __init__(self, planes: Sequence[Plane], window_px: int, seed: int) -> None:
        self._planes, self._window = planes, window_px
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
        self._areas = areas / areas.sum()
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

    def draw(self, rng: np.random.Generator, count: int) -> Window:
        """Return images ``(count, c, w, w)`` float32 and targets ``(count, w, w)`` int64."""
        return _stack([self._cut(rng, balanced=bool(k % 2)) for k in range(count)])

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
        part = np.s_[top : top + w, left : left + w]
        return plane.image[(slice(None), *part)].astype(np.float32), _targets(plane.train[part])


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


def _working_labels(annotation: Annotation, pixel_nm: float | None, window_px: int) -> NDArray[np.uint8]:
    """Return the labels at the working pixel size, padded with 0 to at least one window."""
    source = annotation.image.shape
    target = working_shape(source, annotation.image.pixel_nm, pixel_nm)
    rows, cols = (
        ((np.arange(many) + 0.5) * side / many).astype(int) for many, side in zip(target, source, strict=True)
    )
    labels = np.asarray(annotation.labels)[rows][:, cols].astype(np.uint8)
    return np.pad(labels, [(0, max(0, window_px - side)) for side in target])


def _working_image(
    annotation: Annotation, pixel_nm: float | None, padded: tuple[int, int], path: Path | None
) -> NDArray[np.float16]:
    image = annotation.image
    figures = intensity_figures(image)
    target = working_shape(image.shape, image.pixel_nm, pixel_nm)
    shape = (image.channels, *padded)
    if path is None:
        plane: NDArray[np.float16] = np.empty(shape, np.float16)
    else:
        plane = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    for top in range(0, target[0], BAND_PX):
        rows = slice(top, min(top + BAND_PX, target[0]))
        band = read_resampled(
            lambda r, c: figures.apply(image.read(r, c)), image.shape, target, rows, slice(0, target[1])
        )
        plane[:, rows, : target[1]] = band
    # A plane narrower than a window is mirrored; its labels are 0 there.
    mirror = [(0, many - side) for many, side in zip(padded, target, strict=True)]
    if any(after for _, after in mirror):
        plane[...] = np.pad(plane[:, : target[0], : target[1]], [(0, 0), *mirror], mode="symmetric")
    return plane


def _split_by_images(
    names: Sequence[str], labels: Sequence[NDArray[np.uint8]], classes: Sequence[str], settings: TrainSettings
) -> tuple[Split[Any], list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]] | None:
    """Return the split, or None where windows do better: a class or a part would be without labels."""
    split = split_images(names, settings.validation, settings.seed)
    seen = {name: set(np.unique(plane).tolist()) - {0} for name, plane in zip(names, labels, strict=True)}
    train, held = (set().union(*(seen[name] for name in part)) for part in (split.train, split.validation))
    lost = sorted(held - train)
    if settings.split == "auto" and (lost or not held):
        return None
    if not held or not train:
        raise CellsegError(
            "one part of the split has no labels", "labels in both", "split by windows, or take another seed"
        )
    notices = [
        f"'{classes[k - 1]}' is annotated in held-out images only: it will not be learned" for k in lost
    ]
    parts = [
        (plane, np.zeros_like(plane)) if name in split.train else (np.zeros_like(plane), plane)
        for name, plane in zip(names, labels, strict=True)
    ]
    return replace(split, notices=(*split.notices, *notices)), parts


def _split_by_windows(
    names: Sequence[str], labels: Sequence[NDArray[np.uint8]], classes: Sequence[str], settings: TrainSettings
) -> tuple[Split[Any], list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]]:
    keys, present = [], []
    cells = [max(16, min(settings.window_px // 2, min(plane.shape) // 4)) for plane in labels]
    for name, plane, cell in zip(names, labels, cells, strict=True):
        for row in range(0, plane.shape[0], cell):
            for col in range(0, plane.shape[1], cell):
                counts = np.bincount(
                    plane[row : row + cell, col : col + cell].ravel(), minlength=len(classes) + 1
                )
                if counts[1:].any():
                    keys.append((name, row // cell, col // cell))
                    present.append(counts[1:] > 0)
    split = split_windows(
        keys, settings.validation, settings.seed, present=np.array(present), names=list(classes)
    )
    held = set(split.validation)
    parts = []
    for name, plane, cell in zip(names, labels, cells, strict=True):
        train, validation = plane.copy(), np.zeros_like(plane)
        for key_name, row, col in held:
            if key_name == name:
                part = np.s_[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell]
                validation[part], train[part] = plane[part], 0
        parts.append((train, validation))
    return split, parts
