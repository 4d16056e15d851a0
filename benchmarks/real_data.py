"""What the benchmarks on real images share: train from files, segment, score, one JSON line.

Everything goes through the command line's own functions.
"""

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_cellseg.cli import evaluate, segment, train
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.settings import SegmentSettings, TrainSettings

DATA = Path(os.environ.get("NAPARI_CELLSEG_DATA") or Path(__file__).parents[2] / "shared" / "data")

MINUTES = 9.4
"""Of ten; the rest is for reading, segmenting and scoring."""
HELD_OUT = 0.07
"""Share of the training images that chooses the best epoch."""


@dataclass(frozen=True)
class Task:
    """Globs below the data folder, what is trained on what, and how well others do."""

    name: str
    folder: str
    train_images: tuple[str, ...]
    train_masks: tuple[str, ...]
    test_images: str
    test_masks: str
    class_name: str
    split: str
    limit: float


def chosen(settings: TrainSettings, preset: str) -> TrainSettings:
    """Return what was given on top of its preset; without one ours, and within ten minutes."""
    given = settings.model_dump(include=settings.model_fields_set)
    if "preset" not in given:
        given = {"preset": preset, "minutes": MINUTES, "validation": HELD_OUT} | given
    return settings_from(given["preset"], given)


def run(
    task: Task, settings: TrainSettings, *, views: int = 1, work: Path | None = None, data: Path = DATA
) -> None:
    """Train, segment what was held out in so many views, score it and print the JSON line."""
    with tempfile.TemporaryDirectory() as temporary:
        work = work or Path(temporary)
        folder = data / task.folder
        model, out = work / f"{task.name}.safetensors", work / task.name
        times: dict[str, float] = {}
        with redirect_stdout(sys.stderr):
            with _timed(times, "train_seconds"):
                train.train(
                    model,
                    images=[str(folder / pattern) for pattern in task.train_images],
                    masks=[str(folder / pattern) for pattern in task.train_masks],
                    polarity="bright",
                    classes=task.class_name,
                    settings=settings,
                )
            with _timed(times, "segment_seconds"):
                images = [str(folder / task.test_images)]
                how = SegmentSettings.checked({"device": settings.device, "views": views})
                segment.segment(model, images, out=out, settings=how)
            evaluate.evaluate(
                str(out / "*_labels.tif"),
                str(folder / task.test_masks),
                out=work / f"{task.name}.json",
                polarity="bright",
                classes=task.class_name,
            )
        scores = json.loads((work / f"{task.name}.json").read_text())
    print(json.dumps(_line(task, settings, scores, times) | {"views": views}))


def _line(
    task: Task, settings: TrainSettings, scores: dict[str, Any], times: dict[str, float]
) -> dict[str, Any]:
    each = [image["classes"][task.class_name]["f1"] for image in scores["images"]]
    return {
        "benchmark": task.name,
        "f1": round(scores["pooled"]["classes"][task.class_name]["f1"], 4),
        "dice": round(sum(each) / len(each), 4),
        "dice_each": [round(value, 4) for value in each],
        "at_least": task.limit,
        "seconds": round(sum(times.values()), 1),
        **{name: round(value, 1) for name, value in times.items()},
        "split": task.split,
        "processor_seconds": round(time.process_time(), 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "settings": settings.model_dump(exclude_defaults=True),
    }


@contextmanager
def _timed(times: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start
