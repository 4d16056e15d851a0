"""From which probability on a pixel is the class: what validation says."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 255
NEAR = 0.002  # Dice this close to the best counts as equal: validation is a sample


def best_threshold(class_counts: NDArray[Any], other_counts: NDArray[Any]) -> float | None:
    """Return the threshold with the best Dice, the middle of those that are as good.

    Parameters
    ----------
    class_counts, other_counts : (bins,) int
        Histograms over 0 to 1 of the probability of the class, at pixels that are of the
        class and that are not.

    Returns
    -------
    float or None
        None where there is no pixel of the class.

    Examples
    --------
    >>> best_threshold(np.array([0, 0, 1, 9]), np.array([9, 1, 0, 0]))
    0.5
    """
    wanted = class_counts.sum()
    if not wanted:
        return None
    hits = np.cumsum(class_counts[::-1])[::-1]
    claimed = hits + np.cumsum(other_counts[::-1])[::-1]
    dice = 2 * hits / (wanted + claimed)
    good = np.flatnonzero(dice >= dice.max() - NEAR)
    # The run of good thresholds around the best one; another one far off does not count.
    best = int(dice.argmax())
    gaps = np.flatnonzero(np.diff(good) > 1)
    runs = np.split(good, gaps + 1)
    run = next(run for run in runs if run[0] <= best <= run[-1])
    threshold = float((run[0] + run[-1]) / 2 / len(dice))
    return float(np.clip(threshold, 0.01, 0.99))


def probability_counts(
    probabilities: NDArray[np.float32], of_class: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the histograms that `best_threshold` takes, for some annotated pixels (n,)."""
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    both = np.bincount(bins + BINS * of_class, minlength=2 * BINS)
    return both[BINS:], both[:BINS]
