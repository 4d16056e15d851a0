"""How the viewer answers while a training runs on all cores.

Starts napari, opens the docks, trains a real network from the Train dock on a simulated
micrograph and measures how late a 10 ms timer of the event loop is meanwhile. The first
seconds, in which the training loads its libraries, count too.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/viewer.py

Prints one JSON line last: `p95_ms` (bar: below 100), `worst_ms`, `docks_seconds` (below 1
each), `torch` (whether the viewer's process imported it: false), `steps` of the training.
"""

import argparse
import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.project import Project
from napari_cellseg.images.simulate import (
    SimulateSettings,
    simulate_micrograph,
    sparse_annotation,
    write_micrograph,
)
from napari_cellseg.train.records import Step

TICK_MS = 10
DOCKS = ("annotate", "train", "segment")


def make_project(folder: Path, side_px: int) -> Project:
    """Simulate a micrograph with strokes on it."""
    made = simulate_micrograph(1, settings=SimulateSettings(shape=(side_px, side_px), pixel_nm=0.4))
    project = Project.create(folder / "viewer", Classes.of("filament"))
    record = project.add_image(write_micrograph(folder / "mic_001.tif", made))
    project.save_labels(record.name, sparse_annotation(made, 1))
    return project


def open_docks(viewer: napari.Viewer) -> tuple[dict[str, object], dict[str, float]]:
    """Open all docks; return them and the seconds each took, its imports included."""
    docks, seconds = {}, {}
    for name in DOCKS:
        before = time.perf_counter()
        module = import_module(f"napari_cellseg.gui.{name}")
        docks[name] = getattr(module, f"{name.title()}Dock")(viewer)
        viewer.window.add_dock_widget(docks[name], name=name.title(), tabify=name != DOCKS[0])
        QApplication.processEvents()
        seconds[name] = round(time.perf_counter() - before, 3)
    return docks, seconds


class Lateness:
    """Collects how late each tick of the event loop is, in ms."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._last = time.perf_counter()
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self._tick)

    def start(self) -> None:
        """Begin now."""
        self.late.clear()
        self._last = time.perf_counter()
        self.timer.start(TICK_MS)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.late.append(max(0.0, (now - self._last) * 1e3 - TICK_MS))
        self._last = now

    def quantile(self, share: float) -> float:
        """Return the lateness that this share of the ticks stays below."""
        return round(float(np.quantile(self.late, share)), 1)


def wait(seconds: float, until=lambda: False) -> None:
    """Run the event loop."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and not until():
        QApplication.processEvents()
        time.sleep(0.001)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long the training is watched")
    parser.add_argument("--side-px", type=int, default=2048, help="side of the simulated micrograph")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), options.side_px)
        viewer = napari.Viewer()
        docks, seconds = open_docks(viewer)
        annotate, train = docks["annotate"], docks["train"]
        annotate.set_project(project)
        wait(20, train.start_button.isEnabled)
        lateness, steps, record = Lateness(), [], train._record
        lateness.start()
        wait(5)
        idle = lateness.quantile(0.95)
        train._record = lambda told: (steps.append(told) if isinstance(told, Step) else None, record(told))
        train.form.rows["epochs"].value = 1000
        train.start()
        lateness.start()
        strokes = QTimer()
        strokes.timeout.connect(lambda: annotate.painted.paint((len(steps) % 500, 50), 2))
        strokes.start(500)  # somebody goes on painting
        wait(options.seconds)
        lateness.timer.stop()
        strokes.stop()
        torch = "torch" in sys.modules
        train.stop()
        wait(60, lambda: train.job is None)
        result = {
            "p95_ms": lateness.quantile(0.95),
            "p99_ms": lateness.quantile(0.99),
            "worst_ms": lateness.quantile(1.0),
            "idle_p95_ms": idle,
            "ticks": len(lateness.late),
            "steps": len(steps),
            "docks_seconds": seconds,
            "torch": torch,
        }
        viewer.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
