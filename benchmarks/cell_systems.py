"""All published presets of classifiers and ours in one study, on simulated cells of a flow cytometer.

Each is trained on each of the three channels alone and on the three together.

    python benchmarks/cell_systems.py OUT [--cells 600] [--samples 6]

OUT gets the export, STUDY.yaml and the study with its page.
"""

import json
import os
import platform
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import cyclopts
import yaml

from napari_cellseg.cli.study import study
from napari_cellseg.images.simulate.ideas_export import IdeasExportSettings, simulate_ideas_export
from napari_cellseg.nets.classifier_presets import CLASSIFIER_PRESETS

LIMIT_SECONDS = 20 * 60


def cell_systems(out: Path, *, cells: int = 600, samples: int = 6, seed: int = 1) -> None:
    """Simulate, train every system, print the ranking as one JSON line.

    Parameters
    ----------
    out
        Folder to make.
    cells, samples
        How many.
    seed
        Of the cells.
    """
    began = time.perf_counter()
    out.mkdir(parents=True)
    settings = IdeasExportSettings(cells=cells, samples=samples)
    simulate_ideas_export(out / "cells", settings=settings, seed=seed)
    plan = {
        "title": "Every classifier on simulated cells",
        "crops": "cells",
        "channels": ["Ch4", "Ch5", "Ch6", ["Ch4", "Ch5", "Ch6"]],
        "split": {"holdout": 0.3},
        "systems": list(CLASSIFIER_PRESETS),
    }
    (out / "STUDY.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    with redirect_stdout(sys.stderr):
        study(out / "STUDY.yaml", out=out / "study")
    found = json.loads((out / "study" / "study.json").read_text())
    ranked = [one for one in found["systems"] if one["scores"]]
    line = {
        "benchmark": "cell_systems",
        "macro_f1": {one["name"]: round(one["scores"]["macro_f1"], 4) for one in ranked},
        "trainings": len(found["systems"]),
        "failed": [one["name"] for one in found["systems"] if one["failures"]],
        "seconds": round(time.perf_counter() - began, 1),
        "at_most": LIMIT_SECONDS,
        "page": str(out / "study" / "report.html"),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
    }
    print(json.dumps(line))


if __name__ == "__main__":
    cyclopts.run(cell_systems)
