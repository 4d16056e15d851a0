"""A network on a graphics card that takes pixels as they are in the file and gives back bytes.

Normalising, labels and rounding to bytes happen on the card, so that two bytes a pixel go there and one
for each class and one for the label come back, through memory that the card reads and writes by itself: the
next window is begun while this one is under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.normalise import Figures
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.network import Network
from napari_cellseg.predict.tiles import Grid
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    import torch

    from napari_cellseg.nets.model import Model
    from napari_cellseg.predict.network import Pending

KINDS = ("u1", "i1", "u2", "i2", "f2", "f4")
"""Pixels that float32 holds exactly; others are normalised before they are narrowed, not on a card."""


def takes(dtype: np.dtype[Any], grid: Grid, settings: SegmentSettings) -> bool:
    """Return whether blocks are made on a card from start to end.

    Several views, uncertainty and another pixel size need the probabilities themselves.
    """
    from napari_cellseg.nets.backends import run_device

    plain = settings.views == 1 and settings.uncertainty == "none" and settings.backend in ("auto", "torch")
    if not plain or (grid.working or grid.shape) != grid.shape or dtype.str[1:] not in KINDS:
        return False
    return run_device(settings.backend, settings.device).startswith("cuda")


class CardNetwork(Network):
    """Runs windows (c, y, x) of raw pixels on a card; gives what `encode` does.

    Parameters
    ----------
    model, grid, settings, turn
        As in `Network`.
    figures : Figures
        The image's.
    encode : Encode
    """

    def __init__(
        self,
        model: Model,
        grid: Grid,
        settings: SegmentSettings,
        turn: int,
        figures: Figures,
        encode: Encode,
    ) -> None:
        from napari_cellseg.nets.backends import pick_precision

        super().__init__(model, grid, settings, turn)
        self.figures, self.encode = figures, encode
        self.precision = pick_precision(settings.precision, self.device)
        self.net: Any = None  # on the card, from the first window on

    def launch(self, window: NDArray[Any], keep: tuple[slice, slice]) -> Pending:
        """Put a pass over a window, and what follows it, into the card's queue, and wait for none of it."""
        import torch

        from napari_cellseg.nets.backends import autocast, fixed_shapes

        on_card = self.device.startswith("cuda")
        if self.net is None:
            net: Any = self.model.net.eval()
            self.net = net.to(self.device, memory_format=torch.channels_last)
        pixels = torch.from_numpy(np.ascontiguousarray(window, window.dtype.newbyteorder("=")))
        with torch.inference_mode(), fixed_shapes():
            pixels = (pixels.pin_memory() if on_card else pixels).to(self.device, non_blocking=True)
            batch = self.normalised(pixels)[None].contiguous(memory_format=torch.channels_last)
            with autocast(self.device, self.precision):
                logits = self.net(batch)[0]
            encoded = self.encoded(logits[:, *keep].float().softmax(0))
            answer = torch.empty(encoded.shape, dtype=torch.uint8, pin_memory=on_card)
            answer.copy_(encoded, non_blocking=True)
            done = torch.cuda.Event() if on_card else None  # type: ignore[no-untyped-call]
            if done is not None:
                done.record(torch.cuda.current_stream(self.device))

        def arrived() -> NDArray[Any]:
            if done is not None:
                done.synchronize()
            planes: NDArray[Any] = answer.numpy()
            return planes

        return arrived

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Do what `Figures.apply` does; in the same order, so that the same comes out."""
        import torch

        figures, is_float = self.figures, pixels.is_floating_point()
        pixels = pixels.to(torch.float32, copy=True)
        every = zip(pixels, figures.mean, figures.std, figures.low, figures.high, strict=True)
        for plane, mean, std, low, high in every:  # numbers, since a tensor of them would be waited for
            plane.clamp_(low, high).sub_(mean).mul_(1 / std)
        return pixels.nan_to_num_(nan=0.0) if is_float else pixels

    def encoded(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Do what `Encode` does."""
        import torch

        if self.encode.threshold is None:
            labels = probabilities.argmax(0)
        else:
            labels = probabilities[1] >= self.encode.threshold
        rounded = probabilities.mul(255).add_(0.5).to(torch.uint8)
        return torch.cat([rounded, (labels.to(torch.uint8) + 1)[None]])
