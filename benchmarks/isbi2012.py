"""ISBI 2012 membranes: train on slices 00-23, F1 of the cell interior on slices 24-29.

All settings of `napari-cellseg train` are flags here too; without `--preset` it is our own for such images,
from scratch and for at most ten minutes.
"""

from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter
from real_data import DATA, Task, chosen, run

from napari_cellseg.settings import TrainSettings

ISBI = Task(
    name="isbi2012",
    folder="isbi2012-em",
    train_images=("train/image/[01]?.png", "train/image/2[0-3].png"),
    train_masks=("train/label/[01]?.png", "train/label/2[0-3].png"),
    test_images="train/image/2[4-9].png",
    test_masks="train/label/2[4-9].png",
    class_name="interior",
    split="train slices 00-23, test 24-29",
    limit=0.952,
)
PRESET = "membrane"


def isbi2012(
    *,
    work: Path | None = None,
    data: Path = DATA,
    views: Literal[1, 4, 8] = 1,
    settings: Annotated[TrainSettings, Parameter(name="*")] = TrainSettings(),  # noqa: B008
) -> None:
    """Train, segment, score.

    Parameters
    ----------
    work
        Keep model, run and results in this folder.
    data
        Folder of the real images.
    views
        Mirrored and turned views of each image whose mean counts.
    settings
        What is given wins over the preset.
    """
    run(ISBI, chosen(settings, PRESET), views=views, work=work, data=data)


if __name__ == "__main__":
    cyclopts.run(isbi2012)
