"""CHASE_DB1 retinal vessels: train on children 01-08, Dice against the first observer on 09-10.

``f1`` is Dice over all pixels of the four images together, ``dice`` the mean over the images.
All settings of `napari-cellseg train` are flags here too; without `--preset` it is our own for such images,
from scratch and for at most ten minutes.
"""

from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter
from real_data import DATA, Task, chosen, run

from napari_cellseg.settings import TrainSettings

CHASE = Task(
    name="chasedb1",
    folder="chasedb1",
    train_images=("Image_0[1-8]?.jpg",),
    train_masks=("Image_0[1-8]?_1stHO.png",),
    test_images="Image_[01][90]?.jpg",
    test_masks="Image_[01][90]?_1stHO.png",
    class_name="vessel",
    split="train children 01-08, test 09-10, first observer",
    limit=0.78,
)
PRESET = "vessels"


def chasedb1(
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
    run(CHASE, chosen(settings, PRESET), views=views, work=work, data=data)


if __name__ == "__main__":
    cyclopts.run(chasedb1)
