"""Every system in one study, on simulated micrographs: eight to learn from, two to be tested on.

    python benchmarks/systems.py OUT [--minutes M] [--seed S] [--only NAME ...]

OUT gets the micrographs, their masks, STUDY.yaml and the study itself. The micrographs cover the field of a
3838 x 3710 one at a binned pixel of 0.4 nm.
"""

import json
import os
import platform
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import cyclopts
import yaml
from cyclopts import Parameter

from napari_cellseg.cli.study import study
from napari_cellseg.images import simulate
from napari_cellseg.nets.presets import OURS, PUBLISHED

TRAIN, TEST = 8, 2
SESSION = {"lumps": (2, 4), "dose": (35.0, 45.0), "defocus_um": (1.5, 3.0)}
CLASS = "filament"
NOT_FOR_FILAMENTS = {"vessels", "membrane", "cells"}
MARGIN = 0.05


def systems(
    out: Path,
    *,
    minutes: float = 1.0,
    seed: int = 1,
    shape: tuple[int, int] = (1270, 1314),
    pixel_nm: float = 0.4,
    only: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
) -> None:
    """Simulate, train every system, print the ranking as one JSON line.

    Parameters
    ----------
    out
        Folder to make.
    minutes
        Time budget of each training.
    seed
        Of the micrographs; the trainings have the seed 42.
    shape
        Rows and columns of a micrograph.
    pixel_nm
        Pixel size in nm.
    only
        These systems, instead of all.
    """
    began = time.perf_counter()
    settings = simulate.SimulateSettings(shape=shape, pixel_nm=pixel_nm, **SESSION)
    out.mkdir(parents=True)
    for number in range(TRAIN + TEST):
        simulated = simulate.simulate_micrograph(1000 * seed + number, settings=settings)
        part = out / ("train" if number < TRAIN else "test")
        part.mkdir(exist_ok=True)
        simulate.write_micrograph(part / f"mic_{number:02}.mrc", simulated)
        simulate.write_truth(part, simulated, stem=f"mic_{number:02}")
    names = [name for name in OURS if name not in NOT_FOR_FILAMENTS]
    names += [name + ending for name in PUBLISHED for ending in ("", "-tiles")]
    plan = {
        "title": "Every system on simulated micrographs",
        "split": {"train": ["train/*.mrc"], "test": ["test/*.mrc"]},
        "masks": ["train/*_mask.png", "test/*_mask.png"],
        "polarity": "dark",
        "classes": [CLASS],
        "systems": only or names,
        "minutes": minutes,
    }
    (out / "STUDY.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    with redirect_stdout(sys.stderr):
        study(out / "STUDY.yaml", out=out / "study")
    print(json.dumps(_line(out / "study", time.perf_counter() - began)))


def _line(folder: Path, seconds: float) -> dict[str, object]:
    found = json.loads((folder / "study.json").read_text())
    scores = {
        system["name"]: round(system["pooled"]["classes"][CLASS]["f1"], 4)
        for system in found["systems"]
        if system.get("pooled")
    }
    best = max((scores.get(name, 0.0), name) for name in PUBLISHED)
    return {
        "benchmark": "systems",
        "f1": dict(sorted(scores.items(), key=lambda pair: -pair[1])),
        "best_published": best[1],
        "filament_best_over_it": round(scores.get("filament-best", 0.0) - best[0], 4),
        "at_least": MARGIN,
        "seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


if __name__ == "__main__":
    cyclopts.run(systems)
