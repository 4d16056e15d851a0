"""The torch modules of classifiers: a small residual network for cells, heads, and the two joined.

Notation: N cells, C channels, F features, M measurements, K classes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

GREY_MEAN, GREY_SPREAD = 0.449, 0.226  # of ImageNet over its three colours, which pretrained nets expect
NOISE_OF_MEASURED = 0.05


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a way around them (He et al. 2015)."""

    def __init__(self, channels: int, wide: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, wide, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(wide)
        self.second = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(wide)
        same = channels == wide and stride == 1
        self.around: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(n, wide, y / stride, x / stride)``."""
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(inner)) + self.around(x))


class CellsSmall(nn.Sequential):
    """Nine convolutions at four resolutions, then the mean over the cell: ``(n, 8 * width)``."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            Residual(width, width, 1),
            Residual(width, 2 * width, 2),
            Residual(2 * width, 4 * width, 2),
            Residual(4 * width, 8 * width, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


class Nothing(nn.Module):
    """No feature of the picture, for a head that decides on measurements alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(n, 0)``."""
        return x.new_zeros(len(x), 0)


class Flattened(nn.Module):
    """The feature planes of a timm model as one row a cell."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(n, f)``."""
        features: torch.Tensor = self.model.forward_features(x)  # type: ignore[operator]
        return features.flatten(1)


class Head(nn.Sequential):
    """Dense layers with ReLU, dropout after some of them, then one output a class."""

    def __init__(self, features: int, widths: Sequence[int], dropouts: Sequence[float], outputs: int) -> None:
        layers: list[nn.Module] = []
        for width, dropout in zip(widths, dropouts, strict=True):
            layers += [nn.Linear(features, width), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            features = width
        super().__init__(*layers, nn.Linear(features, outputs))


class CellNet(nn.Module):
    """One or several backbones with a head each; their mean is the answer.

    Parameters
    ----------
    backbones : sequence of nn.Module
        Each maps ``(n, c, y, x)`` to ``(n, f)``.
    head : callable
        ``head(features) -> nn.Module`` mapping ``(n, f + m)`` to ``(n, k)``.
    measurements : int
        M; 0 for a network that sees pictures only.
    repeats : int
        How often the channels are repeated before the backbones: 3 shows one channel as grey RGB.
    channels : int
        C.
    size : (int, int)
        Height and width of the pictures.

    Attributes
    ----------
    mean, spread : (members * f + m,)
        Of features and measurements in the training part; 0 and 1 where they are taken as they are.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(
        self,
        backbones: Sequence[nn.Module],
        head: Callable[[int], nn.Module],
        *,
        channels: int,
        size: tuple[int, int],
        measurements: int = 0,
        repeats: int = 1,
    ) -> None:
        super().__init__()
        self.repeats = repeats
        self.backbones = nn.ModuleList(backbones)
        with torch.no_grad():
            found = self.backbones[0].eval()(torch.zeros(1, channels * repeats, *size))
        self.features = int(found.shape[1])
        self.heads = nn.ModuleList(head(self.features + measurements) for _ in backbones)
        told = self.features * len(backbones) + measurements
        self.register_buffer("mean", torch.zeros(told))
        self.register_buffer("spread", torch.ones(told))
        self.measurements = measurements

    def embed(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return what the backbones make of pictures ``(n, c, y, x)``: ``(n, members * f)``."""
        if self.repeats > 1:
            pictures = pictures.repeat(1, self.repeats, 1, 1)
        scaled = (pictures - GREY_MEAN) / GREY_SPREAD
        if scaled.device.type == "cpu" or scaled.device.type == "cuda":
            scaled = scaled.contiguous(memory_format=torch.channels_last)
        return torch.cat([backbone(scaled) for backbone in self.backbones], 1)

    def decide(self, embedded: torch.Tensor, measured: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Return the logits ``(n, k)`` of each member from what `embed` returned."""
        embedded = self._standard(embedded.float(), slice(None, embedded.shape[1]))
        parts = torch.split(embedded, self.features, 1)
        if self.measurements:
            if measured is None:
                raise ValueError("this network is told measurements beside the pictures")
            told = self._standard(measured.float(), slice(embedded.shape[1], None))
            if self.training:
                told = told + NOISE_OF_MEASURED * torch.randn_like(told)
            parts = tuple(torch.cat([part, told], 1) for part in parts)
        return [head(part) for head, part in zip(self.heads, parts, strict=True)]

    def _standard(self, values: torch.Tensor, columns: slice) -> torch.Tensor:
        return (values - self.mean[columns]) / self.spread[columns]

    def forward(
        self, pictures: torch.Tensor, measured: torch.Tensor | None = None, views: int = 1
    ) -> torch.Tensor:
        """Return logits ``(n, k)``, the mean of all members and of so many views of each cell."""
        seen = [self.decide(self.embed(view), measured) for view in views_of(pictures, views)]
        return torch.stack([logits for members in seen for logits in members]).mean(0)


def views_of(pictures: torch.Tensor, views: int) -> list[torch.Tensor]:
    """Return pictures ``(n, c, y, x)`` mirrored along either side and both; with 8 views also turned.

    Pictures that are not square have four views, as they do not fit the network when turned.
    """
    found = [pictures]
    if views >= 4:
        found += [pictures.flip(2), pictures.flip(3), pictures.flip(2, 3)]
    if views >= 8 and pictures.shape[2] == pictures.shape[3]:
        found += [view.transpose(2, 3) for view in found]
    return found
