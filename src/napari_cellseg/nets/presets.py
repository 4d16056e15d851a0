"""Named sets of training settings: `PRESETS`."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """

    description: str
    values: dict[str, Any] = field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    "default": Preset("U-Net with ResNet18 at the image's own pixel size"),
    "filament": Preset(
        "thin filaments in cryo-EM: works at 0.6 nm a pixel, where a filament is a dozen pixels wide",
        {"pixel_nm": 0.6, "rotation_degrees": 180.0, "noise": 0.3},
    ),
    "membrane": Preset("membranes in electron microscopy at 4 to 8 nm a pixel", {"rotation_degrees": 30.0}),
}


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
        If the preset is unknown or a value is out of bounds.

    Examples
    --------
    >>> settings_from("filament", {"noise": 0.0}).pixel_nm
    0.6
    """
    if preset not in PRESETS:
        raise CellsegError(f"unknown preset {preset!r}", f"one of {', '.join(PRESETS)}")
    return TrainSettings.checked(PRESETS[preset].values | (given or {}) | {"preset": preset})
