"""The course of the learning rate, and how many epochs fit into a time limit."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from napari_cellseg.settings import ClassifierSettings, TrainSettings

WARM_UP = 0.2
TIME_KEPT = 0.95
"""Share of a time limit that training may use; the rest is for writing the model."""


def one_cycle(course: float) -> float:
    """Return the share of the highest rate: up from 1/25 over the first fifth, then down to nearly 0.

    Smith and Topin 2018, "Super-convergence".

    Examples
    --------
    >>> one_cycle(0.0), one_cycle(0.2), round(one_cycle(1.0), 4)
    (0.04, 1.0, 0.0001)
    """
    if course < WARM_UP:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * course / WARM_UP)) / 2
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (course - WARM_UP) / (1 - WARM_UP))) / 2


def cosine(course: float) -> float:
    """Return the share of the highest rate: half a cosine from 1 to 0."""
    return (1 + math.cos(math.pi * course)) / 2


SCHEDULES: dict[str, Callable[[float], float]] = {
    "one-cycle": one_cycle,
    "cosine": cosine,
    "constant": lambda course: 1.0,
}


@dataclass
class Clock:
    """Time and epochs of a training.

    Attributes
    ----------
    settings : TrainSettings or ClassifierSettings
    before : float
        Seconds trained before a resume.
    """

    settings: TrainSettings | ClassifierSettings
    before: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds trained, times before a resume included."""
        return self.before + time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds left of the time limit; infinite where there is none."""
        limit = self.settings.minutes
        return math.inf if limit is None else TIME_KEPT * 60 * limit - self.seconds

    def epochs_left(self, done: int) -> int:
        """Return how many epochs are still planned after `done`, going by the time they took."""
        planned = self.settings.epochs - done
        if self.settings.minutes is None or done == 0:
            return planned
        return max(0, min(planned, int(self.left / (self.seconds / done))))
