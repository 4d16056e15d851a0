"""Forward and backward passes of one step: a batch whole, or in parts where memory is short."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from math import ceil
from typing import Any

import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.predict.memory import is_out_of_memory

log = logging.getLogger(__name__)


class Passes:
    """Adds up the gradients of a batch; where memory runs out, in smaller parts from then on.

    Parameters
    ----------
    net : nn.Module
        Returns logits, or several where every decoding is trained.
    loss : callable
        ``loss(logits, targets)``.
    backward : callable
        Of a loss.
    at_a_time : int, optional
        Windows that go through the network together; all if not given.
    alone : callable
        ``alone(True)`` is the context of all parts but the last: gradients of several devices meet then.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        backward: Callable[[torch.Tensor], None],
        at_a_time: int | None = None,
        alone: Callable[[bool], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._net, self._loss, self._backward, self._alone = net, loss, backward, alone
        self.at_a_time = at_a_time

    def __call__(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[float, int, int]:
        """Return the loss, the pixels that got their class and those annotated; gradients are left behind.

        Raises
        ------
        CellsegError
            If memory does not suffice for a single window.
        """
        while True:
            try:
                return self._all(images, targets)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = ceil(min(self.at_a_time or len(images), len(images)) / 2)
                if smaller == self.at_a_time or len(images) == 1:
                    raise CellsegError(
                        f"not enough memory for a window of {images.shape[2]} x {images.shape[3]} px",
                        "room for one at least",
                        "train with a smaller --window-px or a smaller network, or close other programs",
                    ) from None
                self.at_a_time = smaller
            self._net.zero_grad(set_to_none=True)
            log.warning("out of memory: %d windows at a time from now on", self.at_a_time)

    def _all(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[float, int, int]:
        whole, right, seen = 0.0, 0, 0
        size = self.at_a_time or len(images)
        parts = list(zip(torch.split(images, size), torch.split(targets, size), strict=True))
        for number, (part, wanted) in enumerate(parts, start=1):
            share = len(part) / len(images)
            with self._alone(number < len(parts)):
                outputs = self._net(part.contiguous(memory_format=torch.channels_last))
                if not isinstance(outputs, tuple):  # several where all are supervised
                    outputs = (outputs,)
                loss = torch.stack([self._loss(logits.float(), wanted) for logits in outputs]).mean()
                self._backward(loss * share)
            known = wanted != IGNORED
            whole += loss.item() * share
            right += int(((outputs[-1].argmax(1) == wanted) & known).sum())
            seen += int(known.sum())
        return whole, right, seen
