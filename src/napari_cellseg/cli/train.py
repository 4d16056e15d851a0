"""`napari-cellseg train`."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cellseg.cli.app import INTERRUPTED, OK, Flag, Many, Polarity, app
from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import TrainSettings

if TYPE_CHECKING:
    from napari_cellseg.train.records import Epoch, Started

DEFAULTS = TrainSettings()


@app.command
def train(
    model: Path | None = None,
    /,
    *,
    images: Many = None,
    masks: Many = None,
    polarity: Polarity | None = None,
    classes: str = "",
    run: Path | None = None,
    resume: Flag = False,
    overwrite: Flag = False,
    events: Flag = False,
    settings: Annotated[TrainSettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Train a segmenter from images and masks, or a run that was prepared before.

    Parameters
    ----------
    model
        Model file to write (.safetensors); the run is kept beside it as MODEL.run.
    images
        Images: files, folders or quoted globs.
    masks
        Their masks, found by the same stem or a common beginning of it.
    polarity
        Which side of a two-valued mask is the class, or labels for class numbers; default: the brighter side.
    classes
        Names of the classes, separated by commas.
    run
        A run folder prepared by the viewer or by an earlier call, instead of MODEL and files.
    resume
        Go on where the run stopped, with the settings it was started with.
    overwrite
        Replace an existing model and its run.
    events
        Print every progress record as a JSON line on stdout.
    """
    from napari_cellseg.train.files import model_run, prepare_files

    if (run is None) == (model is None):
        raise CellsegError(
            "neither MODEL nor --run" if run is None else "both MODEL and --run", "one of them"
        )
    if run is None and model is not None:
        run = model_run(model, resume=resume, overwrite=overwrite)
        if not (resume and run.is_dir()):
            names = [name.strip() for name in classes.split(",") if name.strip()]
            chosen = settings_given(settings)
            for line in prepare_files(
                run, images or [], masks or [], polarity=polarity, classes=names, settings=chosen
            ):
                print(line, file=sys.stderr)
    elif settings.model_fields_set or images or masks:
        raise CellsegError(
            "settings or files beside --run", "the settings in the run folder", "leave them out"
        )
    assert run is not None
    return _train(run, model, resume=resume, events=events)


def settings_given(settings: TrainSettings) -> TrainSettings:
    """Return the settings with those that were not given taken from the preset."""
    from napari_cellseg.nets.presets import settings_from

    return settings_from(settings.preset, settings.model_dump(include=settings.model_fields_set))


def _train(run: Path, model: Path | None, *, resume: bool, events: bool) -> int:
    """Train the run, show how it goes, and copy the best model to `model`."""
    from napari_cellseg.report.progress import Progress, duration
    from napari_cellseg.train.files import copy_model
    from napari_cellseg.train.records import Epoch, Finished, RateFound, RateTrial, Started, Step, to_line
    from napari_cellseg.train.segment import train as train_run

    finished: Finished | None = None
    with _stopping(run), Progress("training") as progress:
        for record in train_run(run, resume=resume):
            if events:
                print(to_line(record), flush=True)
            if isinstance(record, Step):
                progress.show(
                    record.step, record.steps, f"loss {record.loss:.3f}, {duration(record.seconds_left)} left"
                )
            elif isinstance(record, RateTrial):
                progress.show(record.step, record.steps, f"looking for a rate: {record.rate:.1e}")
            elif isinstance(record, RateFound):
                progress.say(f"learning rate {record.rate:.2e}, where the loss fell fastest")
            elif isinstance(record, Started):
                for line in _introduction(record):
                    progress.say(line)
            elif isinstance(record, Epoch):
                progress.say(_epoch_line(record))
            elif isinstance(record, Finished):
                finished = record
    assert finished is not None
    best = run / finished.model
    if model is not None:
        copy_model(best, model)
    if not events:
        print(model or best)
    print(
        f"{finished.reason} after {duration(finished.seconds)}: the best epoch is {finished.best_epoch} "
        f"with Dice {finished.score:.4f}; the run is kept in {run}",
        file=sys.stderr,
    )
    if finished.reason != "cancelled":
        return OK
    print("napari-cellseg: stopped; the best so far is kept; give --resume to go on", file=sys.stderr)
    return INTERRUPTED


def _introduction(started: "Started") -> list[str]:
    """Return the lines that say what is trained on what."""
    return [
        f"on {started.device} in {started.precision}: {started.parameters / 1e6:.1f} M parameters, "
        f"{started.train_windows} windows of {started.train_images} images to learn from, "
        f"{started.validation_windows} windows of {started.validation_images} images held out",
        *started.notices,
    ]


def _epoch_line(epoch: "Epoch") -> str:
    classes = ", ".join(
        f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in epoch.dice.items()
    )
    return (
        f"epoch {epoch.epoch} of {epoch.epochs}: loss {epoch.train_loss:.3f}, "
        f"held out {epoch.validation_loss:.3f}, Dice {classes}{', best' if epoch.best else ''}"
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
