"""Making a model smaller and faster, and saying what that cost: pruned and trained on, or in 8 bits."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import Polarity
from napari_cellseg.images.annotation import leave_out
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.nets.backends import Forward, prepare
from napari_cellseg.nets.int8 import missing, save_int8
from napari_cellseg.nets.losses import LOSSES
from napari_cellseg.nets.model import Model, load_model, save_model
from napari_cellseg.nets.model_cache import cache_folder
from napari_cellseg.nets.pruning import prune
from napari_cellseg.settings import CompressSettings, TrainSettings
from napari_cellseg.train.files import MODEL_SUFFIX, model_run, prepare_files
from napari_cellseg.train.planes import load_planes
from napari_cellseg.train.records import Record
from napari_cellseg.train.run import START, read_annotations, read_json, read_settings, spec_for, write_run
from napari_cellseg.train.segment import train
from napari_cellseg.train.validation import Validation
from napari_cellseg.train.windows import WholeDrawer, WindowDrawer

COMPARED = ("architecture", "encoder", "classes", "channels", "options", "pixel_nm", "shrink", "input_px")
"""What the spec of a run must have in common with the model."""

TILE_PX, TIMED_RUNS = 512, 7
CALIBRATION_WINDOWS = 128
MOST_VALIDATION_WINDOWS = 512


@dataclass(frozen=True)
class Figures:
    """What a model costs and how good it is.

    Attributes
    ----------
    megabytes : float
        Of its file, in 10**6 bytes.
    tile_ms : float
        Milliseconds that a tile of 512 x 512 px takes, on the fastest backend here.
    score : float
        Mean Dice (the same as F1) of the classes but background on the validation part.
    """

    megabytes: float
    tile_ms: float
    score: float


@dataclass(frozen=True)
class Compressed:
    """A model was compressed; the last record.

    Attributes
    ----------
    before, after : Figures
    most_loss : float
        What the score may lose.
    kept : bool
        Whether the model was written.
    """

    before: Figures
    after: Figures
    most_loss: float
    kept: bool

    @property
    def loss(self) -> float:
        """By how much the score falls."""
        return self.before.score - self.after.score

    @property
    def faster(self) -> float:
        """How many times as fast a tile is."""
        return self.before.tile_ms / self.after.tile_ms


def compress(
    model: Model, out: Path, run: Path, *, settings: CompressSettings, overwrite: bool = False
) -> Iterator[Record | Compressed]:
    """Prune a model and train it on, or put it into 8 bits; yield what happens, at last the figures.

    A pruned model has a run of its own beside it, as `train.files.model_run` names it.

    Parameters
    ----------
    model : Model
        As `load_model` returned it.
    out : Path
        Model file to write.
    run : Path
        Run folder with the images and labels the model was trained on, and their split; see `find_run`.
    settings : CompressSettings
    overwrite : bool
        Replace a file that is there.

    Yields
    ------
    records of the training, if there is one, then Compressed

    Raises
    ------
    CellsegError
        If the model is compressed already or cannot be, the run does not fit it, a package is missing,
        or the score falls by more than is allowed; then nothing is written.
    """
    _check(model, out, settings, overwrite)
    parent = {"parent": model.path.name if model.path else "", "parent_sha256": model.sha256}
    noted = model.spec.provenance | {"compressed": parent | settings.model_dump(include={"int8", "prune"})}
    with tempfile.TemporaryDirectory(prefix="cellseg-planes-") as folder:
        held_out = _HeldOut(model, run, Path(folder))
        if settings.int8:
            with replace_whole(out) as part:
                save_int8(part, replace(model, spec=replace(model.spec, provenance=noted)), held_out.seen())
                yield from _judged(model, part, held_out, settings)
            return
        assert settings.prune is not None
        thin = prune(model, settings.prune)
        with replace_whole(model_run(out, overwrite=overwrite)) as own_run, replace_whole(out) as part:
            write_run(own_run, _data_of(run), _tuning(held_out.settings, settings))
            save_model(own_run / START, thin.spec, thin.net)
            yield from train(own_run)
            trained = load_model(own_run / "best.safetensors")
            noted = trained.spec.provenance | {"compressed": noted["compressed"]}
            save_model(part, replace(trained.spec, provenance=noted), trained.net)
            yield from _judged(model, part, held_out, settings)


def find_run(model: Model) -> Path:
    """Return the run folder a model came from: beside it, or the one it lies in.

    Raises
    ------
    CellsegError
        If there is none.
    """
    path = model.path or Path()
    for run in (path.with_suffix(".run"), path.parent):
        if (run / "data.json").is_file() and (run / "settings.json").is_file():
            return run
    raise CellsegError(
        f"{path}: the run it was trained in is not beside it",
        f"{path.with_suffix('.run').name}, to calibrate or train on and to score",
        "give --run DIR, or --images and --masks",
    )


def run_of_files(
    run: Path, model: Model, images: Sequence[str], masks: Sequence[str], polarity: Polarity | None = None
) -> None:
    """Make a run folder of image and mask files for a model, with the settings it was trained with.

    Parameters
    ----------
    run, images, masks, polarity
        As in `train.files.prepare_files`.
    model : Model

    Raises
    ------
    CellsegError
        If the model does not say how it was trained, or as `prepare_files` does.
    """
    trained_with = model.spec.provenance.get("settings")
    if not isinstance(trained_with, dict):
        raise CellsegError("a model that does not say how it was trained", "its run", "give --run DIR")
    names = () if polarity == "instances" else model.spec.classes.targets
    settings = TrainSettings.checked(trained_with)
    if model.spec.shrink == 1 and settings.prepare == "tiles":  # the new images may have another pixel size
        settings = settings.model_copy(update={"pixel_nm": model.spec.pixel_nm})
    prepare_files(run, images, masks, polarity=polarity, classes=names, settings=settings)


class _HeldOut:
    """What a model was trained on and what was held out, read once."""

    def __init__(self, model: Model, run: Path, folder: Path) -> None:
        self.settings, self.spec = read_settings(run), model.spec
        annotations = [leave_out(one, self.settings.left_out) for one in read_annotations(run)]
        theirs = spec_for(annotations, self.settings)
        for name in COMPARED:
            if getattr(theirs, name) != getattr(model.spec, name):
                raise CellsegError(f"{run}: a run with other {name} than the model", "the run of this model")
        self._planes, _ = load_planes(annotations, model.spec, self.settings, folder)

    def seen(self) -> NDArray[np.float32]:
        """Return windows (n, c, y, x) that were learned from."""
        settings, rng = self.settings, np.random.default_rng(self.settings.seed)
        if self.spec.input_px is not None:
            return next(WholeDrawer(self._planes).batches(rng, CALIBRATION_WINDOWS, 1))[0]
        return WindowDrawer(self._planes, settings.window_px, settings.seed).draw(rng, CALIBRATION_WINDOWS)[0]

    def score(self, forward: Forward) -> float:
        """Return the mean Dice of the classes but background on what was held out."""
        validation = Validation(
            self._planes, self.settings.window_px, 1, MOST_VALIDATION_WINDOWS, torch.device("cpu")
        )

        def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return LOSSES[self.settings.loss].compute(logits, targets, None)

        return validation.scores(_Logits(forward), self.spec.outputs, loss).score


class _Logits(torch.nn.Module):
    """What a backend says, as if a network had said it."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self._run = forward

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._run(images.numpy())).clamp_min(1e-9).log()


def _check(model: Model, out: Path, settings: CompressSettings, overwrite: bool) -> None:
    if settings.int8 == (settings.prune is not None):
        both = "both --int8 and --prune" if settings.int8 else "neither --int8 nor --prune"
        raise CellsegError(both, "one of them", "to have both, prune first, then put the result into 8 bits")
    if model.spec.int8:
        raise CellsegError("a model that is in 8 bits already", "the model it was made of")
    if out.suffix != MODEL_SUFFIX:
        raise CellsegError(f"--out {out}", f"a name that ends in {MODEL_SUFFIX}")
    if model.path is not None and out.resolve() == model.path.resolve():
        raise CellsegError(f"--out {out}: the model itself", "another name")
    if out.exists() and not overwrite:
        raise CellsegError(f"{out}: exists already", remedy="choose another --out or give --overwrite")
    if settings.int8 and missing():
        raise CellsegError(f"--int8: {missing()}")


def _data_of(run: Path) -> dict[str, Any]:
    """Return what a run learns from, for a run elsewhere."""
    data = read_json(run / "data.json")
    images = [
        entry | {key: str((run / entry[key]).resolve()) for key in ("path", "labels")}
        for entry in data["images"]
    ]
    return data | {"images": images}


def _tuning(trained_with: TrainSettings, settings: CompressSettings) -> TrainSettings:
    """Return how a pruned network is trained on: as before, for a shorter time, from its own weights."""
    return trained_with.model_copy(
        update={
            "pretrained": False,
            "weights_file": "",
            "find_rate": False,
            "patience": 0,
            "epochs": settings.epochs,
            "minutes": settings.minutes,
        }
    )


def _judged(model: Model, part: Path, held_out: _HeldOut, settings: CompressSettings) -> Iterator[Compressed]:
    """Yield the figures of a model and of the smaller one in a file; refuse one that lost too much."""
    smaller = load_model(part)
    device = "cpu" if settings.int8 else "auto"
    forwards = [
        prepare(one, backend="openvino" if one.spec.int8 else "auto", device=device)
        for one in (model, smaller)
    ]
    times = _tile_ms(forwards, model)
    before, after = (
        Figures(round(path.stat().st_size / 1e6, 2), round(taken, 2), held_out.score(forward))
        for path, taken, forward in zip((model.path or part, part), times, forwards, strict=True)
    )
    lost = before.score - after.score
    kept = lost <= settings.max_loss or settings.keep_anyway
    yield Compressed(before, after, settings.max_loss, kept)
    if not kept:
        cache = cache_folder(smaller)
        if cache is not None:
            shutil.rmtree(cache, ignore_errors=True)
        raise CellsegError(
            f"the score falls by {lost:.4f}",
            f"at most {settings.max_loss:g}",
            f"give --keep-anyway{'' if settings.int8 else ', a smaller --prune or more --epochs'}",
        )


def _tile_ms(forwards: Sequence[Forward], model: Model) -> list[float]:
    """Return the milliseconds a tile takes with each, measured in turn; the least of several."""
    spec = model.spec
    side = spec.input_px or max(1, TILE_PX // spec.stride) * spec.stride
    tile = np.random.default_rng(0).normal(size=(1, spec.channels, side, side)).astype(np.float32)
    taken: list[list[float]] = [[] for _ in forwards]
    for _ in range(1 + TIMED_RUNS):
        for forward, times in zip(forwards, taken, strict=True):
            began = time.perf_counter()
            forward(tile)
            times.append(1e3 * (time.perf_counter() - began))
    return [min(times[1:]) for times in taken]  # the first one compiles
