"""Seconds from a click in the Classify dock to the class of one cell, read from its files.

    xvfb-run -a python benchmarks/one_cell.py [--backbone resnet50]

The dock has its process load torch as soon as it shows cells and a model. `first_seconds`: another model is
chosen and clicked at once, so the model is loaded meanwhile; `at_once_seconds`: the click follows the opening
of the dock, so everything is loaded meanwhile, torch too; `later_ms`: any later click. Beside them what
importing torch and timm takes in a new process.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import cyclopts
import napari
import numpy as np
import tifffile
from qtpy.QtWidgets import QApplication

from napari_cellseg.gui.classify import ClassifyDock

SIZE, CHANNELS = (64, 32), ("Ch4", "Ch5", "Ch6")
LIMITS = {"first_seconds": 2.0, "later_ms": 50.0}


def one_cell(*, backbone: str = "resnet50", repeats: int = 3, later: int = 5) -> None:
    """Time first and later answers.

    Parameters
    ----------
    backbone
        The network, with head I.
    repeats
        The median of so many docks.
    later
        Answers of each dock after its first.
    """
    first, after, at_once = [], [], []
    viewer = napari.Viewer(show=False)
    with tempfile.TemporaryDirectory() as folder:
        models = [Path(folder) / f"{name}.safetensors" for name in "ab"]
        writing = get_context("spawn").Process(target=write_models, args=(models, backbone))
        writing.start()  # torch stays out of the viewer's process
        writing.join()
        cells = Path(folder) / "cells"
        cells.mkdir()
        plane = np.random.default_rng(0).integers(0, 4096, SIZE, np.uint16)
        for channel in CHANNELS:
            tifffile.imwrite(cells / f"run_1_{channel}.ome.tif", plane, photometric="minisblack")
        for _ in range(repeats):
            dock = ClassifyDock(viewer)
            widget = viewer.window.add_dock_widget(dock, name="Classify")
            dock.source.open(cells)
            wait(lambda dock=dock: dock.cells is not None and dock.source.job is None)
            dock.model_row.choose(models[0])
            at_once.append(answer_seconds(dock))
            dock.model_row.choose(models[1])
            first.append(answer_seconds(dock))
            after += [answer_seconds(dock) for _ in range(later)]
            viewer.window.remove_dock_widget(widget)
        viewer.close()
    line = {
        "benchmark": "one_cell",
        "backbone": backbone,
        "first_seconds": round(statistics.median(first), 2),
        "at_once_seconds": round(statistics.median(at_once), 2),
        "later_ms": round(1000 * statistics.median(after), 1),
        "import_seconds": round(import_seconds(), 2),
        "limits": LIMITS,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
    }
    print(json.dumps(line))


def write_models(paths: list[Path], backbone: str) -> None:
    """Write classifiers with random weights."""
    from napari_cellseg.nets.classifier_spec import ClassifierSpec
    from napari_cellseg.nets.model import new_model, save_model

    spec = ClassifierSpec(backbone, "I", tuple("abcdef"), CHANNELS, SIZE, ((0.0, 4095.0),) * 3)
    for path in paths:
        save_model(path, spec, new_model(spec).net)


def answer_seconds(dock: ClassifyDock) -> float:
    """Click Classify; return the seconds until the class and the probabilities are in the viewer."""
    dock.cells.curation.probabilities = None
    began = time.perf_counter()
    dock.start_button.click()
    wait(lambda: dock.cells.curation.probabilities is not None)
    taken = time.perf_counter() - began
    wait(lambda: not dock.running)
    return taken


def wait(done, seconds: float = 120.0) -> None:
    """Let the window work until something is so."""
    until = time.perf_counter() + seconds
    while not done():
        QApplication.processEvents()
        time.sleep(0.0005)
        if time.perf_counter() > until:
            raise TimeoutError


def import_seconds() -> float:
    """Return the median seconds to start Python and import torch and timm."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch, timm"], check=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    cyclopts.run(one_cell)
