"""Carbon and ice on simulated micrographs: a class that was painted and learned, and the plain detector.

    python benchmarks/contamination.py OUT [--minutes 3]

A network (preset `filament-fast`) learns filaments and contamination from strokes on four micrographs with
carbon and ice. On others, F1 of the pixels of contamination by the network and by `find_contamination`, and
which share of the length of traces off the true filaments is left when either is excluded. Prints one JSON
line last.
"""

import json
import os
import platform
import shutil
import time
from pathlib import Path

import cyclopts
import numpy as np

from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.project import Project
from napari_cellseg.images.simulate import (
    Simulated,
    SimulateSettings,
    simulate_micrograph,
    sparse_annotation,
    write_micrograph,
)
from napari_cellseg.images.simulate.sweeps import sweep_background
from napari_cellseg.nets.model import load_model
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.objects.contamination import find_contamination
from napari_cellseg.objects.filaments import trace
from napari_cellseg.predict.labels import labels_from
from napari_cellseg.predict.segment import segment
from napari_cellseg.train.records import Finished
from napari_cellseg.train.segment import train

SESSION = SimulateSettings(
    shape=(1855, 1919), pixel_nm=0.274, lumps=(6, 12), carbon=1.0, dose=(35.0, 45.0), defocus_um=(1.5, 3.0)
)
CLASSES = Classes.of("filament", "contamination")
FILAMENT, CONTAMINATION = 2, 3


def strokes(simulated: Simulated, seed: int) -> np.ndarray:
    """Return what a person paints: filaments, background, and contamination where the brush was on it."""
    labels = sweep_background(simulated, sparse_annotation(simulated, seed), seed)
    return np.where((labels == 1) & simulated.foreign, np.uint8(CONTAMINATION), labels)


def learn(out: Path, seeds: range, minutes: float) -> Path:
    """Train on simulated micrographs; return the model."""
    project = Project.create(out / "contamination.cellseg", CLASSES)
    for seed in seeds:
        simulated = simulate_micrograph(seed, settings=SESSION)
        entry = project.add_image(write_micrograph(out / f"mic_{seed}.mrc", simulated))
        project.save_labels(entry.name, strokes(simulated, seed))
    run = project.new_run(settings_from("filament-fast", {"minutes": minutes, "epochs": 40}))
    (finished,) = (record for record in train(run) if isinstance(record, Finished))
    return Path(shutil.copy(run / finished.model, out / "model.safetensors"))


def f1(found: np.ndarray, true: np.ndarray) -> float:
    """Return the harmonic mean of precision and recall of pixels."""
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))


def false_length(filaments: list[Filament], simulated: Simulated) -> float:
    """Return the pixels along traces that lie on no true filament."""
    off = 0.0
    for one in filaments:
        rows, cols = np.rint(one.path).astype(int).T
        inside = np.clip(rows, 0, SESSION.shape[0] - 1), np.clip(cols, 0, SESSION.shape[1] - 1)
        off += one.length_px * float((simulated.mask[inside] != FILAMENT).mean())
    return off


def contamination(out: Path, *, minutes: float = 3.0, train_seeds: int = 4, test_seeds: int = 4) -> None:
    """Learn, look for contamination in others, print one JSON line.

    Parameters
    ----------
    out
        Folder to make.
    minutes
        Longest time of the training.
    train_seeds, test_seeds
        How many micrographs.
    """
    out.mkdir(parents=True)
    began = time.process_time()
    model = load_model(learn(out, range(301, 301 + train_seeds), minutes))
    training = time.process_time() - began
    scores: dict[str, list[float]] = {"learned": [], "detector": []}
    off: dict[str, float] = {"nothing": 0.0, "learned": 0.0, "detector": 0.0}
    for seed in range(401, 401 + test_seeds):
        simulated = simulate_micrograph(seed, settings=SESSION)
        image = read_image(write_micrograph(out / f"mic_{seed}.mrc", simulated))
        probabilities = segment(image, model).compute()
        masks = {
            "learned": labels_from(probabilities) == CONTAMINATION,
            "detector": find_contamination(simulated.image, pixel_nm=simulated.pixel_nm),
        }
        for name, excluded in {"nothing": None, **masks}.items():
            found = trace(probabilities[1], pixel_nm=simulated.pixel_nm, excluded=excluded)
            off[name] += false_length(found, simulated)
            if excluded is not None:
                scores[name].append(f1(excluded, simulated.foreign))
        print(f"seed {seed}: " + ", ".join(f"{name} F1 {some[-1]:.3f}" for name, some in scores.items()))
    line = {
        "benchmark": "contamination",
        "f1": {name: round(float(np.mean(some)), 3) for name, some in scores.items()},
        "false_length_px": {name: round(length) for name, length in off.items()},
        "training_cpu_seconds": round(training),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
    }
    print(json.dumps(line))


if __name__ == "__main__":
    cyclopts.run(contamination)
