"""Training from image and mask files: which belong together, and the run folder made of them."""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import Polarity, mask_to_labels, pair_masks, read_mask, suggest_polarity
from napari_cellseg.formats.point_masks import POINT_FILES, read_point_mask
from napari_cellseg.images.annotation import Annotation, Classes, check_trainable, leave_out
from napari_cellseg.images.instance_rings import RINGS
from napari_cellseg.images.micrographs import find_images, read_image
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train.run import Source, prepare_run, spec_for

MODEL_SUFFIX = ".safetensors"


def model_run(model: Path, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Return the run folder that belongs to a model file, after checking that both may be made.

    Raises
    ------
    CellsegError
        If the model has another suffix, or it or its run is there and neither `resume` nor
        `overwrite` was asked for.

    Examples
    --------
    >>> model_run(Path("vessels.safetensors"))
    PosixPath('vessels.run')
    """
    if model.suffix != MODEL_SUFFIX:
        raise CellsegError(f"{model}: not a name for a model", f"one that ends in {MODEL_SUFFIX}")
    if model.is_dir():
        raise CellsegError(f"{model}: is a folder", "a file", "choose another name")
    run = model.with_suffix(".run")
    if resume and overwrite:
        raise CellsegError("both --resume and --overwrite", "one of them")
    if run.exists() and not (run / "settings.json").is_file():
        raise CellsegError(
            f"{run}: in the way and not a run folder", remedy="choose another name for the model"
        )
    for path in (model, run):
        if path.exists() and not (resume or overwrite):
            raise CellsegError(
                f"{path}: exists already", remedy="choose another name, or give --overwrite or --resume"
            )
    return run


def prepare_files(
    run: Path,
    images: Sequence[str],
    masks: Sequence[str],
    *,
    polarity: Polarity | None = None,
    classes: Sequence[str] = (),
    settings: TrainSettings,
) -> list[str]:
    """Make a run folder of image and mask files and return what should be said about them.

    Parameters
    ----------
    run : Path
        The folder; it takes the place of an earlier one, once everything was found right.
    images, masks : sequence of str
        Files, folders or globs; paired by stem.
    polarity : str, optional
        Which side of a two-valued mask is the class; by default the brighter one. ``instances``
        for numbers of single cells, ``points`` for tables of points (X, Y), around each of which
        there will be a disc.
    classes : sequence of str
        Names of the classes, the background left out.
    settings : TrainSettings
        Preset values already applied.

    Raises
    ------
    CellsegError
        If files are missing, damaged, cannot be paired or do not fit each other, or settings
        contradict each other.
    """
    if not images or not masks:
        raise CellsegError("no --images" if not images else "no --masks", "both, to train from files")
    suffixes = POINT_FILES if polarity == "points" else ()
    pairs = pair_masks(find_images(images), find_images(masks, suffixes=suffixes))
    notices = [f"{len(pairs)} image{'s' * (len(pairs) > 1)} with {polarity if suffixes else 'masks'}"]
    if polarity == "points":
        labels = [read_point_mask(m, read_image(i), settings.point_radius_nm) for i, m in pairs]
    else:
        planes = [read_mask(mask) for _, mask in pairs]
        if polarity is None:
            polarity, said = choose_polarity(planes)
            notices.append(said)
        labels = [_labels(mask, plane, polarity) for (_, mask), plane in zip(pairs, planes, strict=True)]
    named = classes_of_masks(polarity, max(int(plane.max()) for plane in labels), classes)
    annotations, sources = [], []
    for (image, mask), plane in zip(pairs, labels, strict=True):
        annotations.append(_annotation(image, mask, plane, named))
        sources.append(Source(image.name, str(image.resolve()), str(mask.resolve()), polarity))
    notices += check_trainable(annotations)
    spec_for([leave_out(annotations[0], settings.left_out)], settings)
    with replace_whole(run) as part:
        prepare_run(part, named, sources, settings)
    return notices


def choose_polarity(planes: Iterable[np.ndarray]) -> tuple[Polarity, str]:
    """Return how masks (y, x) are read when nobody said, and a sentence that says so.

    The brighter side of two-valued masks is the class; masks with more values hold class numbers.
    """
    suggestions = [suggest_polarity(plane) for plane in planes]
    votes = Counter(suggestion.polarity for suggestion in suggestions)
    said = "masks: class numbers, 0 is the background (--polarity labels)"
    if votes["instances"]:
        reason = next(s.reason for s in suggestions if s.polarity == "instances")
        return "labels", f"warning: {said}, but {reason}; if so give --polarity instances"
    if votes["labels"]:
        return "labels", said
    said = "masks: the brighter side is the class (--polarity bright)"
    if votes["dark"] > votes["bright"]:
        reason = next(s.reason for s in suggestions if s.polarity == "dark")
        return "bright", f"warning: {said}, but {reason}; if so give --polarity dark"
    return "bright", said


def _labels(mask: Path, plane: np.ndarray, polarity: Polarity) -> np.ndarray:
    try:
        return mask_to_labels(plane, polarity)
    except CellsegError as error:
        raise CellsegError(f"{mask}: {error.found}", error.expected, error.remedy) from None


def _annotation(image: Path, mask: Path, labels: np.ndarray, classes: Classes) -> Annotation:
    try:
        return Annotation(read_image(image), labels, classes, dense=True)
    except CellsegError as error:
        raise CellsegError(f"{mask}: {error.found}", error.expected, error.remedy) from None


def copy_model(best: Path, model: Path) -> None:
    """Copy the best model of a run to where it was asked for, whole or not at all."""
    with replace_whole(model) as part:
        shutil.copyfile(best, part)


def classes_of_masks(polarity: Polarity, highest: int, names: Sequence[str] = ()) -> Classes:
    """Return the classes of masks with labels up to `highest`; the rings of single cells have names.

    Raises
    ------
    CellsegError
        If there are fewer names than classes, or any for single cells.

    Examples
    --------
    >>> classes_of_masks("instances", 4).targets
    ('cell edge', 'cell body', 'cell centre')
    """
    if polarity == "points":
        return named_classes(highest, names or ("point",))
    if polarity != "instances":
        return named_classes(highest, names)
    if names:
        raise CellsegError(
            f"classes {', '.join(names)} for masks of single cells",
            "none: the classes are the rings of a cell",
            "leave them out, or use --polarity labels if the numbers are classes",
        )
    return RINGS


def named_classes(highest: int, names: Sequence[str] = ()) -> Classes:
    """Return the classes of labels up to `highest`, under these names.

    Raises
    ------
    CellsegError
        If there are fewer names than classes.

    Examples
    --------
    >>> named_classes(3).targets, named_classes(2).targets
    (('class 1', 'class 2'), ('object',))
    """
    count = max(1, highest - 1)
    if not names:
        names = ("object",) if count == 1 else tuple(f"class {number}" for number in range(1, count + 1))
    if len(names) < count:
        raise CellsegError(
            f"{count} classes in the masks, {len(names)} names",
            "a name for each class but the background",
            "give them as --classes first,second,...",
        )
    return Classes.of(*names)
