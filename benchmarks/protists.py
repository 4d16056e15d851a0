"""FlowCam protists: learn on one sample, name the cells of the other, both ways.

    python benchmarks/protists.py [--preset cells-best] [settings of a classifier]

Seconds are those of the processor (all cores of this process), so that they hold on a busy machine too.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import cyclopts
import numpy as np
from cyclopts import Parameter
from real_data import DATA

from napari_cellseg.cli.train import CELL_DEFAULTS, DEFAULTS, cell_settings_given
from napari_cellseg.images.crops import Crops, measure_crops, read_crops
from napari_cellseg.nets.model import load_model
from napari_cellseg.predict.classify import classify
from napari_cellseg.report.metrics.classes import class_scores
from napari_cellseg.settings import CellSettings, ClassifierSettings, TrainSettings
from napari_cellseg.train.boosted import boosted_probabilities
from napari_cellseg.train.classify import train_classifier
from napari_cellseg.train.crop_run import CropData, prepare_crop_run
from napari_cellseg.train.records import Epoch

LIMITS = {"accuracy": 0.91, "macro_f1": 0.83, "calibration_error": 0.04, "seconds": 300}
GROUP = "^(.*)_"
FIGURES = ("accuracy", "macro_f1", "balanced_accuracy", "calibration_error")


def protists(
    *,
    data: Path = DATA,
    work: Path | None = None,
    trees: bool = True,
    settings: Annotated[TrainSettings, Parameter(name="*")] = DEFAULTS,
    cells: Annotated[CellSettings, Parameter(name="*", group="Classifier")] = CELL_DEFAULTS,
) -> None:
    """Train, classify, score.

    Parameters
    ----------
    data
        Folder of the real images.
    work
        Keep the runs in this folder.
    trees
        Also grow boosted trees on measured features of the same cells.
    settings
        What is given wins over the preset.
    cells
        The same.
    """
    chosen = cell_settings_given(settings, cells).model_copy(update={"test": 0.0, "baseline": False})
    crops = read_crops(data / "flowcam-protists", group=GROUP)
    with tempfile.TemporaryDirectory() as temporary:
        ways = [
            way(crops, sample, other, chosen, Path(work or temporary) / f"from-{number}")
            for number, (sample, other) in enumerate(permuted(crops), start=1)
        ]
    line: dict[str, Any] = {"benchmark": "protists", "preset": chosen.preset}
    line |= {key: round(fmean(one[key] for one in ways), 4) for key in FIGURES}
    line |= {"seconds": round(max(one["seconds"] for one in ways), 1), "ways": ways, "limits": LIMITS}
    if trees:
        line["boosted_trees"] = boosted(crops)
    print(json.dumps(line))


def permuted(crops: Crops) -> list[tuple[str, str]]:
    """Return the samples, either one first."""
    first, second = np.unique(crops.samples).tolist()
    return [(first, second), (second, first)]


def way(crops: Crops, sample: str, other: str, settings: ClassifierSettings, run: Path) -> dict[str, float]:
    """Train on the cells of one sample and score those of the other."""
    ids = tuple(crops.ids[crops.samples == sample].tolist())
    prepare_crop_run(run, CropData(str(Path(crops.paths[0]).parents[1]), group=GROUP, only=ids), settings)
    began = time.process_time()
    for record in train_classifier(run):
        if isinstance(record, Epoch):
            print(f"epoch {record.epoch}: {record.train_loss:.3f} {record.score:.3f}", flush=True)
    seconds = time.process_time() - began
    unseen = crops.take(crops.samples == other)
    model = load_model(run / "best.safetensors", task="classify")
    probabilities = np.concatenate([batch.probabilities for batch in classify(unseen, model)])
    scores = score(unseen, probabilities)
    print(run.name, scores, f"{seconds:.0f} s", flush=True)
    return scores | {"seconds": round(seconds, 1), "temperature": round(model.spec.temperature, 3)}


def score(crops: Crops, probabilities: np.ndarray) -> dict[str, float]:
    """Return the figures of predictions."""
    names = list(crops.class_names)
    truth = np.array([names.index(label) for label in crops.labels])
    found = class_scores(truth, probabilities, names, draws=0)
    return {key: round(found[key], 4) for key in FIGURES}


def boosted(crops: Crops) -> dict[str, float]:
    """Return the mean figures of boosted trees on the same splits."""
    names = list(crops.class_names)
    classes = np.array([names.index(label) for label in crops.labels])
    measured = measure_crops(crops).values
    found = []
    for sample, other in permuted(crops):
        train, test = (np.flatnonzero(crops.samples == name) for name in (sample, other))
        trees = boosted_probabilities(measured, classes, train, seed=42)
        found.append(score(crops.take(test), trees[test]))
    return {key: round(fmean(one[key] for one in found), 4) for key in FIGURES}


if __name__ == "__main__":
    cyclopts.run(protists)
