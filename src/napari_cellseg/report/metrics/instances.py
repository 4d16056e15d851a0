"""How well single cells are found: which predicted cell is which true one, and what is left over.

A predicted and a true cell match at a threshold if their intersection over union (IoU) is
above it; from 0.5 on no cell can match two. Average precision is TP / (TP + FP + FN), as in
the 2018 Data Science Bowl (Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7), panoptic
quality that of Kirillov et al. 2019 (doi:10.1109/CVPR.2019.00963).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.instance_rings import whole_numbers
from napari_cellseg.report.metrics.figures import Figure, Values, json_number, nested, ratio
from napari_cellseg.report.metrics.intervals import describe_intervals, figure_intervals

IOUS = np.arange(50, 100, 5) / 100
AP50, AP75 = 0, 5  # their places in IOUS

INSTANCE_FIGURES: dict[str, Figure] = {
    "ap50": Figure("AP at IoU 0.5", "TP / (TP + FP + FN), all images together", per_class=False),
    "ap75": Figure("AP at IoU 0.75", "the same where cells have to fit more closely", per_class=False),
    "ap": Figure("AP", "the same, mean of IoU 0.5, 0.55, ... 0.95", per_class=False),
    "image_ap50": Figure("AP at IoU 0.5, by image", "mean of the images' AP at IoU 0.5", per_class=False),
    "image_ap75": Figure("AP at IoU 0.75, by image", "mean of the images' AP at IoU 0.75", per_class=False),
    "image_ap": Figure(
        "AP, by image", "mean of the images' AP, the score of the 2018 Data Science Bowl", per_class=False
    ),
    "precision": Figure("precision", "share of the predicted cells that are one at IoU 0.5", per_class=False),
    "recall": Figure("recall", "share of the true cells that are found at IoU 0.5", per_class=False),
    "f1": Figure("F1", "harmonic mean of precision and recall at IoU 0.5", per_class=False),
    "panoptic_quality": Figure(
        "panoptic quality", "sum of the IoU of cells found at 0.5 over TP + FP / 2 + FN / 2", per_class=False
    ),
    "count_error": Figure(
        "count error",
        "sum over images of how many cells too many or too few, over the true cells",
        per_class=False,
        higher_is_better=False,
        bounds=(0.0, np.inf),
    ),
}


def instance_scores(predicted: NDArray[Any], truth: NDArray[Any]) -> dict[str, Any]:
    """Return the figures of one image as JSON types, and what they are made of.

    Parameters
    ----------
    predicted, truth : (y, x) integer array
        0 = no cell, then one number a cell, with or without gaps.

    Returns
    -------
    dict
        The keys of `INSTANCE_FIGURES`, None where there is nothing to divide by: most of them
        in an image without cells that none were found in. ``"predicted_cells"``,
        ``"true_cells"``; ``"counts"`` is what `pool_instances` adds up.

    Raises
    ------
    CellsegError
        If the planes differ in size or hold other values than numbers of cells.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2]])
    >>> scores = instance_scores(np.array([[5, 5, 5, 5, 0, 0, 0, 7, 7]]), truth)
    >>> scores["ap50"], scores["panoptic_quality"], scores["count_error"]
    (0.3333333333333333, 0.5, 0.0)
    """
    if predicted.shape != truth.shape:
        raise CellsegError(
            f"predicted cells of shape {predicted.shape}",
            f"{truth.shape} like the truth",
            "compare planes of the same image",
        )
    found, true, ious = _overlaps(whole_numbers(predicted), whole_numbers(truth))
    matched = (ious[:, np.newaxis] > IOUS).sum(axis=0)
    counts = {
        "matched": matched.tolist(),
        "iou": float(ious[ious > IOUS[AP50]].sum()),
        "predicted": found,
        "true": true,
        "miscounted": abs(found - true),
    }
    figures = _figures({key: np.asarray(value)[np.newaxis] for key, value in counts.items()})
    own = {key: json_number(figures[key,][0]) for key in INSTANCE_FIGURES}
    return own | {"predicted_cells": found, "true_cells": true, "counts": counts}


def pool_instances(
    images: Sequence[dict[str, Any]], *, seed: int = 42, resamples: int = 5000
) -> dict[str, Any]:
    """Return the figures over all images together, with 95 % intervals over images.

    Parameters
    ----------
    images : sequence of dict
        What `instance_scores` returned for each image.
    seed, resamples : int
        Of the bootstrap.

    Returns
    -------
    dict
        The keys of `INSTANCE_FIGURES`; ``"images"``, ``"predicted_cells"``, ``"true_cells"``;
        ``"intervals"`` and ``"interval"`` as `pool_scores` returns them.

    Raises
    ------
    CellsegError
        If there is no image.
    """
    if not images:
        raise CellsegError("no image was scored", "at least one")
    counts = {key: np.array([image["counts"][key] for image in images]) for key in images[0]["counts"]}

    def statistic(weights: NDArray[np.float64]) -> Values:
        return _figures(counts, weights)

    values, ranges = figure_intervals(statistic, len(images), seed, resamples, figures=INSTANCE_FIGURES)
    pooled: dict[str, Any] = {place[0]: json_number(value) for place, value in values.items()}
    return pooled | {
        "images": len(images),
        "predicted_cells": int(counts["predicted"].sum()),
        "true_cells": int(counts["true"].sum()),
        "intervals": nested(ranges),
        "interval": describe_intervals(len(images), seed, resamples),
    }


def _overlaps(predicted: NDArray[Any], truth: NDArray[Any]) -> tuple[int, int, NDArray[np.float64]]:
    """Return the numbers of predicted and true cells, and the IoU of those pairs that overlap."""
    names, ours = np.unique(predicted, return_inverse=True)
    true_names, true = np.unique(truth, return_inverse=True)
    area, true_area = np.bincount(ours.ravel()), np.bincount(true.ravel())
    pairs, shared = np.unique(true.ravel().astype(np.int64) * len(names) + ours.ravel(), return_counts=True)
    row, col = np.divmod(pairs, len(names)) if len(names) else (pairs, pairs)
    cells = (true_names[row] > 0) & (names[col] > 0)
    row, col, shared = row[cells], col[cells], shared[cells]
    ious = shared / (true_area[row] + area[col] - shared)
    return int((names > 0).sum()), int((true_names > 0).sum()), ious.astype(np.float64)


def _figures(counts: dict[str, NDArray[Any]], weights: NDArray[np.float64] | None = None) -> Values:
    """Return the figures (r,) of images (n, ...) that count as often as weights (r, n) say.

    Without weights each image is by itself: r = n.
    """
    weights = np.eye(len(counts["true"])) if weights is None else weights
    matched, iou, found, true, wrong = (
        weights @ counts[key] for key in ("matched", "iou", "predicted", "true", "miscounted")
    )
    precisions = ratio(matched, (found + true)[:, np.newaxis] - matched)
    each = ratio(counts["matched"], (counts["predicted"] + counts["true"])[:, np.newaxis] - counts["matched"])
    known = ~np.isnan(each[:, 0])  # an image without any cell says nothing
    of_images = ratio(weights @ np.where(known[:, np.newaxis], each, 0), (weights @ known)[:, np.newaxis])
    values: dict[str, NDArray[np.float64]] = {}
    for prefix, table in (("", precisions), ("image_", of_images)):
        values |= {f"{prefix}ap50": table[:, AP50], f"{prefix}ap75": table[:, AP75]}
        values[f"{prefix}ap"] = table.mean(axis=1)
    values["precision"] = ratio(matched[:, AP50], found)
    values["recall"] = ratio(matched[:, AP50], true)
    values["f1"] = ratio(2 * matched[:, AP50], found + true)
    values["panoptic_quality"] = ratio(2 * iou, found + true)
    values["count_error"] = ratio(wrong, true)
    return {(key,): value for key, value in values.items()}
