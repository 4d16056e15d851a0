"""Where a prediction is wrong, and how."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.report.figures import ADDED, MISSED, RIGHT

ERRORS: dict[str, str] = {"right": RIGHT, "missed": MISSED, "added": ADDED, "another class": "#009e73"}
"""What an error plane says, with its colours; index 1 is the first."""


def error_plane(predicted: Any, truth: Any) -> NDArray[np.uint8]:
    """Return 1 + the place in `ERRORS` of each pixel; 0 where there is nothing to see.

    Parameters
    ----------
    predicted, truth : (y, x) integer
        Annotation indices. Background that is rightly found, and what is not annotated, is 0.

    Returns
    -------
    (y, x) uint8

    Examples
    --------
    >>> error_plane(np.array([1, 2, 1, 2, 3, 2]), np.array([1, 2, 2, 1, 2, 0])).tolist()
    [0, 1, 2, 3, 4, 0]
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    errors = np.zeros(truth.shape, np.uint8)
    errors[(truth > 1) & (predicted == truth)] = 1
    errors[(truth > 1) & (predicted <= 1)] = 2
    errors[(truth == 1) & (predicted > 1)] = 3
    errors[(truth > 1) & (predicted > 1) & (predicted != truth)] = 4
    return errors
