"""`napari-cellseg train`."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from napari_cellseg.cli.app import INTERRUPTED, OK, Flag, Many, Polarity, app
from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import CellSettings, ClassifierSettings, Settings, TrainSettings

if TYPE_CHECKING:
    from napari_cellseg.report.progress import Progress
    from napari_cellseg.train.records import Epoch, Record, Started

DEFAULTS, CELL_DEFAULTS = TrainSettings(), CellSettings()


@app.command
def train(
    model: Path | None = None,
    /,
    *,
    images: Many = None,
    masks: Many = None,
    polarity: Polarity | None = None,
    classes: str = "",
    crops: Path | None = None,
    format: str = "",
    group: str = "",
    run: Path | None = None,
    resume: Flag = False,
    overwrite: Flag = False,
    devices: int = 1,
    prepare_only: Flag = False,
    events: Flag = False,
    settings: Annotated[TrainSettings, Parameter(name="*")] = DEFAULTS,
    cells: Annotated[CellSettings, Parameter(name="*", group="With --crops")] = CELL_DEFAULTS,
) -> int:
    """Train a segmenter from images and masks, a classifier from crops, or a run that was prepared before.

    With --crops, settings that are not given are as the classifier's preset has them (cells-best).

    Parameters
    ----------
    model
        Model file to write (.safetensors); the run is kept beside it as MODEL.run.
    images
        Images: files, folders or quoted globs.
    masks
        Their masks, found by the same stem or a common beginning of it.
    polarity
        Which side of a two-valued mask is the class, labels for class numbers, instances for
        numbers of single cells, or points for tables of points (X, Y); default: the brighter side.
    classes
        Names of the classes, separated by commas.
    crops
        Images of single cells, to train a classifier: a folder or a file.
    format
        How the cells are stored, instead of what is found.
    group
        What names a cell's sample: a column, or a regular expression in the file name.
    run
        A run folder prepared by the viewer or by an earlier call, instead of MODEL and files.
    resume
        Go on where the run stopped, with the settings it was started with.
    overwrite
        Replace an existing model and its run.
    devices
        Graphics cards of this machine that share the training of a segmenter (processes with --device
        cpu); each takes its part of the windows of a step.
    prepare_only
        Only write the run, MODEL.run, to be trained elsewhere with --run.
    events
        Print every progress record as a JSON line on stdout.
    """
    from napari_cellseg.train.files import model_run

    if (run is None) == (model is None):
        raise CellsegError(
            "neither MODEL nor --run" if run is None else "both MODEL and --run", "one of them"
        )
    given = settings.model_fields_set | cells.model_fields_set
    if run is None and model is not None:
        run = model_run(model, resume=resume, overwrite=overwrite)
        if not (resume and run.is_dir()):
            if crops is None:
                _refuse("without --crops", group=group, format=format, **_given(cells))
                _prepare_images(run, images, masks, polarity, classes, settings_given(settings))
            else:
                _refuse("beside --crops", images=images, masks=masks, polarity=polarity, classes=classes)
                _prepare_crops(run, crops, format, group, cell_settings_given(settings, cells))
    elif given or images or masks or crops:
        raise CellsegError(
            "settings or files beside --run", "the settings in the run folder", "leave them out"
        )
    assert run is not None
    if prepare_only:
        print(run)
        return OK
    if devices != 1:
        return _train_on(devices, run, model, resume=resume, events=events)
    return _train(run, model, resume=resume, events=events)


def _given(settings: Settings) -> dict[str, Any]:
    """Return the settings that were stated."""
    return settings.model_dump(include=settings.model_fields_set)


def _refuse(where: str, **values: Any) -> None:
    """Refuse flags that have no meaning there."""
    flags = [f"--{name.replace('_', '-')}" for name, value in values.items() if value not in (None, "")]
    if flags:
        raise CellsegError(
            f"{', '.join(flags)} {where}", remedy="leave it out; see `napari-cellseg train --help`"
        )


def _prepare_images(
    run: Path,
    images: list[str] | None,
    masks: list[str] | None,
    polarity: Polarity | None,
    classes: str,
    settings: TrainSettings,
) -> None:
    from napari_cellseg.train.files import prepare_files

    names = [name.strip() for name in classes.split(",") if name.strip()]
    for line in prepare_files(
        run, images or [], masks or [], polarity=polarity, classes=names, settings=settings
    ):
        print(line, file=sys.stderr)


def _prepare_crops(run: Path, crops: Path, format: str, group: str, settings: ClassifierSettings) -> None:
    from napari_cellseg.images.whole_files import replace_whole
    from napari_cellseg.train.crop_run import CropData, open_crops, prepare_crop_run

    data = CropData(str(crops.expanduser().resolve()), format, group)
    found = open_crops(data, settings.channel_names)
    said = ", ".join(f"{name} {int((found.labels == name).sum())}" for name in found.class_names)
    print(f"{len(found)} labelled cells: {said}", file=sys.stderr)
    with replace_whole(run) as part:
        prepare_crop_run(part, data, settings)


def settings_given(settings: TrainSettings) -> TrainSettings:
    """Return the settings with those that were not given taken from the preset.

    Raises
    ------
    CellsegError
        If the preset is unknown, or a classifier's.
    """
    from napari_cellseg.nets.classifier_presets import CLASSIFIER_PRESETS
    from napari_cellseg.nets.presets import settings_from

    if settings.preset in CLASSIFIER_PRESETS:
        raise CellsegError(f"preset {settings.preset!r} of a classifier", "cells to learn from: --crops PATH")
    return settings_from(settings.preset, settings.model_dump(include=settings.model_fields_set))


def cell_settings_given(settings: TrainSettings, cells: CellSettings) -> ClassifierSettings:
    """Return the settings of a classifier with those that were not given taken from the preset.

    Raises
    ------
    CellsegError
        If a setting was given that classifiers do not have.
    """
    from napari_cellseg.nets.classifier_presets import classifier_settings

    given = _given(settings)
    foreign = {name: value for name, value in given.items() if name not in ClassifierSettings.model_fields}
    _refuse("for a classifier (--crops)", **foreign)
    preset = settings.preset if "preset" in given else ClassifierSettings().preset
    return classifier_settings(preset, given | _given(cells))


def _train_on(devices: int, run: Path, model: Path | None, *, resume: bool, events: bool) -> int:
    """Train the run in one process a device, and copy the best model to `model`."""
    from napari_cellseg.train.crop_run import is_crop_run
    from napari_cellseg.train.files import copy_model
    from napari_cellseg.train.ranks import check_devices, run_ranks
    from napari_cellseg.train.run import read_settings, stop_file

    if is_crop_run(run):
        raise CellsegError("several devices for a classifier", "a segmenter", "leave --devices out")
    check_devices(devices, read_settings(run))
    again = ["--resume"] * resume + ["--events"] * events
    with _stopping(run):
        code = run_ranks(["train", "--run", str(run), *again], devices, stop_file(run), show=events)
    best = run / "best.safetensors"
    if code in (OK, INTERRUPTED) and model is not None and best.exists():
        copy_model(best, model)
    if code == OK and not events:
        print(model or best)
    return code


def _train(run: Path, model: Path | None, *, resume: bool, events: bool) -> int:
    """Train the run, show how it goes, and copy the best model to `model`."""
    from napari_cellseg.report.progress import Progress, duration
    from napari_cellseg.train.crop_run import is_crop_run
    from napari_cellseg.train.files import copy_model
    from napari_cellseg.train.ranks import OTHERS_ENDED, OthersEndedError
    from napari_cellseg.train.records import Finished, to_line

    if int(os.environ.get("RANK", 0)):
        return _share(run, resume=resume)
    words = CELL_WORDS if is_crop_run(run) else IMAGE_WORDS
    finished: Finished | None = None
    try:
        with _stopping(run), Progress("training") as progress:
            for record in _records(run, resume=resume):
                if events:
                    print(to_line(record), flush=True)
                if isinstance(record, Finished):
                    finished = record
                else:
                    tell(progress, record, words)
    except OthersEndedError:  # it says why
        return OTHERS_ENDED
    assert finished is not None
    best = run / finished.model
    if model is not None:
        copy_model(best, model)
    if words is CELL_WORDS:
        from napari_cellseg.report.classes import write_class_report

        print(f"report: {write_class_report(run)}", file=sys.stderr)
    if not events:
        print(model or best)
    print(
        f"{finished.reason} after {duration(finished.seconds)}: the best epoch is {finished.best_epoch} "
        f"with {words.score} {finished.score:.4f}; the run is kept in {run}",
        file=sys.stderr,
    )
    if finished.reason != "cancelled":
        return OK
    print("napari-cellseg: stopped; the best so far is kept; give --resume to go on", file=sys.stderr)
    return INTERRUPTED


def _share(run: Path, *, resume: bool) -> int:
    """Do this process's part of a training; another one tells how it goes."""
    from napari_cellseg.train.ranks import OTHERS_ENDED, OthersEndedError

    try:
        with _stopping(run):
            for _ in _records(run, resume=resume):
                pass
    except OthersEndedError:
        return OTHERS_ENDED
    return OK


def tell(progress: "Progress", record: "Record", words: "_Words") -> None:
    """Show what a record says."""
    from napari_cellseg.report.progress import duration
    from napari_cellseg.train.records import Epoch, RateFound, RateTrial, Reading, Started, Step

    if isinstance(record, Step):
        progress.show(
            record.step, record.steps, f"loss {record.loss:.3f}, {duration(record.seconds_left)} left"
        )
    elif isinstance(record, Reading):
        progress.show(record.done, record.total, f"{record.what}, {record.done} of {record.total}")
    elif isinstance(record, RateTrial):
        progress.show(record.step, record.steps, f"looking for a rate: {record.rate:.1e}")
    elif isinstance(record, RateFound):
        progress.say(f"learning rate {record.rate:.2e}, where the loss fell fastest")
    elif isinstance(record, Started):
        for line in _introduction(record, words):
            progress.say(line)
    elif isinstance(record, Epoch):
        progress.say(_epoch_line(record, words))


def _records(run: Path, *, resume: bool) -> "Iterator[Record]":
    from napari_cellseg.train.crop_run import is_crop_run

    if is_crop_run(run):
        from napari_cellseg.train.classify import train_classifier

        return train_classifier(run, resume=resume)
    from napari_cellseg.train.segment import train as train_segmenter

    return train_segmenter(run, resume=resume)


@dataclass(frozen=True)
class _Words:
    """What is counted in a training."""

    windows: str
    images: str
    score: str


IMAGE_WORDS, CELL_WORDS = _Words("windows", "images", "Dice"), _Words("cells", "samples", "F1")


def _introduction(started: "Started", words: _Words) -> list[str]:
    """Return the lines that say what is trained on what."""
    return [
        f"on {started.device} in {started.precision}: {started.parameters / 1e6:.1f} M parameters, "
        f"{started.train_windows} {words.windows} of {started.train_images} {words.images} to learn from, "
        f"{started.validation_windows} {words.windows} of {started.validation_images} held out",
        *started.notices,
    ]


def _epoch_line(epoch: "Epoch", words: _Words) -> str:
    classes = ", ".join(
        f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in epoch.dice.items()
    )
    return (
        f"epoch {epoch.epoch} of {epoch.epochs}: loss {epoch.train_loss:.3f}, "
        f"held out {epoch.validation_loss:.3f}, {words.score} {classes}{', best' if epoch.best else ''}"
    )


@contextmanager
def _stopping(run: Path) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the training after its step; a second Ctrl-C interrupts."""

    def stop(number: int, frame: FrameType | None) -> None:
        (run / "stop").touch()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
