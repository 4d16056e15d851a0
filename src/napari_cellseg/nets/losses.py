"""Losses over the annotated pixels only: `LOSSES`.

Notation: N windows, K network outputs, targets ``(n, y, x)`` hold the output index, or
`IGNORED` where nothing was annotated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IGNORED = -1
"""Target value of a pixel nobody annotated; it costs nothing."""


@dataclass(frozen=True)
class Loss:
    """A loss and one line about it.

    Attributes
    ----------
    compute : callable
        ``compute(logits (n, k, y, x), targets (n, y, x), weights (k,) or None) -> scalar``.
    description : str
        One line for lists and forms.
    """

    compute: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
    description: str


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean cross-entropy over annotated pixels; 0 where there are none.

    Parameters
    ----------
    logits : (n, k, y, x) float
    targets : (n, y, x) int64
        Output indices, or `IGNORED`.
    weights : (k,) float, optional
        Weight of each class.
    """
    from torch.nn.functional import cross_entropy as mean_cross_entropy

    if not bool((targets != IGNORED).any()):
        return logits.sum() * 0.0
    return mean_cross_entropy(logits, targets, weights, ignore_index=IGNORED)


def dice(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Return 1 - soft Dice, the mean over the classes but background.

    Taken over the whole batch: a window without any pixel of a class then adds no
    noise of its own (Milletari et al. 2016 for the squared form used here is not
    needed at batch level; this is the plain ratio of sums).
    """
    import torch
    from torch.nn.functional import one_hot

    annotated = (targets != IGNORED).unsqueeze(1)
    probabilities = logits.softmax(1) * annotated
    truth = one_hot(targets.clamp_min(0), logits.shape[1]).movedim(-1, 1).to(logits.dtype) * annotated
    axes = (0, 2, 3)
    overlap = (probabilities * truth).sum(axes)
    total = (probabilities + truth).sum(axes)
    # One pixel of smoothing: a class absent from the batch and from the prediction costs nothing.
    score = (2 * overlap + 1) / (total + 1)
    return 1 - torch.mean(score[1:])


def _dice_and_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    return dice(logits, targets) + cross_entropy(logits, targets, weights)


LOSSES: dict[str, Loss] = {
    "dice+ce": Loss(_dice_and_cross_entropy, "soft Dice of the classes plus cross-entropy, equal parts"),
    "dice": Loss(dice, "soft Dice of the classes over the batch"),
    "ce": Loss(cross_entropy, "cross-entropy"),
}
