"""How well labels agree with the truth, pixel by pixel.

All figures come from the confusion matrix (truth, predicted), so planes of any size are
read in blocks, and the matrices of several images add up to that of all of them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes

_BLOCK_PX = 1 << 22


def pixel_scores(predicted: Any, truth: Any, classes: Classes) -> dict[str, Any]:
    """Return precision, recall, F1 and IoU of each class, and the accuracies, as JSON types.

    Pixels whose truth is 0 (not annotated) are left out; a predicted 0 elsewhere is a miss of
    the true class and a claim of none.

    Parameters
    ----------
    predicted, truth : (y, x) integer array
        Indices into `classes`; numpy, zarr or dask.
    classes : Classes
        What the indices mean.

    Returns
    -------
    dict
        See `scores_from`.

    Raises
    ------
    CellsegError
        If the planes differ in size, hold other values than indices, or nothing is annotated.

    Examples
    --------
    >>> truth = np.array([[1, 1, 2, 2, 0]])
    >>> predicted = np.array([[1, 2, 2, 2, 2]])
    >>> pixel_scores(predicted, truth, Classes.of("filament"))["classes"]["filament"]["f1"]
    0.8
    """
    return scores_from(confusion_matrix(predicted, truth, classes), classes)


def confusion_matrix(predicted: Any, truth: Any, classes: Classes) -> NDArray[np.int64]:
    """Return the pixels (truth, predicted) of each pair of indices, 0 included, read in blocks.

    Parameters
    ----------
    predicted, truth : (y, x) integer array
        Indices into `classes`; numpy, zarr or dask.
    classes : Classes
        What the indices mean.

    Raises
    ------
    CellsegError
        If the planes differ in size or hold other values than indices.

    Examples
    --------
    >>> confusion_matrix(np.array([[1, 2]]), np.array([[2, 2]]), Classes.of("cell")).tolist()
    [[0, 0, 0], [0, 0, 0], [0, 1, 1]]
    """
    if tuple(predicted.shape) != tuple(truth.shape):
        raise CellsegError(
            f"predicted labels of shape {tuple(predicted.shape)}",
            f"{tuple(truth.shape)} like the truth",
            "compare planes of the same image",
        )
    for whose, plane in (("predicted", predicted), ("true", truth)):
        if np.dtype(plane.dtype).kind not in "iu":
            raise CellsegError(f"{whose} labels of type {plane.dtype}", "whole numbers")
    count = len(classes)
    matrix = np.zeros(count * count, np.int64)
    for rows, cols in _blocks(truth.shape):
        true = _indices(truth[rows, cols], count, "true")
        ours = _indices(predicted[rows, cols], count, "predicted")
        matrix += np.bincount((true * count + ours).ravel(), minlength=count * count)
    return matrix.reshape(count, count)


def scores_from(matrix: NDArray[np.int64], classes: Classes) -> dict[str, Any]:
    """Return the scores of a confusion matrix (truth, predicted), or of a sum of several.

    Parameters
    ----------
    matrix : (truth, predicted)
        As `confusion_matrix` returns it.
    classes : Classes
        What the indices mean.

    Returns
    -------
    dict
        ``"classes"``: for each class from background on ``precision``, ``recall``, ``f1`` (the
        same as Dice), ``iou`` and ``pixels`` (of the truth); ``"mean_f1"`` over the classes
        looked for, ``"accuracy"``, ``"balanced_accuracy"`` (mean recall of the classes in the
        truth) and ``"pixels"`` (annotated). A ratio of nothing to nothing is None: precision
        where the class was never predicted, recall where it is not in the truth, F1 and IoU
        where it is in neither.

    Raises
    ------
    CellsegError
        If nothing is annotated.

    Examples
    --------
    >>> scores = scores_from(np.array([[0, 0, 0], [0, 6, 2], [0, 1, 1]]), Classes.of("cell"))
    >>> scores["accuracy"], scores["classes"]["cell"]["f1"], scores["balanced_accuracy"]
    (0.7, 0.4, 0.625)
    """
    annotated = matrix[1:]
    total = int(annotated.sum())
    if not total:
        raise CellsegError("nothing is annotated in the truth", "at least one pixel", "give another mask")
    hits = np.diag(matrix)[1:]
    wanted, claimed = annotated.sum(axis=1), annotated[:, 1:].sum(axis=0)
    scores = {}
    for name, hit, want, claim in zip(
        classes.names[1:], hits.tolist(), wanted.tolist(), claimed.tolist(), strict=True
    ):
        scores[name] = {
            "precision": _ratio(hit, claim),
            "recall": _ratio(hit, want),
            "f1": _ratio(2 * hit, want + claim),
            "iou": _ratio(hit, want + claim - hit),
            "pixels": want,
        }
    recalls = [figures["recall"] for figures in scores.values() if figures["recall"] is not None]
    looked_for = [scores[name]["f1"] for name in classes.targets if scores[name]["f1"] is not None]
    return {
        "classes": scores,
        "mean_f1": _ratio(sum(looked_for), len(looked_for)),
        "accuracy": _ratio(int(hits.sum()), total),
        "balanced_accuracy": _ratio(sum(recalls), len(recalls)),
        "pixels": total,
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _indices(block: Any, count: int, whose: str) -> NDArray[np.intp]:
    block = np.asarray(block)
    low, high = int(block.min(initial=0)), int(block.max(initial=0))
    if low < 0 or high >= count:
        raise CellsegError(f"{whose} labels from {low} to {high}", f"0 to {count - 1}", "check the classes")
    return np.asarray(block, np.intp)


def _blocks(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of about 4 Mpx, as wide as the plane where that is possible."""
    width = max(1, min(shape[1], _BLOCK_PX))
    height = max(1, _BLOCK_PX // width)
    for top in range(0, shape[0], height):
        for left in range(0, shape[1], width):
            yield slice(top, top + height), slice(left, left + width)
