"""Filaments traced in what a trained network says of micrographs it never saw: whole ones, fragments, error.

    python benchmarks/predicted_filaments.py OUT [--annotation dense] [--epochs 10] [--model MODEL]

A network (preset `filament-fast`) learns from simulated micrographs with the dose, defocus and ice of the
demo and 20 filaments 0.5 micrometres long on average, and segments others of the same kind, 3838 x 3710
px at 0.137 nm. Those whose filaments cross less often than `--crossings` are left out. Annotations are
dense (the true mask) or strokes as the demo draws them. In OUT stay `model.safetensors`, for another
call with `--model`, and `result/`; what is segmented there is only traced again. Prints one JSON line last.
"""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tracing import FILAMENTS, crossings, summary, true_filaments

from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.project import Project
from napari_cellseg.images.simulate import (
    Simulated,
    simulate_micrograph,
    sparse_annotation,
    write_micrograph,
    write_truth,
)
from napari_cellseg.images.simulate.sweeps import sweep_background
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.objects.filaments import trace
from napari_cellseg.objects.settings import TraceSettings
from napari_cellseg.predict.batch import segment_files
from napari_cellseg.predict.segment_file import FileDone
from napari_cellseg.predict.trace import find_filaments
from napari_cellseg.report.demo import SESSION
from napari_cellseg.report.filament_pictures import draw_filaments
from napari_cellseg.report.metrics.filaments import FilamentScores, filament_scores
from napari_cellseg.train.records import Epoch, Finished
from napari_cellseg.train.segment import train

CROWDED = SESSION.model_copy(update={"filaments": (FILAMENTS, FILAMENTS), "length_um": 0.5})
STROKES = 0.3  # share of the filaments' length that is drawn over, as in the demo


def annotated(simulated: Simulated, annotation: str) -> np.ndarray:
    """Return the labels that the network learns from."""
    if annotation == "dense":
        return simulated.mask
    strokes = sparse_annotation(simulated, simulated.seed, share=STROKES)
    return sweep_background(simulated, strokes, simulated.seed)


def trained(out: Path, seeds: Sequence[int], annotation: str, given: dict[str, Any]) -> dict[str, Any]:
    """Train on simulated micrographs, leave OUT/model.safetensors; return what it cost and came to."""
    folder = out / "training"
    folder.mkdir(parents=True)
    project = Project.create(folder / "training.cellseg", Classes.of("filament"))
    for seed in seeds:
        simulated = simulate_micrograph(seed, settings=CROWDED)
        file = write_micrograph(folder / f"mic_{seed}.mrc", simulated)
        entry = project.add_image(file)
        project.save_labels(entry.name, annotated(simulated, annotation), dense=annotation == "dense")
    run = project.new_run(settings_from(given.pop("preset"), given))
    begun, facts = time.process_time(), dict[str, Any]()
    for record in train(run):
        if isinstance(record, Epoch):
            print(f"epoch {record.epoch}: loss {record.train_loss:.3f}, Dice {record.dice}", flush=True)
        elif isinstance(record, Finished):
            shutil.copy(run / record.model, out / "model.safetensors")
            facts["validation_dice"] = round(record.score, 3)
    return facts | {"training_cpu_seconds": round(time.process_time() - begun)}


def test_micrographs(out: Path, seeds: Sequence[int], least: int) -> dict[Path, tuple[Simulated, int]]:
    """Simulate and write those with enough crossings, with their truth; return how many each has."""
    folder, kept = out / "unseen", dict[Path, tuple[Simulated, int]]()
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        simulated = simulate_micrograph(seed, settings=CROWDED)
        many = crossings(truth_of(simulated))
        if many < least:
            print(f"seed {seed}: {many} crossings, left out")
            continue
        file = folder / f"mic_{seed}.mrc"
        write_micrograph(file, simulated, overwrite=True)
        write_truth(folder, simulated, stem=file.stem, overwrite=True)
        kept[file] = simulated, many
    return kept


def truth_of(simulated: Simulated) -> list[Filament]:
    """Return the true filaments that are long enough to be seen."""
    return true_filaments(simulated, simulated.settings.width_nm / simulated.pixel_nm)


def scored(
    file: Path, simulated: Simulated, found: list[Filament], pictures: Path, name: str
) -> FilamentScores:
    """Score the traces of a micrograph; draw the true filaments, and what was found."""
    truth = truth_of(simulated)
    tolerance_px = simulated.settings.width_nm / simulated.pixel_nm / 2
    scores = filament_scores(found, truth, tolerance_px=tolerance_px)
    pictures.mkdir(exist_ok=True)
    lost = [one for one, covered in zip(truth, scores.coverage, strict=True) if covered < 0.8]
    for kind, filaments in (("found", found), ("lost", lost)):
        write_whole(pictures / f"{file.stem}_{name}_{kind}.png", draw_filaments(simulated.image, filaments))
    return scores


def main() -> None:
    """Train, segment, trace, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, nargs="+", default=list(range(501, 507)))
    parser.add_argument("--test", type=int, nargs="+", default=list(range(601, 607)))
    parser.add_argument("--annotation", choices=("dense", "strokes"), default="dense")
    parser.add_argument("--preset", default="filament-fast")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--set", nargs="*", default=[], help="further settings of the training, NAME=VALUE")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threshold", type=float, default=TraceSettings().threshold)
    parser.add_argument("--crossings", type=int, default=15)
    arguments = parser.parse_args()
    if set(arguments.train) & set(arguments.test):
        parser.error("a seed is both to learn from and to be tested on")
    out, facts = arguments.out, dict[str, Any]()
    model = arguments.model or out / "model.safetensors"
    if not model.exists():
        given = {"preset": arguments.preset, "epochs": arguments.epochs, "steps": arguments.steps}
        given |= dict(pair.split("=", 1) for pair in arguments.set)
        facts |= {"annotation": arguments.annotation, **given}
        facts |= trained(out, arguments.train, arguments.annotation, given)
    tested = test_micrographs(out, arguments.test, arguments.crossings)
    for record in segment_files(list(tested), model, out / "result", resume=True):
        if isinstance(record, FileDone):
            print(f"{record.path.name}: {record.status} {record.message}", flush=True)
    scores: dict[str, list[FilamentScores]] = {"predicted": [], "true_masks": []}
    seconds: dict[str, list[float]] = {name: [] for name in scores}
    for file, (simulated, many) in tested.items():
        said = find_filaments(out / "result" / f"{file.stem}.ome.zarr").plane
        settings = TraceSettings(threshold=arguments.threshold)
        for name, plane in (("predicted", said), ("true_masks", simulated.mask == 2)):
            begun = time.perf_counter()
            found = trace(plane, pixel_nm=simulated.pixel_nm, settings=settings)
            seconds[name].append(time.perf_counter() - begun)
            scores[name].append(scored(file, simulated, found, out / "pictures", name))
            one = scores[name][-1]
            print(f"{file.stem}, {many} crossings, {name}: {one.whole} of {one.filaments} whole", flush=True)
    result: dict[str, Any] = {name: summary(scores[name], seconds[name]) for name in scores}
    result |= {"crossings": [many for _, many in tested.values()], "test_seeds": arguments.test}
    print(json.dumps(result | {"train_seeds": arguments.train, "threshold": arguments.threshold} | facts))


if __name__ == "__main__":
    main()
