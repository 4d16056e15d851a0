"""Random changes to pictures of cells, on the device the network is on.

All random numbers come from one CPU generator, so a run is the same on every device.
Notation: N cells, C channels; intensities lie about 0 to 1.
"""

import math

import torch
from torch.nn.functional import affine_grid, grid_sample

from napari_cellseg.settings import ClassifierSettings


def augment_cells(
    pictures: torch.Tensor, generator: torch.Generator, *, settings: ClassifierSettings
) -> torch.Tensor:
    """Return pictures after mirroring, a turn, scale, shear, shift, contrast, brightness and noise.

    Parameters
    ----------
    pictures : (n, c, y, x) float32
        What a turn brings in from outside continues the border.
    generator : torch.Generator
        On the CPU; where it stands decides everything.
    settings : ClassifierSettings
        How far each change goes; 0 switches it off.
    """
    if settings.flips or settings.rotation_degrees or settings.scale or settings.shift:
        pictures = _moved(pictures, generator, settings)
    if settings.intensity:
        gain = 1 + settings.intensity * _between(pictures, generator)
        pictures = (pictures - 0.5) * gain + 0.5 + 0.5 * settings.intensity * _between(pictures, generator)
    if settings.noise:
        strength = settings.noise * torch.rand((len(pictures), 1, 1, 1), generator=generator)
        noise = strength * torch.randn(pictures.shape, generator=generator)
        pictures = pictures + noise.to(pictures.device)
    return pictures


def _between(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return one number in [-1, 1] for each channel of each cell."""
    shape = (*pictures.shape[:2], 1, 1)
    return (2 * torch.rand(shape, generator=generator) - 1).to(pictures.device)


def _moved(pictures: torch.Tensor, generator: torch.Generator, settings: ClassifierSettings) -> torch.Tensor:
    chance = 2 * torch.rand((6, len(pictures)), generator=generator) - 1
    angle = chance[0] * math.radians(settings.rotation_degrees)
    zoom = 1 + chance[1] * settings.scale
    mirror = 1 - 2 * (chance[2] > 0).float() if settings.flips else torch.ones(len(pictures))
    shear = torch.tan(chance[3] * math.radians(settings.shear_degrees))
    across, down = 2 * settings.shift * chance[4:]  # the picture is 2 wide
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    height, width = pictures.shape[2:]
    aspect = height / width  # the grid is a square, the pixels are not
    matrices = torch.stack(
        [
            torch.stack([mirror * cos, (shear * cos - sin) * aspect * mirror, across], 1),
            torch.stack([sin / aspect, shear * sin + cos, down], 1),
        ],
        1,
    )
    grid = affine_grid(matrices, list(pictures.shape), align_corners=False).to(pictures.device)
    return grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
