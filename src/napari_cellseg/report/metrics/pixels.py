"""How well labels agree with the truth, pixel by pixel.

All figures come from the confusion matrix (truth, predicted), so planes of any size are
read in blocks, and the matrices of several images add up to that of all of them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes, plane_blocks
from napari_cellseg.report.metrics.figures import Values, json_number, nested, ratio


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
    for rows, cols in plane_blocks(truth.shape):
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
    matrix = np.asarray(matrix)
    annotated = matrix[1:].sum(axis=1)
    if not annotated.sum():
        raise CellsegError("nothing is annotated in the truth", "at least one pixel", "give another mask")
    values = pixel_figures(matrix[np.newaxis], classes)
    scores = nested({place: json_number(value[0]) for place, value in values.items()})
    for name, pixels in zip(classes.names[1:], annotated.tolist(), strict=True):
        scores["classes"][name]["pixels"] = pixels
    return scores | {"pixels": int(annotated.sum())}


def pixel_figures(matrices: NDArray[Any], classes: Classes) -> Values:
    """Return the figures of confusion matrices (r, truth, predicted), as arrays (r,).

    See `scores_from` for what they are.
    """
    annotated = np.asarray(matrices, np.float64)[:, 1:]
    hits = np.diagonal(annotated[..., 1:], axis1=1, axis2=2)
    wanted, claimed = annotated.sum(axis=2), annotated[..., 1:].sum(axis=1)
    figures = {
        "precision": ratio(hits, claimed),
        "recall": ratio(hits, wanted),
        "f1": ratio(2 * hits, wanted + claimed),
        "iou": ratio(hits, wanted + claimed - hits),
    }
    values: Values = {
        ("classes", name, key): columns[:, i]
        for i, name in enumerate(classes.names[1:])
        for key, columns in figures.items()
    }
    return values | {
        ("mean_f1",): _mean(figures["f1"][:, 1:]),
        ("accuracy",): ratio(hits.sum(axis=1), wanted.sum(axis=1)),
        ("balanced_accuracy",): _mean(figures["recall"]),
    }


def _mean(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the classes (r, k) for which the figure is defined."""
    defined = ~np.isnan(figures)
    return ratio(np.where(defined, figures, 0).sum(axis=1), defined.sum(axis=1))


def _indices(block: Any, count: int, whose: str) -> NDArray[np.intp]:
    block = np.asarray(block)
    low, high = int(block.min(initial=0)), int(block.max(initial=0))
    if low < 0 or high >= count:
        raise CellsegError(f"{whose} labels from {low} to {high}", f"0 to {count - 1}", "check the classes")
    return np.asarray(block, np.intp)
