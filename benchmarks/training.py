"""What a training step spends its time on: waiting for windows, augmenting, the network, the optimiser.

    python benchmarks/training.py [--preset default] [--steps 40] [--precision float32] [--compiled]

A network learns from a simulated micrograph. `not_network` is the share of a step outside of forward and
backward passes, `waiting` that of waiting for windows. Medians over the steps after the first five. Prints
one JSON line last.
"""

import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cyclopts

WARM_UP = 5
LIMITS = {"not_network": 0.10, "waiting": 0.05}


class Parts:
    """Seconds of each part of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and notes how long it took."""

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            answer = call(*arguments, **named)
            self.seconds[name].append(time.perf_counter() - began)
            return answer

        return timed

    def each(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        """Yield items, noting how long each was waited for."""
        wait = self.timed(name, lambda: next(items, None))
        while (item := wait()) is not None:
            yield item


def training(
    *,
    preset: str = "default",
    steps: int = 40,
    threads: int = 1,
    batch: int = 8,
    precision: str = "auto",
    compiled: bool = False,
) -> None:
    """Train and print one JSON line.

    Parameters
    ----------
    preset
        Of a segmenter.
    steps
        How many are timed.
    threads
        Of PyTorch.
    batch
        Windows in a step.
    precision
        Number format, as in the settings.
    compiled
        The network goes through `torch.compile` first.
    """
    import torch

    from napari_cellseg.images.annotation import Classes
    from napari_cellseg.images.project import Project
    from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph, write_micrograph
    from napari_cellseg.nets.presets import settings_from
    from napari_cellseg.train import segment

    torch.set_num_threads(threads)
    parts = Parts()
    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "a.cellseg", Classes.of("filament"))
        made = simulate_micrograph(1, settings=SimulateSettings(shape=(1024, 1024), pixel_nm=0.4))
        entry = project.add_image(write_micrograph(Path(folder) / "mic.tif", made))
        project.save_labels(entry.name, made.mask, dense=True)
        given = {"epochs": 1, "steps": steps, "batch": batch, "pretrained": False, "precision": precision}
        run = project.new_run(settings_from(preset, given))
        at_work = segment._Training(run, resume=False)
        if compiled:
            at_work.net.module.compile()
        segment.augment = parts.timed("augment", segment.augment)
        drawer_of = at_work._drawer

        def drawer(planes: Any) -> Any:
            made = drawer_of(planes)
            batches = made.batches
            made.batches = lambda *arguments: parts.each("wait", batches(*arguments))
            return made

        at_work._drawer = drawer
        at_work._step = parts.timed("step", at_work._step)
        began: list[float] = []
        at_work.net.register_forward_pre_hook(lambda *_: began.append(time.perf_counter()))
        at_work.net.register_forward_hook(
            lambda *_: parts.seconds["forward"].append(time.perf_counter() - began[-1])
        )
        at_work.fabric.backward = parts.timed("backward", at_work.fabric.backward)
        at_work.optimiser.optimizer.step = parts.timed("optimiser", at_work.optimiser.optimizer.step)
        for record in at_work.records():
            if type(record).__name__ == "Epoch":
                break
        at_work.close()
    found = {name: statistics.median(times[WARM_UP:steps]) for name, times in parts.seconds.items()}
    whole = found["wait"] + found["step"]
    line = {
        "benchmark": "training",
        "preset": preset,
        "batch": batch,
        "precision": at_work.precision,
        "compiled": compiled,
        "first_step_seconds": round(parts.seconds["step"][0], 2),
        "step_seconds": round(whole, 4),
        "waiting": round(found["wait"] / whole, 4),
        "not_network": round(1 - (found["forward"] + found["backward"]) / whole, 4),
        "parts": {name: round(seconds, 4) for name, seconds in found.items()},
        "limits": LIMITS,
        "machine": f"{len(os.sched_getaffinity(0))} cores, {threads} threads",
    }
    print(json.dumps(line))


if __name__ == "__main__":
    cyclopts.run(training)
