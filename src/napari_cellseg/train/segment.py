"""Training a segmenter: a plain loop as a generator of records.

Every random choice comes from the seed and the number of the epoch, so a run that was
stopped and resumed ends with the same weights as one that was not (on the same device,
with the same number of threads and without a time limit).
"""

import copy
import json
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import check_trainable
from napari_cellseg.images.quick_hash import quick_hash
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.backends import pick_device, pick_precision
from napari_cellseg.nets.losses import IGNORED, LOSSES
from napari_cellseg.nets.model import HEADER_KEY, load_model, new_model, save_model, save_tensors
from napari_cellseg.nets.segmenters import load_encoder_weights
from napari_cellseg.predict.halo import measure_halo
from napari_cellseg.train.augment import augment
from napari_cellseg.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from napari_cellseg.train.records import Epoch, Finished, Record, Started, Step, to_line
from napari_cellseg.train.run import read_annotations, read_settings, spec_for, stop_file, write_environment
from napari_cellseg.train.schedule import SCHEDULES, Clock
from napari_cellseg.train.windows import (
    Plane,
    WindowDrawer,
    load_planes,
    validation_batches,
    validation_windows,
)

FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}
VALIDATION_SHARE = 4
"""At most one validation window for this many training windows of an epoch."""

CHECKPOINT_SHARE = 0.05
"""Writing checkpoints may take this share of the time; the first epoch always writes one."""

MAX_CLASS_WEIGHT = 10.0


def train(run: str | Path, *, resume: bool = False) -> Iterator[Record]:
    """Train the segmenter of a prepared run; yield what happens.

    Closing the generator, or a file ``stop`` in the run folder, ends the training; the
    best network so far is kept in ``best.safetensors``.

    Parameters
    ----------
    run : path
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
    with open(run / "events.jsonl", "a", encoding="utf-8") as events:
        try:
            for record in training.records():
                events.write(to_line(record) + "\n")
                events.flush()
                yield record
        finally:
            training.close()


@dataclass
class _Best:
    """The best network so far, and whether it is on disk."""

    weights: dict[str, torch.Tensor]
    written: bool = False


class _Training:
    """The parts of one training: data, network, optimiser, clock and where it stands."""

    def __init__(self, run: Path, *, resume: bool) -> None:
        self.run, self.settings = run, read_settings(run)
        settings = self.settings
        if settings.loss not in LOSSES:
            raise CellsegError(f"unknown loss {settings.loss!r}", f"one of {', '.join(LOSSES)}")
        annotations = read_annotations(run)
        self.notices = check_trainable(annotations)
        self.annotations = annotations
        self.spec = spec_for(annotations, settings)
        if settings.window_px % self.spec.stride:
            raise CellsegError(
                f"window of {settings.window_px} px",
                f"a multiple of {self.spec.stride} with {settings.depth} levels",
            )
        self.device = pick_device(settings.device)
        self.precision = pick_precision(settings.precision, self.device)
        torch.manual_seed(settings.seed)
        net = new_model(self.spec).net
        resume = resume and (run / "last.safetensors").exists()
        if settings.pretrained and not resume:
            weights_file = settings.weights_file
            self.notices.append(load_encoder_weights(net, settings.encoder, weights_file=weights_file))
        kind, _, index = self.device.partition(":")
        self.fabric = Fabric(
            accelerator=kind, devices=[int(index)] if index else 1, precision=FABRIC_PRECISION[self.precision]
        )
        optimiser = torch.optim.AdamW(
            net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.net, self.optimiser = self.fabric.setup(net.to(memory_format=torch.channels_last), optimiser)
        self.progress = Progress()
        self.best: _Best | None = None
        if resume:
            self._take_up(run)
        self.clock = Clock(settings, self.progress.seconds)
        self._saving = 0.0

    def _take_up(self, run: Path) -> None:
        self.progress = load_checkpoint(run / "last.safetensors", self.net.module, self.optimiser)
        if self.progress.best_epoch:
            self.best = _Best(dict(load_model(run / "best.safetensors").net.state_dict()), written=True)
        if self.progress.precision:
            self.fabric.strategy.precision.load_state_dict(self.progress.precision)

    def records(self) -> Iterator[Record]:
        settings = self.settings
        cache = self.run / "cache"
        cache.mkdir(exist_ok=True)
        planes, split = load_planes(self.annotations, self.spec.pixel_nm, settings, cache)
        write_whole(
            self.run / "split.json", json.dumps({"train": split.train, "validation": split.validation})
        )
        drawer = WindowDrawer(planes, settings.window_px, settings.seed)
        limit = max(8, settings.steps * settings.batch // VALIDATION_SHARE)
        places = validation_windows(planes, settings.window_px, limit)
        self.weights = self._class_weights(planes)
        started = Started(
            device=self.device,
            precision=self.precision,
            train_windows=settings.steps * settings.batch,
            validation_windows=len(places),
            train_images=sum(bool(plane.train.any()) for plane in planes),
            validation_images=sum(bool(plane.validation.any()) for plane in planes),
            parameters=sum(p.numel() for p in self.net.parameters()),
            notices=(*self.notices, *split.notices),
        )
        self.environment = write_environment(self.run, {"device": self.device, "precision": self.precision})
        yield started
        reason = yield from self._epochs(drawer, planes, places)
        yield self._finish(reason)

    def _epochs(
        self, drawer: WindowDrawer, planes: list[Plane], places: list[Any]
    ) -> Generator[Record, None, str]:
        settings, progress = self.settings, self.progress
        while self.clock.epochs_left(progress.epoch) > 0:
            planned = progress.epoch + self.clock.epochs_left(progress.epoch)
            losses: list[float] = []
            for step, loss in self._steps(drawer, planned):
                losses.append(loss)
                yield step
                if stop_file(self.run).exists() or self.clock.left <= 0:
                    break
            stopped = stop_file(self.run).exists()
            whole = len(losses) == settings.steps
            if whole or progress.best_epoch == 0:
                yield self._validate(planes, places, float(np.mean(losses)), planned)
            if not whole:
                return "cancelled" if stopped else "time"
            self._checkpoint(always=stopped or progress.epoch == planned)
            if stopped:
                return "cancelled"
            if settings.patience and progress.epoch - progress.best_epoch >= settings.patience:
                return "early stopping"
        return "done" if progress.epoch >= settings.epochs else "time"

    def _steps(self, drawer: WindowDrawer, planned: int) -> Iterator[tuple[Step, float]]:
        settings, progress = self.settings, self.progress
        rng = np.random.default_rng([settings.seed, progress.epoch])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        left = (planned - progress.epoch) * settings.steps
        loss_of, rate_of = LOSSES[settings.loss].compute, SCHEDULES[settings.schedule]
        self.net.train()
        for _ in range(settings.steps):
            self.rate = settings.learning_rate * rate_of(progress.course)
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate
            images, targets = augment(
                *self._to_device(drawer.draw(rng, settings.batch)), generator, settings=settings
            )
            images = images.contiguous(memory_format=torch.channels_last)
            loss = loss_of(self.net(images).float(), targets, self.weights)
            self.fabric.backward(loss)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            progress.course += (1 - progress.course) / left
            progress.step, left = progress.step + 1, left - 1
            seconds_left = self.clock.seconds / progress.step * left
            yield Step(progress.step, progress.step + left, loss.item(), seconds_left), loss.item()

    def _validate(self, planes: list[Plane], places: list[Any], train_loss: float, planned: int) -> Epoch:
        settings, progress = self.settings, self.progress
        outputs = self.spec.outputs
        confusion = np.zeros((outputs, outputs), np.int64)
        losses = []
        self.net.eval()
        with torch.no_grad():
            for window in validation_batches(planes, places, settings.window_px, settings.batch):
                images, targets = self._to_device(window)
                logits = self.net(images.contiguous(memory_format=torch.channels_last)).float()
                losses.append(LOSSES[settings.loss].compute(logits, targets, self.weights).item())
                known = targets != IGNORED
                pairs = targets[known] * outputs + logits.argmax(1)[known]
                confusion += (
                    torch.bincount(pairs, minlength=outputs**2).reshape(outputs, outputs).cpu().numpy()
                )
        dice = _dice(confusion)
        known_dice = [value for value in dice[1:] if value is not None]
        # A validation part without any class: its loss is all there is to go by.
        score = float(np.mean(known_dice)) if known_dice else 1 / (1 + float(np.mean(losses)))
        progress.epoch += 1
        best = self.best is None or score > progress.best_score  # a loss of NaN makes no score
        if best:
            progress.best_epoch, progress.best_score = progress.epoch, score
            self.best = _Best(copy.deepcopy(dict(self.net.module.state_dict())))
        return Epoch(
            epoch=progress.epoch,
            epochs=planned,
            train_loss=train_loss,
            validation_loss=float(np.mean(losses)),
            score=score,
            dice=dict(zip(self.spec.classes.targets, dice[1:], strict=True)),
            learning_rate=self.rate,
            seconds=self.clock.seconds,
            best=best,
        )

    def _to_device(self, window: tuple[NDArray[Any], NDArray[Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        images, targets = (
            torch.from_numpy(part).to(self.fabric.device, non_blocking=True) for part in window
        )
        return images, targets

    def _class_weights(self, planes: list[Plane]) -> torch.Tensor | None:
        if self.settings.class_weighting == "none":
            return None
        found = [np.bincount(p.train.ravel(), minlength=self.spec.outputs + 1)[1:] for p in planes]
        counts = np.sum(found, axis=0)
        weights = np.minimum(counts.sum() / np.maximum(counts, 1) / len(counts), MAX_CLASS_WEIGHT)
        return torch.tensor(weights, dtype=torch.float32, device=self.fabric.device)

    def _checkpoint(self, *, always: bool = False) -> None:
        """Write best and last network, unless that would take more than its share of the time."""
        progress = self.progress
        if not always and self.clock.seconds - progress.seconds < self._saving / CHECKPOINT_SHARE:
            return
        began = time.monotonic()
        if self.best is not None and not self.best.written:
            self._write_best()
        progress.seconds = self.clock.seconds
        progress.precision = self.fabric.strategy.precision.state_dict()
        save_checkpoint(self.run / "last.safetensors", self.spec, self.net.module, self.optimiser, progress)
        self._saving = time.monotonic() - began

    def _write_best(self) -> None:
        assert self.best is not None
        save_tensors(
            self.run / "best.safetensors", self.best.weights, {HEADER_KEY: json.dumps(self.spec.to_json())}
        )
        self.best.written = True

    def _finish(self, reason: str) -> Finished:
        """Measure the halo of the best network and write it with where it comes from."""
        assert self.best is not None
        model = new_model(self.spec)
        model.net.load_state_dict(self.best.weights)
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
        spec = replace(self.spec, halo_px=halo_px, provenance=provenance)
        path = save_model(self.run / "best.safetensors", spec, model.net)
        self.best.written = True
        return Finished(
            str(path.resolve()), progress.best_epoch, progress.best_score, reason, self.clock.seconds, halo_px
        )

    def close(self) -> None:
        """Keep the best network of a training that was closed early; remove the cache."""
        if self.best is not None and not self.best.written:
            self._write_best()
        shutil.rmtree(self.run / "cache", ignore_errors=True)


def _dice(confusion: NDArray[np.int64]) -> list[float | None]:
    """Return the Dice of each class from counts (truth, predicted); None where there is none."""
    total = confusion.sum(0) + confusion.sum(1)
    truth = confusion.sum(1)
    return [
        float(2 * hit / both) if own else None
        for hit, both, own in zip(confusion.diagonal(), total, truth, strict=True)
    ]
