"""A network against its int8 and its pruned form: size, speed, and F1 on micrographs none of them saw.

A U-Net over ResNet18 learns from true masks of simulated micrographs on one thread; then `napari-cellseg
compress` puts it into 8 bits, and prunes it and trains it on. Speed is the processor's time for a tile of
512 x 512 px, each on its fastest backend, in turn in one process; medians of `--runs`. The parent's in
float32 is there as well. `f1` is that of the filaments over all unseen micrographs. Prints one JSON line
last.

    python benchmarks/compress.py [--prune 0.35 0.5] [--folder OUT]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_cellseg.cli import main as command
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.project import Project
from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph, write_micrograph
from napari_cellseg.nets.backends import prepare
from napari_cellseg.nets.machine import cpu_name
from napari_cellseg.nets.model import Model, load_model
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.predict.labels import labels_from
from napari_cellseg.predict.segment import segment
from napari_cellseg.report.demo import SESSION
from napari_cellseg.report.metrics.pixels import pixel_scores
from napari_cellseg.settings import SegmentSettings
from napari_cellseg.train.records import Epoch
from napari_cellseg.train.segment import train

TRAINED, UNSEEN = range(901, 907), range(951, 957)
SETTINGS: SimulateSettings = SESSION.model_copy(
    update={"shape": (1024, 1024), "pixel_nm": 0.411, "filaments": (8, 12), "length_um": 0.3}
)
TILE_PX = 512


def main() -> None:
    """Train, compress, measure, and print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parent-epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prune", type=float, nargs="*", default=[0.35])
    parser.add_argument("--epochs", type=int, default=8, help="that a pruned network is trained on for")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where models stay; a model there is not trained again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="cellseg-compress-"))
    began = time.process_time()
    files = {"parent": trained(folder, arguments.seed, arguments.parent_epochs)}
    costs = {"parent": round(time.process_time() - began)}
    jobs = {"int8": ["--int8"]} | {
        f"pruned {share:g}": ["--prune", str(share), "--epochs", str(arguments.epochs)]
        for share in arguments.prune
    }
    for name, flags in jobs.items():
        files[name] = folder / f"{name.replace(' ', '_')}.safetensors"
        if not files[name].exists():
            began = time.process_time()
            run = next(iter(sorted((folder / "train.cellseg/runs").iterdir())))
            asked = [str(files["parent"]), *flags, "--run", str(run), "--keep-anyway"]
            if command(["compress", *asked, "--out", str(files[name])]):
                sys.exit(f"{name}: failed")
            costs[name] = round(time.process_time() - began)
    print(json.dumps(measured(files, arguments.runs) | {"cpu_seconds": costs}))


def trained(folder: Path, seed: int, epochs: int) -> Path:
    """Return the model of a network that learned from simulated micrographs."""
    file = folder / "parent.safetensors"
    if file.exists():
        return file
    project = Project.create(folder / "train.cellseg", Classes.of("filament"))
    for number in TRAINED:
        simulated = simulate_micrograph(number, settings=SETTINGS)
        entry = project.add_image(write_micrograph(folder / f"mic_{number}.mrc", simulated))
        project.save_labels(entry.name, simulated.mask, dense=True)
    given = {"pretrained": False, "epochs": epochs, "seed": seed, "window_px": 192, "batch": 4, "steps": 40}
    run = project.new_run(settings_from("default", given))
    for record in train(run):
        if isinstance(record, Epoch):
            print(
                f"epoch {record.epoch}: {record.train_loss:.3f}, {record.dice}", file=sys.stderr, flush=True
            )
    file.write_bytes((run / "best.safetensors").read_bytes())
    return file


def measured(files: dict[str, Path], runs: int) -> dict[str, Any]:
    """Return size, milliseconds a tile and F1 of each model, and what the others are to the parent."""
    models = {name: load_model(file) for name, file in files.items()}
    forwards = {name: fastest(model) for name, model in models.items()}
    forwards["parent in float32"] = prepare(
        models["parent"], backend="openvino", device="cpu", precision="float32"
    )
    tile = np.random.default_rng(0).normal(size=(1, 1, TILE_PX, TILE_PX)).astype(np.float32)
    times: dict[str, list[float]] = {name: [] for name in forwards}
    for _ in range(1 + runs):
        for name, forward in forwards.items():
            began = time.process_time()
            forward(tile)
            times[name].append(1e3 * (time.process_time() - began))
    tile_ms = {name: statistics.median(taken[1:]) for name, taken in times.items()}
    f1 = {name: unseen_f1(model) for name, model in models.items()}
    others = [name for name in models if name != "parent"]
    return {
        "machine": f"{cpu_name()}, 1 thread",
        "megabytes": {name: round(file.stat().st_size / 1e6, 1) for name, file in files.items()},
        "tile_ms": {name: round(taken, 1) for name, taken in tile_ms.items()},
        "f1": {name: round(value, 4) for name, value in f1.items()},
        "faster": {name: round(tile_ms["parent"] / tile_ms[name], 2) for name in others},
        "faster_than_float32": {
            name: round(tile_ms["parent in float32"] / tile_ms[name], 2) for name in others
        },
        "f1_loss": {name: round(f1["parent"] - f1[name], 4) for name in others},
    }


def fastest(model: Model) -> Any:
    """Return the function that runs a model as `compress` measures it."""
    return prepare(model, backend="openvino" if model.spec.int8 else "auto", device="cpu")


def unseen_f1(model: Model) -> float:
    """Return the F1 of the filaments over the unseen micrographs."""
    backend = "openvino" if model.spec.int8 else "auto"
    settings = SegmentSettings(device="cpu", backend=backend)
    found, truth = [], []
    for number in UNSEEN:
        simulated = simulate_micrograph(number, settings=SETTINGS)
        image = Image.from_array(simulated.image, str(number), pixel_nm=simulated.pixel_nm)
        found.append(np.asarray(labels_from(segment(image, model, settings=settings)).compute()))
        truth.append(simulated.mask)
    scores = pixel_scores(np.concatenate(found), np.concatenate(truth), model.spec.classes)
    return float(scores["classes"]["filament"]["f1"])


if __name__ == "__main__":
    main()
