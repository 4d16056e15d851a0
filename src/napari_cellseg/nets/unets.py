"""U-Nets that no library has in the form we need: plain, light, nested, with pixel shuffle.

All map ``(n, channels, y, x)`` to logits ``(n, outputs, y, x)``; sides are multiples of
the network's stride. Imported by `segmenters` only when one of them is built.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d


class _Convolutions(nn.Module):
    """Two 3 x 3 convolutions with batch norm, around them a shortcut if `residual`."""

    def __init__(self, inputs: int, outputs: int, *, residual: bool) -> None:
        super().__init__()
        self.both = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.both(x)
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return torch.relu(y)


class PlainUNet(nn.Module):
    """The original U-Net (Ronneberger et al. 2015), padded and with batch norm.

    Parameters
    ----------
    channels, outputs : int
        Channels of the image and of the logits.
    widths : sequence of int
        Channels of each level, the finest first.
    light : bool
        Residual blocks and bilinear steps up instead of transposed convolutions: trains
        in fewer steps and costs less.
    """

    def __init__(self, channels: int, outputs: int, widths: Sequence[int], *, light: bool = False) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(
            _Convolutions(inputs, width, residual=light)
            for inputs, width in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.rise = nn.ModuleList(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            if light
            else nn.ConvTranspose2d(coarse, fine, 2, 2)
            for fine, coarse in steps
        )
        self.up = nn.ModuleList(
            _Convolutions((coarse if light else fine) + fine, fine, residual=light) for fine, coarse in steps
        )
        self.head = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        levels: list[Tensor] = []
        for block in self.down:
            levels.append(block(max_pool2d(levels[-1], 2) if levels else x))
        x = levels.pop()
        for rise, block, level in zip(reversed(self.rise), reversed(self.up), reversed(levels), strict=True):
            x = block(torch.cat([level, rise(x)], 1))
        logits: Tensor = self.head(x)
        return logits


class NestedUNet(nn.Module):
    """U-Net++ (Zhou et al. 2018): every level is decoded at once, with dense skips.

    Notation: node (i, j) lies at level i, 0 the finest, after j steps up.

    Parameters
    ----------
    channels, outputs : int
    widths : sequence of int
        Channels of each level, the finest first.
    supervised : bool
        While training, return the logits of every decoding instead of the last; in
        evaluation their mean.
    """

    def __init__(
        self, channels: int, outputs: int, widths: Sequence[int], *, supervised: bool = False
    ) -> None:
        super().__init__()
        self.levels, self.supervised = len(widths), supervised
        self.nodes = nn.ModuleDict()
        for j in range(self.levels):
            for i in range(self.levels - j):
                inputs = widths[i] * j + widths[i + 1] if j else ([channels, *widths][i])
                self.nodes[f"{i}_{j}"] = _Convolutions(inputs, widths[i], residual=False)
        decodings = self.levels - 1 if supervised else 1
        self.heads = nn.ModuleList(nn.Conv2d(widths[0], outputs, 1) for _ in range(decodings))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the logits; several where every decoding is supervised."""
        rows: list[list[Tensor]] = []
        for i in range(self.levels):
            rows.append([self.nodes[f"{i}_0"](max_pool2d(rows[-1][0], 2) if rows else x)])
        for j in range(1, self.levels):
            for i in range(self.levels - j):
                risen = interpolate(rows[i + 1][j - 1], scale_factor=2, mode="bilinear", align_corners=False)
                rows[i].append(self.nodes[f"{i}_{j}"](torch.cat([*rows[i], risen], 1)))
        decoded = rows[0][1:][-len(self.heads) :]
        logits = tuple(head(node) for head, node in zip(self.heads, decoded, strict=True))
        if self.training and self.supervised:
            return logits
        return torch.stack(logits).mean(0) if len(logits) > 1 else logits[0]


class ShuffleUNet(nn.Module):
    """A U-Net that rises by pixel shuffle over an encoder, as fastai's DynamicUnet does.

    The convolution before each shuffle starts with equal weights for the four pixels it
    makes (ICNR, Aitken et al. 2017), so that no checkerboard is there to unlearn.

    Parameters
    ----------
    encoder : torch.nn.Module
        An encoder of segmentation-models-pytorch: returns the image and its levels.
    outputs : int
    """

    def __init__(self, encoder: Any, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        first, *levels = encoder.out_channels
        width = levels[-1]
        self.middle = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), _convolution(width, 2 * width), _convolution(2 * width, width)
        )
        self.up = nn.ModuleList()
        for skip in reversed(levels[:-1]):
            self.up.append(_Rise(width, skip))
            width = self.up[-1].width
        self.last = _shuffle(width, width)
        self.merge = _Convolutions(width + first, width, residual=True)
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        first, *levels = self.encoder(x)
        x = self.middle(levels[-1])
        for rise, skip in zip(self.up, reversed(levels[:-1]), strict=True):
            x = rise(x, skip)
        logits: Tensor = self.head(self.merge(torch.cat([self.last(x), first], 1)))
        return logits


class _Rise(nn.Module):
    """A pixel shuffle to twice the size, then two convolutions with what the encoder saw there."""

    def __init__(self, inputs: int, skip: int) -> None:
        super().__init__()
        self.width = inputs // 2 + skip
        self.shuffle = _shuffle(inputs, inputs // 2)
        self.skip = nn.BatchNorm2d(skip)
        self.both = nn.Sequential(
            _convolution(self.width, self.width // 2 * 2), _convolution(self.width, self.width)
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        y: Tensor = self.both(torch.relu(torch.cat([self.shuffle(x), self.skip(skip)], 1)))
        return y


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True))


def _shuffle(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, 4 * outputs, 1)
    with torch.no_grad():
        weight = nn.init.kaiming_normal_(torch.empty(outputs, inputs, 1, 1))
        convolution.weight.copy_(weight.repeat_interleave(4, 0))
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return nn.Sequential(convolution, nn.ReLU(inplace=True), nn.PixelShuffle(2))
