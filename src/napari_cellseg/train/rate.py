"""Looking for the learning rate: a few steps at ever higher rates (Smith 2017, arXiv 1506.01186)."""

import math
from collections.abc import Callable, Generator, Sequence

import numpy as np

from napari_cellseg.train.records import RateTrial

TRIALS = 60
LOWEST, HIGHEST = 1e-6, 1.0
DIVERGED = 3.0  # times the lowest smoothed loss
SMOOTHING = 0.8


def try_rates(step: Callable[[float], float], *, trials: int = TRIALS) -> Generator[RateTrial, None, float]:
    """Take steps at rates from 1e-6 to 1 until the loss grows; yield them, return the rate to use.

    Parameters
    ----------
    step : callable
        ``step(rate) -> loss`` of one optimiser step; the caller puts the network back.
    trials : int
        Most steps that are taken.
    """
    rates: list[float] = []
    losses: list[float] = []
    for number, rate in enumerate(np.geomspace(LOWEST, HIGHEST, trials).tolist(), start=1):
        rates.append(rate)
        losses.append(step(rate))
        yield RateTrial(number, trials, rate, losses[-1])
        smooth = smoothed(losses)
        if not math.isfinite(losses[-1]) or smooth[-1] > DIVERGED * min(smooth):
            break
    return suggested_rate(rates, losses)


def suggested_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate at which the smoothed loss falls fastest, before it is lowest.

    Parameters
    ----------
    rates, losses : sequence of float
        Of a range test, the rates growing by a constant factor.

    Examples
    --------
    >>> rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    >>> suggested_rate(rates, [1.0, 0.99, 0.5, 0.45, 30.0])
    0.01
    """
    known = [loss for loss in losses if math.isfinite(loss)]
    if len(known) < 3:
        return rates[0]
    smooth = np.array(smoothed(known))
    lowest = max(2, int(smooth.argmin()))
    falls = np.diff(smooth[: lowest + 1])
    return float(rates[int(falls.argmin()) + 1])


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return running means of the losses, the last ones weighing most."""
    mean, result = 0.0, []
    for count, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        result.append(mean / (1 - SMOOTHING**count))
    return result
