"""Random changes to training windows, on the device the network is on.

All random numbers come from one CPU generator, so a run is the same on every device.
Notation: N windows, C channels; targets hold output indices or `IGNORED`.
"""

import math

import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate

from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.settings import TrainSettings

KNOT_PX = 32
"""A warp is drawn anew at places this far apart and smooth in between."""


MOVES = ("rotation_degrees", "scale", "shear_degrees", "shift", "elastic_px")


def margin_px(settings: TrainSettings) -> int:
    """Return the pixels around a window that a turn, scale, shear, shift or warp may bring into it.

    Examples
    --------
    >>> margin_px(TrainSettings(window_px=100, rotation_degrees=180, scale=0)), margin_px(
    ...     TrainSettings(rotation_degrees=0, scale=0)
    ... )
    (21, 0)
    """
    angle = math.radians(min(settings.rotation_degrees, 45.0))
    reach = (math.cos(angle) + math.sin(angle)) * (1 + math.tan(math.radians(settings.shear_degrees)))
    reach = reach / (1 - settings.scale) + 2 * settings.shift
    return min(settings.window_px, math.ceil(settings.window_px / 2 * (reach - 1) + settings.elastic_px))


def augment(
    images: torch.Tensor,
    targets: torch.Tensor,
    generator: torch.Generator,
    *,
    settings: TrainSettings,
    window_px: int | None = None,
    moved: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return windows and targets after all changes that the settings ask for.

    Parameters
    ----------
    images : (n, c, y, x) float32
        Square windows.
    targets : (n, y, x) int64
    generator : torch.Generator
        On the CPU; where it stands decides everything.
    settings : TrainSettings
        How far each change goes; 0 switches it off.
    window_px : int, optional
        Side of what comes out, the middle of what came in; by default all of it.
    moved : bool
        False: pixels stay in their places, only contrast and noise change.

    Returns
    -------
    (n, c, w, w) float32, (n, w, w) int64
        What a turn brings in from outside the window mirrors the image and is `IGNORED`
        in the targets.
    """
    side = window_px or images.shape[-1]
    if moved and settings.flips:
        images, targets = _flip(images, targets, generator)
    if moved and any(getattr(settings, name) for name in MOVES):
        images, targets = _turn(images, targets, generator, settings, side)
    elif side < images.shape[-1]:
        middle = slice((images.shape[-1] - side) // 2, (images.shape[-1] + side) // 2)
        images, targets = images[..., middle, middle], targets[..., middle, middle]
    if settings.intensity:
        gain = 1 + settings.intensity * _between(images, generator)
        images = images * gain + settings.intensity * _between(images, generator)
    if settings.noise:
        strength = settings.noise * torch.rand((len(images), 1, 1, 1), generator=generator)
        noise = strength * torch.randn(images.shape, generator=generator)
        images = images + noise.to(images.device)
    return images, targets


def _between(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return one number in [-1, 1] for each channel of each window."""
    shape = (*images.shape[:2], 1, 1)
    return (2 * torch.rand(shape, generator=generator) - 1).to(images.device)


def _flip(
    images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    ways = torch.randint(8, (len(images),), generator=generator).tolist()
    turned = []
    for plane, way in zip(torch.cat([images, targets[:, None].to(images.dtype)], 1), ways, strict=True):
        plane = torch.rot90(plane, way % 4, (1, 2))
        turned.append(plane.flip(2) if way >= 4 else plane)
    both = torch.stack(turned)
    return both[:, :-1], both[:, -1].long()


def _turn(
    images: torch.Tensor,
    targets: torch.Tensor,
    generator: torch.Generator,
    settings: TrainSettings,
    side: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    chance = 2 * torch.rand((5, len(images)), generator=generator) - 1
    angle = chance[0] * math.radians(settings.rotation_degrees)
    zoom = 1 + chance[1] * settings.scale
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    shear = torch.tan(chance[2] * math.radians(settings.shear_degrees))
    across, down = 2 * settings.shift * chance[3:]  # the window is 2 wide
    matrices = torch.stack(
        [
            torch.stack([cos, shear * cos - sin, across], 1),
            torch.stack([sin, shear * sin + cos, down], 1),
        ],
        1,
    )
    part = side / images.shape[-1]
    size = [*images.shape[:2], side, side]
    grid = affine_grid(part * matrices, size, align_corners=False)
    if settings.elastic_px:
        grid = grid + 2 * settings.elastic_px / images.shape[-1] * _warp(len(images), side, generator)
    grid = grid.to(images.device)
    images = grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    # Shifted by one, the zeros from outside the window mean "not annotated".
    shifted = (targets - IGNORED)[:, None].to(images.dtype)
    shifted = grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return images, shifted[:, 0].round().long() + IGNORED


def _warp(count: int, side: int, generator: torch.Generator) -> torch.Tensor:
    """Return a smooth random field (n, y, x, 2) of about -1 to 1 (Simard et al. 2003, as U-Net uses it)."""
    knots = max(2, side // KNOT_PX) + 1
    field = 2 * torch.rand((count, 2, knots, knots), generator=generator) - 1
    field = interpolate(field, (side, side), mode="bicubic", align_corners=True)
    return field.clamp(-1, 1).movedim(1, -1)
