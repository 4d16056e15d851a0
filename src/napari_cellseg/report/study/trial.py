"""One system in one trial: trained, run over the tested images, scored.

``SYSTEM/TRIAL/`` holds ``run/`` (the training), ``model.safetensors``, ``predictions/``, the logs
of both processes and, once all is through, ``outcome.json``.
"""

import csv
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import zarr

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import read_mask
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.predict.segment_file import labels_path, result_path
from napari_cellseg.predict.staging import SUMMARY
from napari_cellseg.report.metrics import image_scores
from napari_cellseg.report.study.child import Child
from napari_cellseg.report.study.outcome import Outcome, Training, read_json, read_training, write_json
from napari_cellseg.report.study.plan import StudyPlan, System, Trial
from napari_cellseg.settings import SegmentSettings
from napari_cellseg.train.records import RateTrial, Step, from_line
from napari_cellseg.train.run import Source, prepare_run, stop_file

Progress = tuple[float, str]
TRAINED, SEGMENTED = 0.8, 0.95
"""Shares of a trial that are behind it when the training, the segmentation is through."""


def run_trial(
    folder: Path, plan: StudyPlan, system: System, trial: Trial
) -> Generator[Progress, None, Outcome]:
    """Yield the share that is behind us and what goes on; return what came of it.

    What an earlier call in `folder` finished is not done again; a half-done training goes on.

    Raises
    ------
    CellsegError
        If the system cannot be trained or run.
    """
    training = yield from _train(folder, plan, system, trial)
    segment_seconds, peak_mb = yield from _segment(folder, plan, trial)
    scores = {}
    for number, name in enumerate(trial.part.test):
        yield SEGMENTED + (1 - SEGMENTED) * number / len(trial.part.test), f"scoring {name}"
        scores[name] = _score(folder, plan, name)
    return Outcome(system.name, trial.name, "", training, segment_seconds, peak_mb, scores)


def predicted_files(folder: Path, image: str) -> tuple[Path, Path]:
    """Return the labels TIFF and the OME-Zarr that a trial's folder holds for an image file."""
    out = folder / "predictions"
    return labels_path(out, Path(image)), result_path(out, Path(image))


def _train(
    folder: Path, plan: StudyPlan, system: System, trial: Trial
) -> Generator[Progress, None, Training]:
    run, trained = folder / "run", folder / "training.json"
    if trained.is_file():
        return Training(**read_json(trained))
    if not (run / "data.json").is_file():
        samples = [plan.samples[name] for name in trial.part.train]
        sources = [Source(one.name, one.image, one.mask, one.polarity) for one in samples]
        settings = system.settings.model_copy(update={"seed": trial.seed})
        prepare_run(run, plan.samples.mask_classes, sources, settings)
    yield 0.0, "training"
    arguments = ["train", "--run", str(run), "--resume", "--events"]
    child = Child(arguments, folder / "train.log", stop=stop_file(run))
    with closing(child.lines()) as lines:
        yield from _steps(lines)
    training = read_training(run, peak_mb=child.peak_mb)
    _link(run / "best.safetensors", folder / "model.safetensors")
    write_json(trained, vars(training))
    return training


def _steps(lines: Iterator[str]) -> Iterator[Progress]:
    for line in lines:
        try:
            record = from_line(line)
        except ValueError:  # a library printed it
            continue
        if isinstance(record, Step):
            yield TRAINED * record.step / record.steps, f"training, loss {record.loss:.3f}"
        elif isinstance(record, RateTrial):
            yield 0.0, f"looking for a learning rate, {record.rate:.1e}"


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the disk cannot do that."""
    with replace_whole(target) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)


def _segment(
    folder: Path, plan: StudyPlan, trial: Trial
) -> Generator[Progress, None, tuple[dict[str, float], float]]:
    """Segment the tested images anew; return the seconds of each and the peak of memory."""
    out, images = folder / "predictions", [plan.samples[name].image for name in trial.part.test]
    arguments = ["segment", str(folder / "model.safetensors"), *images, "--out", str(out), "--overwrite"]
    child = Child([*arguments, *_flags(plan.study.segmenting)], folder / "segment.log")
    yield TRAINED, "segmenting"
    with closing(child.lines()) as lines:
        for number, _ in enumerate(lines, start=1):  # two outputs of every image
            share = min(1.0, number / (2 * len(images)))
            yield TRAINED + (SEGMENTED - TRAINED) * share, "segmenting"
    with (out / SUMMARY).open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    for image in images:
        if rows[image]["status"] == "failed":
            raise CellsegError(rows[image]["message"])
    seconds = {
        name: float(rows[image]["seconds"]) for name, image in zip(trial.part.test, images, strict=True)
    }
    return seconds, child.peak_mb


def _flags(settings: SegmentSettings) -> list[str]:
    """Return settings as flags of the command line."""
    given = settings.model_dump(mode="json", exclude_defaults=True)
    return [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]


def _score(folder: Path, plan: StudyPlan, name: str) -> dict[str, Any]:
    sample, study = plan.samples[name], plan.study
    labels, result = predicted_files(folder, sample.image)
    return image_scores(
        read_mask(labels),
        sample.truth(),
        plan.samples.classes,
        probabilities=zarr.open_array(result / "probabilities/0", mode="r"),
        pixel_nm=sample.pixel_nm,
        tolerance_px=study.tolerance_px,
        tolerance_nm=study.tolerance_nm,
        thin=study.thin,
    )
