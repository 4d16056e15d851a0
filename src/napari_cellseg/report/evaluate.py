"""Predicted labels against truth masks: which file belongs to which, then the scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import Polarity, mask_to_labels, pair_masks, read_mask, suggest_polarity
from napari_cellseg.images.annotation import Classes
from napari_cellseg.report.metrics import confusion_matrix, scores_from

LABELS_ENDING = "_labels"  # as `segment` names its outputs


@dataclass(frozen=True)
class Evaluation:
    """Scores of some predictions.

    Parameters
    ----------
    pooled : dict
        Scores over all pixels of all images, as `scores_from` returns them.
    images : tuple of dict
        The same for each image, with the two files under ``"predicted"`` and ``"truth"``.
    notices : tuple of str
        What should be said, such as the polarity that was chosen.
    """

    pooled: dict[str, Any]
    images: tuple[dict[str, Any], ...]
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON types."""
        return {"kind": "pixels", "pooled": self.pooled, "images": list(self.images)}


def evaluate_pixels(
    predicted: Sequence[Path],
    truth: Sequence[Path],
    *,
    polarity: Polarity | None = None,
    names: Sequence[str] = (),
) -> Evaluation:
    """Return the pixel scores of predictions against truth masks, paired by stem.

    Parameters
    ----------
    predicted, truth : sequence of Path
        Labels as `segment` writes them (named ``..._labels``, annotation indices), or masks.
    polarity : str, optional
        Which side of a two-valued mask is the class; by default the brighter one.
    names : sequence of str
        Names of the classes from index 2 on; by default "class 1", "class 2", ...

    Raises
    ------
    CellsegError
        If files cannot be paired, read, or differ in size.
    """
    pairs, notices, planes = _paired(predicted, truth), list[str](), []
    for ours, theirs in pairs:
        found, said = read_labels(ours, polarity)
        wanted, also_said = read_labels(theirs, polarity)
        notices += [line for line in (said, also_said) if line and line not in notices]
        if found.shape != wanted.shape:
            raise CellsegError(
                f"{ours}: {found.shape[0]} x {found.shape[1]} pixels",
                f"{wanted.shape[0]} x {wanted.shape[1]} as in {theirs}",
                "give the mask of the same image",
            )
        planes.append((found, wanted))
    highest = max(int(max(found.max(), wanted.max())) for found, wanted in planes)
    classes = _classes(highest, names)
    matrices = [confusion_matrix(found, wanted, classes) for found, wanted in planes]
    images = tuple(
        {"predicted": str(ours), "truth": str(theirs)} | scores_from(matrix, classes)
        for (ours, theirs), matrix in zip(pairs, matrices, strict=True)
    )
    return Evaluation(scores_from(sum(matrices, np.zeros_like(matrices[0])), classes), images, tuple(notices))


def read_labels(path: Path, polarity: Polarity | None = None) -> tuple[NDArray[Any], str]:
    """Return the annotation indices (y, x) in a labels or mask file, and what to say about it."""
    plane = read_mask(path)
    if path.stem.endswith(LABELS_ENDING):
        return plane, ""
    if polarity is not None:
        return mask_to_labels(plane, polarity), ""
    suggestion = suggest_polarity(plane)
    if suggestion.polarity == "labels":
        return mask_to_labels(plane, "labels"), ""
    said = "masks: the brighter side is the class (--polarity dark for the other)"
    if suggestion.polarity == "dark":
        said = f"warning: {said}; {suggestion.reason}"
    return mask_to_labels(plane, "bright"), said


def _paired(predicted: Sequence[Path], truth: Sequence[Path]) -> list[tuple[Path, Path]]:
    if len(predicted) == len(truth) == 1:
        return [(predicted[0], truth[0])]
    plain = {path.with_name(path.name.replace(f"{LABELS_ENDING}.", ".")): path for path in predicted}
    return [(plain[image], mask) for image, mask in pair_masks(list(plain), list(truth))]


def _classes(highest: int, names: Sequence[str]) -> Classes:
    count = max(1, highest - 1)
    if names and len(names) < count:
        raise CellsegError(f"{count} classes in the files, {len(names)} names", "a name for each")
    return Classes.of(*(names or (f"class {number}" for number in range(1, count + 1))))
