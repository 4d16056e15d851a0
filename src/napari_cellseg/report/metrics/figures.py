"""The figures there are, and how they are written down.

Inside this package a figure is an array with one value a resample (or image), NaN where it is
not defined, under its place in the JSON: ``("accuracy",)`` or ``("classes", "cell", "f1")``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Place = tuple[str, ...]
Values = dict[Place, NDArray[np.float64]]


@dataclass(frozen=True)
class Figure:
    """One kind of figure.

    Parameters
    ----------
    title : str
        Head of its column.
    description : str
        What it says.
    per_class : bool
        Whether each class has one, or the whole image.
    higher_is_better : bool
        Which way is up.
    bounds : (float, float)
        The least and the greatest it can be.
    """

    title: str
    description: str
    per_class: bool = True
    higher_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)


FIGURES: dict[str, Figure] = {
    "accuracy": Figure("accuracy", "share of the annotated pixels with the right label", per_class=False),
    "balanced_accuracy": Figure(
        "balanced accuracy", "mean recall of the classes in the truth", per_class=False
    ),
    "mean_f1": Figure("mean F1", "mean F1 of the classes looked for (without background)", per_class=False),
    "calibration_error": Figure(
        "calibration error",
        "expected calibration error: mean distance between confidence and accuracy, in 15 bins",
        per_class=False,
        higher_is_better=False,
    ),
    "precision": Figure("precision", "share of the predicted pixels that are of the class"),
    "recall": Figure("recall", "share of the class's pixels that are predicted"),
    "f1": Figure("F1", "harmonic mean of precision and recall, the same as Dice"),
    "iou": Figure("IoU", "pixels in both over pixels in either"),
    "auroc": Figure("AUROC", "chance that a pixel of the class is given a higher probability than another"),
    "average_precision": Figure("AP", "precision averaged over the recall reached by all thresholds"),
    "cl_dice": Figure("clDice", "harmonic mean of the shares of either skeleton that lie in the other mask"),
    "centreline_precision": Figure(
        "centreline precision", "share of the predicted centreline's length near the true one"
    ),
    "centreline_recall": Figure(
        "centreline recall", "share of the true centreline's length near the predicted one"
    ),
    "centreline_f1": Figure("centreline F1", "harmonic mean of centreline precision and recall"),
    "gap_rate": Figure(
        "gap rate", "share of the true centreline's length with no prediction near", higher_is_better=False
    ),
    "fragments_per_filament": Figure(
        "fragments per filament",
        "pieces in which a true filament that was found is predicted",
        higher_is_better=False,
        bounds=(1.0, math.inf),
    ),
}


def ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    """Return part / whole; NaN where the whole is nothing.

    Examples
    --------
    >>> ratio([1, 0], [2, 0])
    array([0.5, nan])
    """
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    quotient: NDArray[np.float64] = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return quotient


def nested(values: Mapping[Place, Any]) -> dict[str, Any]:
    """Return values under their places as nested dictionaries.

    Examples
    --------
    >>> nested({("accuracy",): 1, ("classes", "cell", "f1"): 0})
    {'accuracy': 1, 'classes': {'cell': {'f1': 0}}}
    """
    tree: dict[str, Any] = {}
    for place, value in values.items():
        node = tree
        for step in place[:-1]:
            node = node.setdefault(step, {})
        node[place[-1]] = value
    return tree


def json_number(value: float) -> float | None:
    """Return a number as a JSON type; None for NaN."""
    return None if math.isnan(value) else float(value)
