"""Nuclei of the 2018 Data Science Bowl: train on 32 fields, average precision of single cells on 8 others.

All settings of `napari-cellseg train` and those of single cells are flags here too; without `--preset` it
is `cells`. What counts is the processor's time (all cores of this process), so that it holds on a busy
machine too.
"""

import json
import os
import platform
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter
from real_data import DATA, HELD_OUT

from napari_cellseg.cli import evaluate, segment, train
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.settings import InstanceSettings, SegmentSettings, TrainSettings

FOLDER, TRAINED = "dsb2018-nuclei", 32
LIMITS = {"ap50": 0.75, "ap75": 0.45, "processor_seconds": 900}


def dsb2018(
    *,
    work: Path | None = None,
    data: Path = DATA,
    views: Literal[1, 4, 8] = 8,
    settings: Annotated[TrainSettings, Parameter(name="*")] = TrainSettings(),  # noqa: B008
    cells: Annotated[InstanceSettings, Parameter(name="*")] = InstanceSettings(),  # noqa: B008
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
    cells
        How single cells are made of what the network says.
    """
    given = settings.model_dump(include=settings.model_fields_set)
    chosen = settings_from(given.get("preset", "cells"), {"validation": HELD_OUT} | given)
    images, masks = (sorted((data / FOLDER / name).iterdir()) for name in ("images", "labels"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        model, out, scores = folder / "cells.safetensors", folder / "dsb2018", folder / "dsb2018.json"
        with redirect_stdout(sys.stderr):
            train.train(
                model,
                images=[str(path) for path in images[:TRAINED]],
                masks=[str(path) for path in masks[:TRAINED]],
                polarity="instances",
                settings=chosen,
            )
            trained = time.process_time()
            how = SegmentSettings.checked({"device": chosen.device, "views": views})
            segment.segment(
                model, [str(path) for path in images[TRAINED:]], out=out, settings=how, cells=cells
            )
            _score(out, masks[TRAINED:], folder, scores)
        found = json.loads(scores.read_text())
    print(json.dumps(_line(found, chosen, trained) | {"views": views}))


def _score(out: Path, masks: list[Path], folder: Path, scores: Path) -> None:
    truth = folder / "truth"
    truth.mkdir()
    for path in masks:
        (truth / path.name).symlink_to(path.resolve())
    evaluate.evaluate(str(out / "*_instances.tif"), str(truth), out=scores, kind="instances")


def _line(scores: dict[str, Any], settings: TrainSettings, trained: float) -> dict[str, Any]:
    pooled, keys = scores["pooled"], ("ap50", "ap75", "ap", "image_ap50", "image_ap75", "panoptic_quality")
    return {
        "benchmark": "dsb2018",
        **{key: round(pooled[key], 4) for key in keys},
        "count_error": round(pooled["count_error"], 4),
        "intervals": {key: pooled["intervals"][key] for key in ("ap50", "ap75")},
        "each": [[round(image["ap50"], 3), round(image["ap75"], 3)] for image in scores["images"]],
        "limits": LIMITS,
        "split": f"sorted by name: train on {TRAINED}, test on the rest",
        "train_processor_seconds": round(trained, 1),
        "processor_seconds": round(time.process_time(), 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "settings": settings.model_dump(exclude_defaults=True),
    }


if __name__ == "__main__":
    cyclopts.run(dsb2018)
