"""What a network makes of the windows that were held out: loss, scores, the best threshold."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.train.planes import Plane
from napari_cellseg.train.threshold import BINS, best_threshold, probability_counts
from napari_cellseg.train.windows import validation_batches, validation_windows


@dataclass(frozen=True)
class Scores:
    """How well a network does on what was held out.

    Attributes
    ----------
    loss : float
    dice : tuple of float or None
        Of each output; None where the truth holds none of it.
    accuracy : float or None
        Share of the annotated pixels.
    """

    loss: float
    dice: tuple[float | None, ...]
    accuracy: float | None

    @property
    def score(self) -> float:
        """Mean Dice of the classes but background; without any, what the loss says."""
        known = [value for value in self.dice[1:] if value is not None]
        return float(np.mean(known)) if known else 1 / (1 + self.loss)


class Validation:
    """The held-out windows, on the device of the network.

    Parameters
    ----------
    planes : sequence of Plane
    window_px, batch : int
    limit : int
        Most windows that are looked at.
    device : torch.device
    """

    def __init__(
        self, planes: Sequence[Plane], window_px: int, batch: int, limit: int, device: torch.device
    ) -> None:
        self.planes, self.window_px, self.batch, self.device = planes, window_px, batch, device
        self.places = validation_windows(planes, window_px, limit)

    def scores(
        self,
        net: torch.nn.Module,
        outputs: int,
        loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> Scores:
        """Return the scores of a network with so many outputs; it is left in evaluation mode."""
        confusion = np.zeros((outputs, outputs), np.int64)
        losses = []
        for logits, targets in self._looked_at(net):
            losses.append(loss_of(logits, targets).item())
            known = targets != IGNORED
            pairs = targets[known] * outputs + logits.argmax(1)[known]
            confusion += torch.bincount(pairs, minlength=outputs**2).reshape(outputs, outputs).cpu().numpy()
        total = int(confusion.sum())
        accuracy = float(confusion.trace() / total) if total else None
        return Scores(float(np.mean(losses)), _dice(confusion), accuracy)

    def threshold(self, net: torch.nn.Module) -> float | None:
        """Return the probability from which a pixel is the second of two classes."""
        counts = np.zeros((2, BINS), np.int64)
        for logits, targets in self._looked_at(net):
            known = targets != IGNORED
            probabilities = logits.softmax(1)[:, 1][known].cpu().numpy()
            counts += probability_counts(probabilities, (targets[known] == 1).cpu().numpy())
        return best_threshold(*counts)

    def _looked_at(self, net: torch.nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        net.eval()
        with torch.no_grad():
            for window in validation_batches(self.planes, self.places, self.window_px, self.batch):
                images, targets = (torch.from_numpy(part).to(self.device) for part in window)
                yield net(images.contiguous(memory_format=torch.channels_last)).float(), targets


def _dice(confusion: NDArray[np.int64]) -> tuple[float | None, ...]:
    """Return the Dice of each class from counts (truth, predicted); None where there is none."""
    total = confusion.sum(0) + confusion.sum(1)
    truth = confusion.sum(1)
    return tuple(
        float(2 * hit / both) if own else None
        for hit, both, own in zip(confusion.diagonal(), total, truth, strict=True)
    )
