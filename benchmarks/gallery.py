"""How fast the Gallery opens 50,000 cells, and how smoothly it scrolls through them.

Writes an export of an imaging flow cytometer in its real layout: some hundred simulated cells
of three channels, each there many times under other object numbers (hard links, so the disk
holds few pixels; every file is opened and decoded all the same). Opens the folder in the
Gallery dock of a real window, then scrolls by wheel steps without pause.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gallery.py

Prints one JSON line last: `open_seconds` from the choice of the folder to the first screenful
with every picture there (bar: below 2), `first_seconds` until the grid stands, of which
`first_cpu_seconds` are this program's, `frames` a second while scrolling (bar: above 30),
`frame_cpu_ms` of this program for one frame (where other programs take the cores, these are
the figures to look at), `p95_ms` between two frames, `drawn` (share of pictures that were
there when their frame was painted), `cells`, `files`, `peak_mb`.
"""

import argparse
import json
import os
import re
import resource
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_cellseg.gui.gallery import GalleryDock
from napari_cellseg.images.simulate.ideas_export import IdeasExportSettings, simulate_ideas_export

DIFFERENT = 300
SECONDS = 8.0


def make_export(folder: Path, cells: int) -> int:
    """Write an export of so many cells; return its number of files."""
    settings = IdeasExportSettings(cells=min(cells, DIFFERENT), samples=1, missing=0, duplicates=0)
    made = simulate_ideas_export(folder / "few", settings=settings).folder
    names = [(path, re.fullmatch(r"(.*_)[0-9]+(_Ch.*)", path.name)) for path in sorted(made.rglob("*.tif"))]
    many = folder / "many"
    count = 0
    for again in range(-(-cells // settings.cells)):
        for index, (path, name) in enumerate(names):
            number = again * settings.cells + index // 3
            if number < cells:
                target = many / path.parent.name / f"{name[1]}{again:03}{path.name.split('_')[-2]}{name[2]}"
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, target)
                count += 1
    return count


def wait(until: object, seconds: float = 120) -> float:
    """Run the event loop until something is so; return the seconds it took."""
    began = time.perf_counter()
    while not until() and time.perf_counter() - began < seconds:
        QApplication.processEvents()
        time.sleep(0.002)  # a window that waits leaves the cores to the reading
    return time.perf_counter() - began


def scroll(dock: GalleryDock, seconds: float) -> dict[str, float]:
    """Scroll by a wheel step as often as a frame can be painted."""
    bar, grid = dock.grid.verticalScrollBar(), dock.grid
    step = grid.cell_size().height() // 3
    paces, shown, missing = [], 0, 0
    began = last = time.perf_counter()
    busy = time.process_time()
    while last - began < seconds:
        frames = grid.frames
        bar.setValue(bar.value() + step if bar.value() < bar.maximum() else 0)
        while grid.frames == frames:
            QApplication.processEvents()
        shown += len(grid.places_in(grid.viewport().rect()))
        missing += grid.absent
        now = time.perf_counter()
        paces.append(now - last)
        last = now
    return {
        "frames": round(len(paces) / sum(paces), 1),
        "frame_cpu_ms": round(1000 * (time.process_time() - busy) / len(paces), 1),
        "p95_ms": round(1000 * float(np.percentile(paces, 95)), 1),
        "drawn": round(1 - missing / shown, 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make_export(Path(folder), options.cells)
        viewer = napari.Viewer()
        viewer.window.resize(1440, 940)
        dock = GalleryDock(viewer)
        viewer.window.add_dock_widget(dock, name="Gallery", area="right")
        wait(lambda: False, 1)
        busy = time.process_time()
        dock.open(Path(folder) / "many")
        first = wait(lambda: dock.cells is not None)
        frames, busy = dock.grid.frames, time.process_time() - busy
        whole = first + wait(lambda: dock.grid.frames > frames and not dock.grid.missing)
        found = scroll(dock, SECONDS)
        found |= {
            "open_seconds": round(whole, 2),
            "first_seconds": round(first, 2),
            "first_cpu_seconds": round(busy, 2),
            "cells": len(dock.cells.crops),
            "files": files,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        viewer.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
