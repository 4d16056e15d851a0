"""CHASE_DB1 retinal vessels: train on children 01-08, Dice against the first observer on 09-10.

``f1`` is Dice over all pixels of the four images together, ``dice`` the mean over the images.
All settings of `napari-cellseg train` are flags here too.
"""

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from real_data import DATA, Task, run

from napari_cellseg.nets.presets import settings_from
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
GIVEN = {
    "pretrained": False,
    "depth": 4,
    "width": 8,
    "batch": 4,
    "steps": 80,
    "epochs": 40,
    "minutes": 9.4,
    "validation": 0.07,
}


def chasedb1(
    *,
    work: Path | None = None,
    data: Path = DATA,
    settings: Annotated[TrainSettings, Parameter(name="*")] = TrainSettings(),  # noqa: B008
) -> None:
    """Train, segment, score.

    Parameters
    ----------
    work
        Keep model, run and results in this folder.
    data
        Folder of the real images.
    """
    given = GIVEN | settings.model_dump(include=settings.model_fields_set)
    run(CHASE, settings_from(settings.preset, given), work=work, data=data)


if __name__ == "__main__":
    cyclopts.run(chasedb1)
