"""What a training tells while it runs: small frozen records, and their JSON lines.

Whoever runs a training, in this process or in a child, gets the same records; importing
this module costs no torch.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Reading:
    """Before a classifier is trained: `done` of `total` cells are read, fitted or embedded."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Started:
    """Training begins; what stands here of windows and images are cells and samples for a classifier.

    Attributes
    ----------
    device, precision : str
        Where and in which number format.
    train_windows, validation_windows : int
        Windows seen in an epoch.
    train_images, validation_images : int
        Images with labels in either part; with a split by windows an image may be in both.
    parameters : int
        Weights of the network.
    notices : tuple of str
        Sentences the user should see.
    """

    device: str
    precision: str
    train_windows: int
    validation_windows: int
    train_images: int
    validation_images: int
    parameters: int
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class RateTrial:
    """A step of the search for a learning rate, `step` of at most `steps`."""

    step: int
    steps: int
    rate: float
    loss: float


@dataclass(frozen=True)
class RateFound:
    """The search for a learning rate is over; training begins with this one."""

    rate: float


@dataclass(frozen=True)
class Step:
    """One optimiser step was taken; `step` of `steps` counts over the whole training."""

    step: int
    steps: int
    loss: float
    seconds_left: float


@dataclass(frozen=True)
class Epoch:
    """An epoch ended with a validation.

    Attributes
    ----------
    epoch, epochs : int
        This one, from 1, and how many are planned.
    train_loss, validation_loss : float
    score : float
        Mean Dice of the classes (background left out) over all validation pixels; macro F1 of cells.
    dice : dict
        Dice (the same as F1) by class name; None where the class is not in what was held out.
    learning_rate : float
        The rate of the last step.
    seconds : float
        Since training began, times before a resume included.
    best : bool
        Whether this is the best score so far.
    train_accuracy, validation_accuracy : float or None
        Share of the annotated pixels that got their class, in the windows learned from
        (augmented, while the network changed) and in those held out.
    """

    epoch: int
    epochs: int
    train_loss: float
    validation_loss: float
    score: float
    dice: dict[str, float | None]
    learning_rate: float
    seconds: float
    best: bool
    train_accuracy: float | None = None
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class Finished:
    """Training ended; `model` holds the best network.

    `threshold` is the probability from which a pixel is the class, by validation (two
    classes only); `reason` is "done", "early stopping", "time" or "cancelled"; `device_peak_mb`
    the most that tensors took on a graphics card, in 10**6 bytes.
    """

    model: str
    best_epoch: int
    score: float
    reason: str
    seconds: float
    halo_px: int
    threshold: float | None = None
    device_peak_mb: float | None = None


Record = Reading | Started | RateTrial | RateFound | Step | Epoch | Finished

_EVENTS: dict[str, type[Record]] = {
    "reading": Reading,
    "started": Started,
    "rate-trial": RateTrial,
    "rate-found": RateFound,
    "step": Step,
    "epoch": Epoch,
    "finished": Finished,
}


def to_line(record: Record) -> str:
    """Return a record as one line of JSON.

    Examples
    --------
    >>> to_line(Step(1, 10, 0.5, 9.0))
    '{"event": "step", "step": 1, "steps": 10, "loss": 0.5, "seconds_left": 9.0}'
    """
    event = next(name for name, kind in _EVENTS.items() if isinstance(record, kind))
    return json.dumps({"event": event} | _plain(asdict(record)))


def from_line(line: str) -> Record:
    """Return the record that `to_line` wrote.

    Raises
    ------
    ValueError
        If the line is none.
    """
    values = json.loads(line)
    try:
        kind: Callable[..., Record] = _EVENTS[values.pop("event")]
        return kind(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        )
    except (AttributeError, KeyError, TypeError):
        raise ValueError(f"not a record of training: {line[:80]!r}") from None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    # NaN is no JSON; a score that is unknown travels as null.
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
