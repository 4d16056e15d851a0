"""Named sets of training settings: `PRESETS`."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import TrainSettings


@dataclass(frozen=True)
class Preset:
    """Values that take the place of the defaults of `TrainSettings`.

    Attributes
    ----------
    description : str
        What it is for, in one line.
    values : dict
        Settings by name.
    published : str
        Where the system was published as it stands here; empty for our own.
    """

    description: str
    values: dict[str, Any] = field(default_factory=dict)
    published: str = ""


REPORT = "Turing/Bristol Data Study Group report on actin in cryo-EM, 2019"

NO_AUGMENTATION: dict[str, Any] = {
    "flips": False,
    "rotation_degrees": 0.0,
    "scale": 0.0,
    "intensity": 0.0,
    "noise": 0.0,
}
WHOLE: dict[str, Any] = {"prepare": "resize", "steps": None, "split": "image"}
PLAIN: dict[str, Any] = NO_AUGMENTATION | {
    "loss": "ce",
    "schedule": "constant",
    "optimiser": "adam",
    "weight_decay": 0.0,
    "learning_rate": 1e-3,
}
LIGHT: dict[str, Any] = {
    "architecture": "unet-light",
    "pretrained": False,
    "window_px": 128,
    "learning_rate": 4e-3,
}
ON_TILES: dict[str, Any] = {"prepare": "tiles", "window_px": 256, "steps": 20, "split": "auto"}

PUBLISHED: dict[str, Preset] = {
    "vgg16-pspnet": Preset(
        "PSPNet over VGG16, whole images shrunk to 960 x 960",
        PLAIN
        | WHOLE
        | {
            "architecture": "pspnet",
            "encoder": "vgg16",
            "window_px": 960,
            "batch": 2,
            "epochs": 5,
            "steps": 512,
        },
        REPORT,
    ),
    "unet-vanilla": Preset(
        "the original U-Net without pretrained encoder, whole images shrunk to 256 x 256",
        PLAIN
        | WHOLE
        | {"architecture": "unet-vanilla", "pretrained": False, "window_px": 256, "batch": 4, "epochs": 15},
        REPORT,
    ),
    "unet-nested": Preset(
        "U-Net++ without pretrained encoder, whole images shrunk to 256 x 256",
        PLAIN
        | WHOLE
        | {"architecture": "unet-nested", "pretrained": False, "window_px": 256, "batch": 4, "epochs": 15},
        REPORT,
    ),
    "unet-augmented": Preset(
        "the original U-Net with rotation, shear, zoom and shift, whole images shrunk to 256 x 256",
        PLAIN
        | WHOLE
        | {
            "architecture": "unet-vanilla",
            "pretrained": False,
            "window_px": 256,
            "batch": 2,
            "epochs": 15,
            "steps": 200,
            "learning_rate": 1e-4,
            "flips": True,
            "rotation_degrees": 10.0,
            "shear_degrees": 3.0,
            "scale": 0.05,
            "shift": 0.05,
        },
        REPORT,
    ),
    "fastai-unet": Preset(
        "pixel-shuffle U-Net over ResNet34 at a one-cycle rate, whole images shrunk to 480 x 480, "
        "a class named Noise left out (--left-out Noise)",
        PLAIN
        | WHOLE
        | {
            "architecture": "unet-shuffle",
            "encoder": "resnet34",
            "window_px": 480,
            "batch": 1,
            "epochs": 10,
            "optimiser": "adamw",
            "weight_decay": 1e-2,
            "learning_rate": 3e-4,
            "schedule": "one-cycle",
            "flips": True,
            "rotation_degrees": 10.0,
            "scale": 0.1,
            "intensity": 0.2,
        },
        REPORT,
    ),
}

OURS: dict[str, Preset] = {
    "default": Preset("U-Net with ResNet18 at the image's own pixel size"),
    "deeplabv3plus": Preset(
        "DeepLabv3+ over ResNet34 on tiles, large context",
        {"architecture": "deeplabv3plus", "encoder": "resnet34", "batch": 4},
    ),
    "filament-fast": Preset(
        "thin filaments in cryo-EM in minutes on a CPU: a small U-Net at 1 nm a pixel",
        LIGHT | {"pixel_nm": 1.0, "steps": 50, "epochs": 10, "rotation_degrees": 180.0, "noise": 0.3},
    ),
    "filament-best": Preset(
        "thin filaments in cryo-EM, with more time: a deeper small U-Net at 0.8 nm a pixel",
        LIGHT
        | {
            "depth": 5,
            "pixel_nm": 0.8,
            "window_px": 160,
            "steps": 100,
            "epochs": 30,
            "rotation_degrees": 180.0,
            "noise": 0.3,
        },
    ),
    "troponin": Preset(
        "points on thin filaments in cryo-EM, such as troponin (--polarity points): a small U-Net at 0.8 nm",
        LIGHT
        | {
            "pixel_nm": 0.8,
            "point_radius_nm": 3.0,
            "steps": 60,
            "epochs": 8,
            "rotation_degrees": 180.0,
        },
    ),
    "vessels": Preset(
        "thin branching structures in images without a pixel size, at half resolution",
        LIGHT
        | {
            "width": 24,
            "shrink": 2.0,
            "steps": 100,
            "epochs": 40,
            "loss": "ce",
            "rotation_degrees": 180.0,
            "scale": 0.25,
            "intensity": 0.4,
        },
    ),
    "membrane": Preset(
        "membranes in electron microscopy at 4 to 8 nm a pixel",
        LIGHT
        | {
            "width": 24,
            "steps": 50,
            "epochs": 16,
            "rotation_degrees": 180.0,
            "scale": 0.15,
            "settle": 0.4,
        },
    ),
    "cells": Preset(
        "single cells or nuclei of 5 to 60 px in any field, at the image's own pixel size "
        "(with --polarity instances)",
        LIGHT
        | {
            "depth": 5,
            "steps": 40,
            "epochs": 30,
            "loss": "ce",
            "rotation_degrees": 180.0,
            "scale": 0.35,
            "intensity": 0.4,
        },
    ),
}


def _tiled(name: str, preset: Preset) -> Preset:
    first = preset.description.split(", whole images")[0]
    return Preset(f"{first}; as `{name}`, but on tiles at full resolution", preset.values | ON_TILES)


PRESETS: dict[str, Preset] = (
    OURS | PUBLISHED | {f"{name}-tiles": _tiled(name, preset) for name, preset in PUBLISHED.items()}
)


def settings_from(preset: str, given: dict[str, Any] | None = None) -> TrainSettings:
    """Return the settings of a preset with those that were given on top.

    Parameters
    ----------
    preset : str
        Key of `PRESETS`.
    given : dict, optional
        Settings the user stated; they win over the preset's, which win over the defaults.

    Raises
    ------
    CellsegError
        If the preset is unknown (near names, or all, are listed) or a value is out of bounds.

    Examples
    --------
    >>> settings_from("filament-best", {"noise": 0.0}).pixel_nm
    0.8
    """
    if preset not in PRESETS:
        near = get_close_matches(preset, PRESETS, 4, 0.5) or list(PRESETS)
        raise CellsegError(f"unknown preset {preset!r}", f"one of {', '.join(near)}")
    return TrainSettings.checked(PRESETS[preset].values | (given or {}) | {"preset": preset})
