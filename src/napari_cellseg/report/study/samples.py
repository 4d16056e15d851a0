"""The images of a study with their masks: found, paired, checked, counted."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import Polarity, mask_to_labels, pair_masks, read_mask
from napari_cellseg.images.annotation import Annotation, Classes, leave_out
from napari_cellseg.images.micrographs import Image, find_images, read_image, stem
from napari_cellseg.report.study.study_file import StudyFile
from napari_cellseg.train.files import choose_polarity, classes_of_masks


@dataclass(frozen=True)
class Sample:
    """An image of a study and its truth.

    Attributes
    ----------
    name : str
        The image's name without suffixes, unique in the study.
    image, mask : str
        The two files, absolute.
    polarity : str
        How the mask is read.
    indices : tuple of int
        The study's index of each index in the mask: 0 for a class that is left out.
    pixels : tuple of int
        Pixels of the truth by index, 0 (not annotated) first.
    pixel_nm : float or None
    """

    name: str
    image: str
    mask: str
    polarity: Polarity
    indices: tuple[int, ...]
    pixels: tuple[int, ...]
    pixel_nm: float | None = None

    def truth(self) -> NDArray[np.uint8]:
        """Return the truth as annotation indices, (y, x)."""
        labels = mask_to_labels(read_mask(self.mask), self.polarity)
        truth: NDArray[np.uint8] = np.array(self.indices, np.uint8)[labels]
        return truth


@dataclass(frozen=True)
class Samples:
    """All images of a study, sorted by name.

    Attributes
    ----------
    all : tuple of Sample
    mask_classes : Classes
        What the masks hold.
    classes : Classes
        What is scored: the same without what is left out.
    notices : tuple of str
    """

    all: tuple[Sample, ...]
    mask_classes: Classes
    classes: Classes
    notices: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Sample:
        return next(sample for sample in self.all if sample.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sample.name for sample in self.all)


def find_samples(study: StudyFile, folder: Path) -> Samples:
    """Return the images and masks that a study file names.

    Parameters
    ----------
    study : StudyFile
    folder : Path
        What its paths are relative to.

    Raises
    ------
    CellsegError
        If files are missing or damaged, cannot be paired, do not fit each other, or two images
        have the same name.
    """
    images = find_files(study.images or (*study.split.train, *study.split.test), folder)
    pairs = sorted(
        pair_masks(images, find_files(study.masks, folder)), key=lambda pair: (stem(pair[0]), pair[0])
    )
    for (first, _), (second, _) in pairwise(pairs):
        if stem(first) == stem(second):
            raise CellsegError(f"two images called {stem(first)!r} ({first} and {second})", "different names")
    notices, polarity = list[str](), study.polarity
    if polarity is None:
        polarity, said = choose_polarity(read_mask(mask) for _, mask in pairs)
        notices.append(said.replace("--polarity ", "polarity: "))
    counts = [_count(*pair, polarity) for pair in pairs]
    mask_classes = classes_of_masks(polarity, max(map(len, counts)) - 1, study.classes)
    classes, indices = _scored(mask_classes, study.left_out)
    found = []
    for (image, mask), pixels in zip(pairs, counts, strict=True):
        scored = np.bincount(indices[: len(pixels)], pixels, len(classes)).astype(int).tolist()
        found.append(
            Sample(
                stem(image),
                str(image.resolve()),
                str(mask.resolve()),
                polarity,
                tuple(indices),
                tuple(scored),
                read_image(image).pixel_nm,
            )
        )
    return Samples(tuple(found), mask_classes, classes, tuple(notices))


def _scored(classes: Classes, left_out: Sequence[str]) -> tuple[Classes, list[int]]:
    """Return the classes without those left out, and the new index of each index."""
    every = np.arange(len(classes))[np.newaxis]
    kept = leave_out(Annotation(Image.from_array(every), every, classes), ",".join(left_out))
    return kept.classes, kept.labels[0].tolist()


def find_files(patterns: Sequence[str], folder: Path) -> list[Path]:
    """Return the image files that patterns relative to a folder name."""
    return find_images([str(glob.escape(str(folder)) / Path(pattern).expanduser()) for pattern in patterns])


def _count(image: Path, mask: Path, polarity: Polarity) -> NDArray[np.int64]:
    """Return the pixels of each index in a mask, after comparing its size with its image."""
    shape = read_image(image).shape
    try:
        labels = mask_to_labels(read_mask(mask), polarity)
    except CellsegError as error:
        raise CellsegError(f"{mask}: {error.found}", error.expected, error.remedy) from None
    if labels.shape != shape:
        raise CellsegError(
            f"{mask}: {labels.shape[0]} x {labels.shape[1]} pixels",
            f"{shape[0]} x {shape[1]} as in {image}",
            "use the mask that belongs to this image, unscaled and uncropped",
        )
    return np.bincount(labels.ravel())
