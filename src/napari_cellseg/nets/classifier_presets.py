"""Named sets of settings for classifiers: `CLASSIFIER_PRESETS`."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.presets import PRESETS, Preset
from napari_cellseg.settings import ClassifierSettings

THESIS = "Gebze Technical University thesis on phytoplankton in imaging flow cytometry, 2023"

PUBLISHED_HEADS = ("I", "II", "III", "IV")
PUBLISHED_AS: dict[str, Any] = {
    "frozen": True,
    "pretrained": True,
    "rgb": True,
    "height_px": 64,
    "width_px": 32,
    "epochs": 10,
    "batch": 32,
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "weight_decay": 0.0,
    "balance": 0.0,
    "patience": 3,
    "best_by": "loss",
    "validation": 0.3,
    "calibration": 0.0,
    "test": 0.0,
    "by_sample": False,
}


def _published(backbone: str, name: str, head: str) -> Preset:
    return Preset(
        f"classifier: frozen {name} at 64 x 32 with head {head}, one channel or three as RGB",
        PUBLISHED_AS | {"architecture": backbone, "head": head},
        THESIS,
    )


CLASSIFIER_PRESETS: dict[str, Preset] = {
    "cells-best": Preset(
        "classifier: small networks trained through on turned and mirrored cells, confidences calibrated",
        {"measured": "size", "members": 3, "views": 8, "epochs": 24},
    ),
    "cells-fast": Preset(
        "classifier: every cell goes through a network once, then a linear head trains in seconds",
        {
            "architecture": "resnet18",
            "frozen": True,
            "pretrained": True,
            "measured": "all",
            "height_px": 64,
            "width_px": 64,
            "epochs": 40,
            "batch": 64,
            "learning_rate": 2e-2,
            "weight_decay": 1e-1,
            "balance": 0.5,
            "baseline": False,
        },
    ),
    **{
        f"phyto-resnet50-{head}": _published("resnet50", "ResNet50", head)
        for head in ("I", "II", "III", "IV")
    },
    **{f"phyto-vgg16-{head}": _published("vgg16", "VGG16", head) for head in ("I", "II", "III")},
}

EVERY_PRESET: dict[str, Preset] = PRESETS | CLASSIFIER_PRESETS
"""Those of segmenters and of classifiers, for lists."""


def classifier_settings(preset: str, given: dict[str, Any] | None = None) -> ClassifierSettings:
    """Return the settings of a preset with those that were given on top.

    Parameters
    ----------
    preset : str
        Key of `CLASSIFIER_PRESETS`.
    given : dict, optional
        Settings the user stated; they win over the preset's, which win over the defaults.

    Raises
    ------
    CellsegError
        If the preset is unknown (near names, or all, are listed) or a value is out of bounds.

    Examples
    --------
    >>> settings = classifier_settings("phyto-vgg16-II", {"epochs": 5})
    >>> settings.architecture, settings.head, settings.epochs
    ('vgg16', 'II', 5)
    """
    if preset not in CLASSIFIER_PRESETS:
        near = get_close_matches(preset, CLASSIFIER_PRESETS, 4, 0.5) or list(CLASSIFIER_PRESETS)
        what = "a preset that segments" if preset in PRESETS else "unknown preset"
        raise CellsegError(f"{what}: {preset!r}", f"a classifier's, one of {', '.join(near)}")
    return ClassifierSettings.checked(CLASSIFIER_PRESETS[preset].values | (given or {}) | {"preset": preset})
