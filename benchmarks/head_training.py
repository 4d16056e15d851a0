"""Seconds to train a head on cells that were embedded before, the writing of the model included.

    python benchmarks/head_training.py [--cells 2500] [--presets cells-fast phyto-resnet50-I]

An export of simulated cells is embedded once by a first training; a second one, of another seed, finds
everything in the cache. `head` is from the first step to the written model, `whole` also the reading of
all files, what is measured on the cells, and the building of the network.
"""

import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cyclopts

from napari_cellseg.images.simulate.ideas_export import IdeasExportSettings, simulate_ideas_export
from napari_cellseg.nets.classifier_presets import classifier_settings
from napari_cellseg.settings import ClassifierSettings
from napari_cellseg.train.classify import train_classifier
from napari_cellseg.train.crop_run import CropData, prepare_crop_run
from napari_cellseg.train.records import Finished, Started

LIMIT_SECONDS = 5.0


def head_training(
    *, cells: int = 2500, presets: Sequence[str] = ("cells-fast", "phyto-resnet50-I"), repeats: int = 3
) -> None:
    """Embed, then train again on what is kept.

    Parameters
    ----------
    cells
        How many.
    presets
        Frozen networks.
    repeats
        The median of so many trainings.
    """
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "cells"
        simulate_ideas_export(export, settings=IdeasExportSettings(cells=cells), seed=1)
        line = {"benchmark": "head_training", "cells": cells, "at_most": LIMIT_SECONDS}
        for preset in presets:
            line[preset] = again(Path(folder), preset, repeats)
        line["machine"] = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
        print(json.dumps(line))


def again(folder: Path, preset: str, repeats: int) -> dict[str, float]:
    """Return the median seconds of trainings after a first one that filled the cache."""
    settings = classifier_settings(preset, {"pretrained": False, "baseline": False})
    train_seconds(folder, settings, f"{preset}-first")
    taken = []
    for number in range(repeats):
        other = settings.model_copy(update={"seed": number + 1})
        taken.append(train_seconds(folder, other, f"{preset}-{number}"))
    taken.sort(key=lambda one: one["head_seconds"])
    return taken[len(taken) // 2]


def train_seconds(folder: Path, settings: ClassifierSettings, name: str) -> dict[str, float]:
    """Train; return seconds by the clock and of the processor."""
    data = CropData(str(folder / "cells"), embeddings=str(folder / "embeddings"))
    run = prepare_crop_run(folder / name, data, settings)
    whole = began = time.perf_counter()
    used = time.process_time()
    for record in train_classifier(run):
        if isinstance(record, Started):
            began, used = time.perf_counter(), time.process_time()
        elif isinstance(record, Finished):
            ended = time.perf_counter()
    return {
        "head_seconds": round(ended - began, 2),
        "head_processor_seconds": round(time.process_time() - used, 2),
        "whole_seconds": round(ended - whole, 2),
    }


if __name__ == "__main__":
    cyclopts.run(head_training)
