"""Cells a second: from files through ResNet50 to a table, beside the network alone on arrays.

    python benchmarks/classify_speed.py [--cells 10000]

Writes an export of simulated cells (one TIFF a cell and channel), classifies it, and runs the same network on
arrays that are already in memory, in the same number format and batches. Processor seconds hold on a
busy machine too.
"""

import json
import os
import platform
import tempfile
import time
from pathlib import Path

import cyclopts
import numpy as np
import tifffile

from napari_cellseg.images.crops import read_crops
from napari_cellseg.nets.backends import pick_precision
from napari_cellseg.nets.classifier_spec import Classifier, ClassifierSpec
from napari_cellseg.nets.model import load_model, new_model, save_model
from napari_cellseg.predict.classify import TableDone, classify_to_table, prepare_classifier
from napari_cellseg.settings import ClassifySettings

SIZE, CHANNELS = (64, 32), ("Ch4", "Ch5", "Ch6")
LIMITS = {"cells_per_second": 600, "over_raw": 1.2}
CLASSES = ("a", "b", "c", "d", "e", "f")


def classify_speed(
    *, cells: int = 10_000, backbone: str = "resnet50", head: str = "I", repeats: int = 3, batch: int = 256
) -> None:
    """Time both.

    Parameters
    ----------
    cells
        How many.
    backbone, head
        The network.
    repeats
        The median of so many runs of either counts.
    batch
        Cells that go through the network together.
    """
    spec = ClassifierSpec(backbone, head, CLASSES, CHANNELS, SIZE, ((0.0, 4095.0),) * 3)
    settings = ClassifySettings(batch=batch)
    with tempfile.TemporaryDirectory() as folder:
        path = save_model(Path(folder) / "model.safetensors", spec, new_model(spec).net)
        write_cells(Path(folder) / "cells", cells)
        began = time.perf_counter()
        model = load_model(path, task="classify")
        forward = prepare_classifier(model)
        one = np.zeros((1, 3, *SIZE), np.float32)
        forward(one, np.zeros((1, 0), np.float32))
        load_s = time.perf_counter() - began
        began = time.perf_counter()
        forward(one, np.zeros((1, 0), np.float32))
        one_s = time.perf_counter() - began
        whole, raw, whole_cpu, raw_cpu = [], [], [], []
        for number in range(repeats):
            began_cpu = time.process_time()
            raw.append(raw_seconds(model, cells, batch))
            raw_cpu.append(time.process_time() - began_cpu)
            began, began_cpu = time.perf_counter(), time.process_time()
            crops = read_crops(Path(folder) / "cells", channels=CHANNELS)
            *_, done = classify_to_table(crops, model, Path(folder) / f"{number}.csv", settings=settings)
            whole.append(time.perf_counter() - began)
            whole_cpu.append(time.process_time() - began_cpu)
            assert isinstance(done, TableDone)
            assert sum(done.counts.values()) == cells
    took, alone = float(np.median(whole)), float(np.median(raw))
    line = {
        "benchmark": "classify_speed",
        "cells": cells,
        "backbone": backbone,
        "cells_per_second": round(cells / took, 1),
        "raw_cells_per_second": round(cells / alone, 1),
        "over_raw": round(took / alone, 3),
        "over_raw_processor": round(float(np.median(whole_cpu) / np.median(raw_cpu)), 3),
        "raw_processor_ms_per_cell": round(1000 * float(np.median(raw_cpu)) / cells, 3),
        "load_seconds": round(load_s, 2),
        "one_cell_ms": round(1000 * one_s, 1),
        "precision": pick_precision("auto", "cpu"),
        "limits": LIMITS,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
    }
    print(json.dumps(line))


def write_cells(folder: Path, cells: int) -> None:
    """Write cells as an imaging flow cytometer's export has them: a TIFF a cell and channel."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    known = rng.integers(0, 4096, (64, 3, *SIZE), dtype=np.uint16)
    for number in range(cells):
        for channel, plane in zip(CHANNELS, known[number % 64], strict=True):
            tifffile.imwrite(folder / f"run_{number}_{channel}.ome.tif", plane, photometric="minisblack")


def raw_seconds(model: Classifier, cells: int, batch: int) -> float:
    """Return the seconds that the network alone takes for so many cells in memory."""
    forward = prepare_classifier(model)
    pictures = np.random.default_rng(1).random((batch, 3, *SIZE), np.float32)
    told = np.zeros((batch, 0), np.float32)
    forward(pictures, told)
    began = time.perf_counter()
    for first in range(0, cells, batch):
        many = min(batch, cells - first)
        forward(pictures[:many], told[:many])
    return time.perf_counter() - began


if __name__ == "__main__":
    cyclopts.run(classify_speed)
