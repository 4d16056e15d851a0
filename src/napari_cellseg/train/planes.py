"""What a training learns from: annotated images at the working pixel size, and what is held out.

Every image is read, normalised and brought to the working pixel size once; the planes
lie in memory, or in files of the run folder where they would take too much of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Annotation
from napari_cellseg.images.normalise import intensity_figures
from napari_cellseg.images.resample import read_resampled
from napari_cellseg.images.splits import Split, split_images, split_windows
from napari_cellseg.nets.model import ModelSpec
from napari_cellseg.settings import TrainSettings

BAND_PX = 1024
MEMORY_SHARE = 0.25
IMAGES_TO_HOLD_ONE_OUT = 4


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
    annotations: Sequence[Annotation], spec: ModelSpec, settings: TrainSettings, folder: Path
) -> tuple[list[Plane], Split[Any]]:
    """Read the annotated images and split their labels.

    Parameters
    ----------
    annotations : sequence of Annotation
    spec : ModelSpec
        Says how many working pixels an image has.
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
    labels = [_working_labels(annotation, spec, settings.window_px) for annotation in annotations]
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
            _working_image(annotation, spec, plane.shape, folder / f"{i}.npy" if on_disk else None),
            *part,
        )
        for i, (name, annotation, plane, part) in enumerate(
            zip(names, annotations, labels, parts, strict=True)
        )
    ]
    return planes, split


def _working_labels(annotation: Annotation, spec: ModelSpec, window_px: int) -> NDArray[np.uint8]:
    """Return the labels at the working pixel size, padded with 0 to at least one window."""
    source = annotation.image.shape
    target = spec.working_shape(source, annotation.image.pixel_nm)
    rows, cols = (
        ((np.arange(many) + 0.5) * side / many).astype(int) for many, side in zip(target, source, strict=True)
    )
    labels = np.asarray(annotation.labels)[rows][:, cols].astype(np.uint8)
    return np.pad(labels, [(0, max(0, window_px - side)) for side in target])


def _working_image(
    annotation: Annotation, spec: ModelSpec, padded: tuple[int, int], path: Path | None
) -> NDArray[np.float16]:
    image = annotation.image
    figures = intensity_figures(image)
    target = spec.working_shape(image.shape, image.pixel_nm)
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
