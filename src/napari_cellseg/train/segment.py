"""Training a segmenter: a plain loop as a generator of records.

Every random choice comes from the seed and the number of the epoch, so a run that was
stopped and resumed ends with the same weights as one that was not (on the same device,
with the same number of threads and without a time limit).
"""

import copy
import json
import os
import shutil
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import NOT_ANNOTATED, check_trainable, leave_out
from napari_cellseg.images.quick_hash import quick_hash
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.backends import keep_freed_memory, pick_device, pick_precision
from napari_cellseg.nets.encoders import load_encoder_weights
from napari_cellseg.nets.losses import LOSSES
from napari_cellseg.nets.model import new_model, save_model
from napari_cellseg.nets.segmenters import not_tiled
from napari_cellseg.predict.halo import measure_halo
from napari_cellseg.train.augment import augment, margin_px
from napari_cellseg.train.checkpoint import Kept, Progress, first_model, load_checkpoint
from napari_cellseg.train.passes import Passes
from napari_cellseg.train.planes import Plane, load_planes
from napari_cellseg.train.ranks import OthersEndedError, Ranks
from napari_cellseg.train.rate import TRIALS, try_rates
from napari_cellseg.train.records import (
    Epoch,
    Finished,
    RateFound,
    RateTrial,
    Record,
    Started,
    Step,
    to_line,
)
from napari_cellseg.train.run import read_annotations, read_settings, spec_for, stop_file, write_environment
from napari_cellseg.train.schedule import SCHEDULES, Clock
from napari_cellseg.train.validation import Validation
from napari_cellseg.train.windows import Drawer, WholeDrawer, Window, WindowDrawer, ahead

OPTIMISERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}

VALIDATION_SHARE = 4
"""At most one validation window for this many training windows of an epoch."""

MAX_CLASS_WEIGHT = 10.0

RATE_STREAM = 2**31
"""In place of an epoch's number: the random numbers of the search for a rate."""


def train(run: str | Path, *, resume: bool = False) -> Iterator[Record]:
    """Train the segmenter of a prepared run; yield what happens.

    Closing the generator, or a file ``stop`` in the run folder, ends the training; the
    best network so far is kept in ``best.safetensors``.

    Parameters
    ----------
    run : str or Path
        Folder that `prepare_run` or a project made.
    resume : bool
        Go on from ``last.safetensors`` (from the start where there is none).

    Yields
    ------
    Started, then Step and Epoch, then Finished

    Raises
    ------
    CellsegError
        If the data cannot be trained on, or the run has been trained already and
        `resume` is not asked for.
    """
    run = Path(run)
    if (run / "last.safetensors").exists() and not resume:
        raise CellsegError(f"{run}: has been trained already", "a new run", "give --resume to go on with it")
    stop_file(run).unlink(missing_ok=True)
    training = _Training(run, resume=resume)
    with open(run / "events.jsonl" if training.ranks.first else os.devnull, "a", encoding="utf-8") as events:
        try:
            for record in training.records():
                events.write(to_line(record) + "\n")
                events.flush()
                yield record
        except RuntimeError as error:
            if training.ranks.count == 1:
                raise
            raise OthersEndedError(f"the training on another device ended ({error})") from error
        finally:
            training.close()


class _Training:
    """The parts of one training: data, network, optimiser, clock and where it stands."""

    def __init__(self, run: Path, *, resume: bool) -> None:
        self.run, self.settings = run, read_settings(run)
        settings = self.settings
        annotations = [leave_out(one, settings.left_out) for one in read_annotations(run)]
        self.notices = check_trainable(annotations)
        unsized = [one.image.name for one in annotations if one.image.pixel_nm is None]
        if settings.pixel_nm and unsized:
            these = f"{len(unsized)} of {len(annotations)} images have no pixel size ({unsized[0]})"
            self.notices.append(f"{these}: taken to be the working one, {settings.pixel_nm:g} nm.")
        self.annotations = annotations
        self.spec = spec_for(annotations, settings)
        apart = not_tiled(self.spec.architecture, self.spec.encoder)
        if apart and self.spec.input_px is None:
            self.notices.append(f"{settings.architecture} in blocks is not quite the whole: {apart}.")
        self.device = pick_device(settings.device)
        if self.device == "cpu":
            keep_freed_memory()
        self.precision = pick_precision(settings.precision, self.device)
        self.ranks = Ranks(self.device, self.precision)
        self.fabric = self.ranks.fabric
        torch.manual_seed(settings.seed)
        first = first_model(run, self.spec)
        self.spec, net = first.spec, first.net
        resume = resume and (run / "last.safetensors").exists()
        if settings.pretrained and not resume:
            weights_file = settings.weights_file
            self.notices.append(load_encoder_weights(net, self.spec.encoder, weights_file=weights_file))
        net = self.ranks.prepared(net)
        optimiser = OPTIMISERS[settings.optimiser](
            net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.net, self.optimiser = self.fabric.setup(net.to(memory_format=torch.channels_last), optimiser)
        self.share = self.ranks.share(settings.batch)
        self.cache = run / f"cache{self.ranks.number or ''}"
        self.progress = Progress()
        if resume:
            self.progress = load_checkpoint(run / "last.safetensors", self.net.module, self.optimiser)
        if self.progress.precision:
            self.fabric.strategy.precision.load_state_dict(self.progress.precision)
        self.kept = Kept(run, self.spec, resume=self.progress.best_epoch > 0, writes=self.ranks.first)
        self.clock = Clock(settings, self.progress.seconds)

    def records(self) -> Iterator[Record]:
        settings = self.settings
        self.cache.mkdir(exist_ok=True)
        planes, split = load_planes(self.annotations, self.spec, settings, self.cache)
        self._write("split.json", {"train": split.train, "validation": split.validation})
        drawer = self._drawer(planes)
        self.steps = settings.steps or drawer.steps_for_all(settings.batch)
        limit = max(8, self.steps * settings.batch // VALIDATION_SHARE)
        self.validation = Validation(planes, settings.window_px, settings.batch, limit, self.fabric.device)
        self.weights = self._class_weights(planes)
        self.passes = Passes(
            self.net,
            self._loss,
            self.fabric.backward,
            settings.at_a_time,
            lambda here: self.ranks.alone(self.net, here=here),
        )
        started = Started(
            device=self.device,
            precision=self.precision,
            train_windows=self.steps * settings.batch,
            validation_windows=len(self.validation.places),
            train_images=sum(bool(plane.train.any()) for plane in planes),
            validation_images=sum(bool(plane.validation.any()) for plane in planes),
            parameters=sum(p.numel() for p in self.net.parameters()),
            notices=(*self.notices, *split.notices),
        )
        facts: dict[str, Any] = {"device": self.device, "precision": self.precision}
        facts |= {"devices": self.ranks.count} if self.ranks.count > 1 else {}
        self.environment = write_environment(self.run, facts)
        yield started
        self.highest_rate = yield from self._highest_rate(drawer)
        reason = yield from self._epochs(drawer)
        yield self._finish(reason)

    def _drawer(self, planes: list[Plane]) -> Drawer:
        if self.spec.input_px is not None:
            return WholeDrawer(planes)
        settings = self.settings
        return WindowDrawer(planes, settings.window_px, settings.seed, margin_px(settings))

    def _highest_rate(self, drawer: Drawer) -> Generator[Record, None, float]:
        """Return the highest rate of the schedule; look for it, unless that was done before a resume."""
        file = self.run / "rate.json"
        if not self.settings.find_rate:
            return self.settings.learning_rate
        if self.progress.epoch and file.exists():
            return float(json.loads(file.read_text(encoding="utf-8"))["rate"])
        before = copy.deepcopy((self.net.module.state_dict(), self.optimiser.state_dict()))
        rng = self.ranks.stream(self.settings.seed, RATE_STREAM)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        windows = self._windows(drawer, rng, TRIALS)
        self.net.train()
        trials: list[tuple[float, float]] = []
        search = try_rates(lambda rate: self._step(next(windows), rate, generator)[0])
        rate = yield from _noting(search, trials)
        self._write(file.name, {"rate": rate, "trials": trials})
        self.net.module.load_state_dict(before[0])
        self.optimiser.load_state_dict(before[1])
        yield RateFound(rate)
        return rate

    def _epochs(self, drawer: Drawer) -> Generator[Record, None, str]:
        settings, progress = self.settings, self.progress
        while (left := self.ranks.from_first(self.clock.epochs_left(progress.epoch))) > 0:
            planned = progress.epoch + left
            losses: list[float] = []
            for step, loss in self._steps(drawer, planned):
                losses.append(loss)
                yield step
                if self.ranks.any(stop_file(self.run).exists() or self.clock.left <= 0):
                    break
            stopped = self.ranks.any(stop_file(self.run).exists())
            whole = len(losses) == self.steps
            if whole or progress.best_epoch == 0:
                yield self._validate(float(np.mean(losses)), planned)
            if not whole:
                return "cancelled" if stopped else "time"
            self._checkpoint(always=stopped or progress.epoch == planned)
            if stopped:
                return "cancelled"
            if settings.patience and progress.epoch - progress.best_epoch >= settings.patience:
                return "early stopping"
        return "done" if progress.epoch >= settings.epochs else "time"

    def _steps(self, drawer: Drawer, planned: int) -> Iterator[tuple[Step, float]]:
        settings, progress = self.settings, self.progress
        rng = self.ranks.stream(settings.seed, progress.epoch)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        torch.manual_seed(settings.seed + progress.epoch)  # dropout
        left = (planned - progress.epoch) * self.steps
        rate_of = SCHEDULES[settings.schedule]
        self.right = self.seen = 0
        self.net.train()
        for window in ahead(self._windows(drawer, rng, self.steps)):
            self.rate = self.highest_rate * rate_of(progress.course)
            loss, right, seen = self._step(window, self.rate, generator)
            self.right, self.seen = self.right + right, self.seen + seen
            progress.course += (1 - progress.course) / left
            progress.step, left = progress.step + 1, left - 1
            seconds_left = self.clock.seconds / progress.step * left
            yield Step(progress.step, progress.step + left, loss, seconds_left), loss

    def _step(self, window: Window, rate: float, generator: torch.Generator) -> tuple[float, int, int]:
        """Take one step; return the loss, the pixels that got their class and those annotated."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        images, targets = augment(
            *self._to_device(window),
            generator,
            settings=self.settings,
            window_px=self.settings.window_px,
            moved=self.progress.course < 1 - self.settings.settle,
        )
        loss, right, seen = self.ranks.sums(*self.passes(images, targets))
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss / self.ranks.count, int(right), int(seen)

    def _windows(self, drawer: Drawer, rng: np.random.Generator, steps: int) -> Iterator[Window]:
        return drawer.batches(rng, self.share, steps, self.ranks.number * self.share)

    def _validate(self, train_loss: float, planned: int) -> Epoch:
        progress = self.progress
        scores = self.ranks.from_first(self.validation.scores(self.net, self.spec.outputs, self._loss))
        progress.epoch += 1
        best = self.kept.best is None or scores.score > progress.best_score  # a loss of NaN makes no score
        if best:
            progress.best_epoch, progress.best_score = progress.epoch, scores.score
            self.kept.take(self.net.module)
        return Epoch(
            epoch=progress.epoch,
            epochs=planned,
            train_loss=train_loss,
            validation_loss=scores.loss,
            score=scores.score,
            dice=dict(zip(self.spec.classes.targets, scores.dice[1:], strict=True)),
            learning_rate=self.rate,
            seconds=self.clock.seconds,
            best=best,
            train_accuracy=self.right / self.seen if self.seen else None,
            validation_accuracy=scores.accuracy,
        )

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return LOSSES[self.settings.loss].compute(logits, targets, self.weights)

    def _to_device(self, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [torch.from_numpy(part) for part in window]
        if self.fabric.device.type == "cuda":  # only from pinned memory does the copy not wait
            parts = [part.pin_memory() for part in parts]
        images, targets = (part.to(self.fabric.device, non_blocking=True) for part in parts)
        return images, targets

    def _class_weights(self, planes: list[Plane]) -> torch.Tensor | None:
        if self.settings.class_weighting == "none":
            return None
        found = [np.bincount(p.train.ravel(), minlength=self.spec.outputs + 1)[1:] for p in planes]
        counts = np.sum(found, axis=0)
        weights = np.minimum(counts.sum() / np.maximum(counts, 1) / len(counts), MAX_CLASS_WEIGHT)
        return torch.tensor(weights, dtype=torch.float32, device=self.fabric.device)

    def _checkpoint(self, *, always: bool = False) -> None:
        self.progress.precision = self.fabric.strategy.precision.state_dict()
        self.kept.write(self.net.module, self.optimiser, self.progress, self.clock.seconds, always=always)

    def _finish(self, reason: str) -> Finished:
        """Measure halo and threshold of the best network and write it with where it comes from."""
        best = self.kept.best
        assert best is not None
        self.net.module.load_state_dict(best)
        # Strokes do not hold the classes in the shares that whole images do: they say nothing on this.
        whole = not any(annotation.counts()[NOT_ANNOTATED] for annotation in self.annotations)
        threshold = self.validation.threshold(self.net) if whole and self.spec.outputs == 2 else None
        model = new_model(self.spec)
        model.net.load_state_dict(best)
        progress, settings = self.progress, self.settings
        halo_px = measure_halo(model, self.annotations[0].image)
        images = [annotation.image for annotation in self.annotations]
        provenance = self.environment | {
            "settings": settings.model_dump(mode="json"),
            "images": [image.name for image in images],
            "image_hashes": [quick_hash(image.path) for image in images if image.path],
            "best_epoch": progress.best_epoch,
            "validation_dice": progress.best_score,
            "seconds": round(self.clock.seconds, 1),
            "ended": reason,
        }
        spec = replace(self.spec, halo_px=halo_px, threshold=threshold, provenance=provenance)
        path = self.run / "best.safetensors"
        if self.ranks.first:
            save_model(path, spec, model.net)
        self.kept.written = True
        return Finished(
            model=str(path.resolve()),
            best_epoch=progress.best_epoch,
            score=progress.best_score,
            reason=reason,
            seconds=self.clock.seconds,
            halo_px=halo_px,
            threshold=threshold,
            device_peak_mb=torch.cuda.max_memory_allocated() / 1e6 if self.device[:4] == "cuda" else None,
        )

    def close(self) -> None:
        """Keep the best network of a training that was closed early; remove the cache."""
        try:
            self.kept.write_best()
        finally:
            shutil.rmtree(self.cache, ignore_errors=True)

    def _write(self, name: str, content: object) -> None:
        if self.ranks.first:
            write_whole(self.run / name, json.dumps(content))


def _noting(
    search: Generator[RateTrial, None, float], trials: list[tuple[float, float]]
) -> Generator[RateTrial, None, float]:
    """Yield the trials of a search and keep their rates and losses; returns what it found."""
    while True:
        try:
            trial = next(search)
        except StopIteration as ended:
            return float(ended.value)
        trials.append((trial.rate, trial.loss))
        yield trial
