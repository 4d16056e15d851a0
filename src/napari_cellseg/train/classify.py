"""Training a classifier of single cells: a plain loop as a generator of records.

As with segmenters every random choice comes from the seed and the number of the epoch, so a run
that was stopped and resumed ends with the same weights.
"""

import copy
import json
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.backends import autocast, keep_freed_memory, pick_device, pick_precision
from napari_cellseg.nets.cell_nets import CellNet
from napari_cellseg.nets.classifiers import load_backbone_weights
from napari_cellseg.nets.confidence import class_thresholds, fit_temperature, softmax
from napari_cellseg.nets.model import load_model, new_model, save_model
from napari_cellseg.settings import ClassifierSettings
from napari_cellseg.train.boosted import boosted_probabilities
from napari_cellseg.train.cell_tables import BASELINE, PREDICTIONS, write_predictions
from napari_cellseg.train.cells import (
    Fed,
    augmented,
    cell_spec,
    find_start,
    logits_of,
    open_cells,
    standardise,
)
from napari_cellseg.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from napari_cellseg.train.crop_run import read_crop_data, read_crop_settings
from napari_cellseg.train.pictures import embed_all, fit_all, told
from napari_cellseg.train.records import Epoch, Finished, Reading, Record, Started, Step, to_line
from napari_cellseg.train.run import stop_file, write_environment
from napari_cellseg.train.schedule import SCHEDULES, Clock

OPTIMISERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
LAST = "last.safetensors"
CHECKPOINT_SHARE = 0.05
"""Writing checkpoints may take this share of the time."""

LOOKED_AT = 256
"""Cells that are predicted together."""


def train_classifier(run: str | Path, *, resume: bool = False) -> Iterator[Record]:
    """Train the classifier of a prepared run; yield what happens.

    Closing the generator, or a file ``stop`` in the run folder, ends the training; the best
    network so far is kept in ``best.safetensors``.

    Parameters
    ----------
    run : str or Path
        Folder that `prepare_crop_run` made.
    resume : bool
        Go on from ``last.safetensors`` (from the start where there is none).

    Yields
    ------
    Reading, Started, then Step and Epoch, then Finished

    Raises
    ------
    CellsegError
        If the cells cannot be trained on, or the run has been trained already and `resume` is not
        asked for.
    """
    run = Path(run)
    if (run / LAST).exists() and not resume:
        raise CellsegError(f"{run}: has been trained already", "a new run", "give --resume to go on with it")
    stop_file(run).unlink(missing_ok=True)
    training = _Training(run, resume=resume)
    with open(run / "events.jsonl", "a", encoding="utf-8") as events:
        try:
            for record in training.records():
                if not isinstance(record, Reading):
                    events.write(to_line(record) + "\n")
                    events.flush()
                yield record
        finally:
            training.close()


class _Training:
    """The parts of one training: cells, network, optimiser, clock and where it stands."""

    def __init__(self, run: Path, *, resume: bool) -> None:
        self.run, self.settings, self.data = run, read_crop_settings(run), read_crop_data(run)
        self.resume = resume and (run / LAST).exists()
        self.device = pick_device(self.settings.device)
        if self.device == "cpu":
            keep_freed_memory()
        precision = pick_precision(self.settings.precision, self.device)
        self.precision = "float32" if precision == "float16" else precision  # it would need scaled losses
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] | None = None
        self.written = self.whole = True
        self._saving = 0.0

    def records(self) -> Iterator[Record]:
        self.cells = yield from open_cells(self.data, self.settings)
        self.embeddings = self.run / (self.data.embeddings or "embeddings")
        settings, weights, said = self._start()
        self.spec = cell_spec(self.cells, settings, self.embeddings)
        torch.manual_seed(settings.seed)
        self.net = new_model(self.spec).net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._load(weights)
        notices = self.cells.notices + said
        self.fed = yield from self._feed()
        if not self.resume:
            own = settings.frozen and (weights is None or settings.head == "linear")
            standardise(self.net, self.fed, self.cells.split.train, features=own)
        self._set_up()
        split = self.cells.split
        yield Started(
            device=self.device,
            precision=self.precision,
            train_windows=len(split.train),
            validation_windows=len(split.validation),
            train_images=len(np.unique(self.cells.crops.samples[split.train])),
            validation_images=len(np.unique(self.cells.crops.samples[split.validation])),
            parameters=sum(p.numel() for p in self.net.parameters()),
            notices=notices,
        )
        facts = {"device": self.device, "precision": self.precision, "notices": notices}
        self.environment = write_environment(self.run, facts)
        ids = {name: self.cells.crops.ids[part].tolist() for name, part in split.parts.items()}
        write_whole(self.run / "split.json", json.dumps(ids))
        reason = yield from self._epochs()
        if self.whole:
            self._write_last()
        yield self._finish(reason)

    def _start(self) -> tuple[ClassifierSettings, Path | None, tuple[str, ...]]:
        if not self.resume:
            self.settings, weights, said = find_start(self.settings)
            return self.settings, weights, said
        known = load_model(self.run / LAST, task="classify").spec.architecture
        self.settings = self.settings.model_copy(update={"architecture": known})
        return self.settings, None, ()

    def _load(self, weights: Path | None) -> None:
        if self.resume:
            self.net.load_state_dict(load_model(self.run / LAST, task="classify").net.state_dict())
        elif weights is not None:
            load_backbone_weights(self.net, self.spec.architecture, weights)

    def _feed(self) -> Generator[Reading, None, Fed]:
        seen = told(self.cells.seen, self.settings.measured)
        rows: NDArray[np.float16]
        if self.settings.frozen:
            self.net.eval()
            rows = yield from embed_all(
                self.cells.crops,
                self.cells.seen.digests,
                self.spec,
                self.net,
                self.embeddings,
                device=self.device,
                precision=self.precision,
            )
        else:
            rows = yield from fit_all(self.cells.crops, self.spec, self.run / "cache" / "pictures.npy")
        return Fed(rows, seen, self.cells.classes, self.settings.frozen)

    def _set_up(self) -> None:
        settings = self.settings
        self.trained = self.net.heads if settings.frozen else self.net
        self.optimiser = OPTIMISERS[settings.optimiser](
            self.trained.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,  # a step of head I on ResNet50 takes 3 ms in place of 18
        )
        if self.resume:
            self.progress = load_checkpoint(self.run / LAST, self.net, self.optimiser)
            if (self.run / "best.safetensors").is_file():
                best = load_model(self.run / "best.safetensors", task="classify").net
                self.best = self._trained_of(best)
            else:  # the process ended between the two files
                self.best = self._trained_of(self.net)
                self.progress.best_epoch, self.progress.best_score = self.progress.epoch, float("-inf")
        self.clock = Clock(settings, self.progress.seconds)
        counts = np.bincount(self.cells.classes[self.cells.split.train], minlength=len(self.spec.classes))
        shares = counts / counts.sum()
        weights = np.where(counts > 0, np.maximum(shares, 1e-9), 1.0) ** -settings.balance
        self.weights = torch.tensor(weights / (weights * shares).sum(), dtype=torch.float32).to(self.device)

    def _trained_of(self, net: CellNet) -> dict[str, torch.Tensor]:
        """Return copies of the weights that training changes."""
        kept = "heads." if self.settings.frozen else ""
        state = net.state_dict()
        return {name: state[name].detach().clone() for name in state if name.startswith(kept)}

    def _epochs(self) -> Generator[Record, None, str]:
        settings, progress = self.settings, self.progress
        while self.clock.epochs_left(progress.epoch) > 0:
            planned = progress.epoch + self.clock.epochs_left(progress.epoch)
            losses: list[float] = []
            self.whole = True
            for step, loss in self._steps(planned):
                losses.append(loss)
                yield step
                if stop_file(self.run).exists() or self.clock.left <= 0:
                    self.whole = False
                    break
            stopped = stop_file(self.run).exists()
            if self.whole or progress.best_epoch == 0:
                yield self._validate(float(np.mean(losses)), planned)
            if stopped or not self.whole:
                return "cancelled" if stopped else "time"
            if settings.patience and progress.epoch - progress.best_epoch >= settings.patience:
                return "early stopping"
            if progress.epoch < planned:
                self._checkpoint()
        return "done" if progress.epoch >= settings.epochs else "time"

    def _steps(self, planned: int) -> Iterator[tuple[Step, float]]:
        settings, progress = self.settings, self.progress
        rng = np.random.default_rng([settings.seed, progress.epoch])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        torch.manual_seed(settings.seed + progress.epoch)  # dropout
        batches = list(self.fed.batches(self.cells.split.train, settings.batch, rng))
        left = (planned - progress.epoch) * len(batches)
        self.right = self.seen = 0
        self.trained.train()
        self.net.training = True
        for chosen in batches:
            self.rate = settings.learning_rate * SCHEDULES[settings.schedule](progress.course)
            loss = self._step(chosen, generator)
            progress.course += (1 - progress.course) / left
            progress.step, left = progress.step + 1, left - 1
            yield Step(progress.step, progress.step + left, loss, self._seconds_left(left)), loss

    def _seconds_left(self, left: int) -> float:
        return self.clock.seconds / self.progress.step * left

    def _step(self, chosen: NDArray[np.intp], generator: torch.Generator) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        rows, told_, classes = self.fed.batch(chosen, self.device)
        with torch.no_grad():
            rows = augmented(rows, self.fed, generator, self.settings)
        with autocast(self.device, self.precision):
            logits = logits_of(self.net, self.fed, rows, told_)
        loss = torch.stack([self._loss(member.float(), classes) for member in logits]).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.right += int((logits.float().mean(0).argmax(1) == classes).sum())
        self.seen += len(classes)
        return float(loss.item())

    def _loss(self, logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        smoothing = self.settings.label_smoothing if self.net.training else 0.0
        each = torch.nn.functional.cross_entropy(logits, classes, reduction="none", label_smoothing=smoothing)
        return (each * self.weights[classes]).mean()

    def _logits(self, chosen: NDArray[np.intp], *, views: int = 1) -> NDArray[np.float32]:
        """Return the logits (n, k) of some cells, in their order."""
        self.net.eval()
        found: list[NDArray[np.float32]] = []
        with torch.inference_mode(), autocast(self.device, self.precision):
            for part in self.fed.batches(chosen, LOOKED_AT):
                rows, told_, _ = self.fed.batch(part, self.device)
                found.append(logits_of(self.net, self.fed, rows, told_, views=views)[0].float().cpu().numpy())
        return np.concatenate(found)

    def _validate(self, train_loss: float, planned: int) -> Epoch:
        progress, part = self.progress, self.cells.split.validation
        truth, logits = self.cells.classes[part], self._logits(part)
        loss = float(
            self._loss(torch.from_numpy(logits).to(self.device), torch.from_numpy(truth).to(self.device))
        )
        by_class = self._f1(truth, logits)
        progress.epoch += 1
        score = _mean(by_class)
        reached = score if self.settings.best_by == "f1" else -loss
        best = self.best is None or reached > progress.best_score
        if best:
            progress.best_epoch, progress.best_score = progress.epoch, reached
            self.best = self._trained_of(self.net)
            self.written = False
        return Epoch(
            epoch=progress.epoch,
            epochs=planned,
            train_loss=train_loss,
            validation_loss=loss,
            score=score,
            dice=by_class,
            learning_rate=self.rate,
            seconds=self.clock.seconds,
            best=best,
            train_accuracy=self.right / self.seen if self.seen else None,
            validation_accuracy=float((logits.argmax(axis=1) == truth).mean()),
        )

    def _f1(self, truth: NDArray[np.intp], logits: NDArray[np.float32]) -> dict[str, float | None]:
        """Return the F1 of each class; None where it is not in the truth."""
        from sklearn.metrics import f1_score

        known = np.unique(truth)
        scores = f1_score(truth, logits.argmax(axis=1), labels=known, average=None, zero_division=0.0)
        return dict.fromkeys(self.spec.classes) | {
            self.spec.classes[name]: float(score) for name, score in zip(known, scores, strict=True)
        }

    def _checkpoint(self) -> None:
        """Write best and last network, unless that would take more than its share of the time."""
        progress = self.progress
        due = self.clock.seconds - progress.seconds >= self._saving / CHECKPOINT_SHARE
        if self.settings.frozen or not due:
            return  # a head is trained again in seconds
        began = time.monotonic()
        self._write_best(self.spec)
        self._write_last()
        self._saving = time.monotonic() - began

    def _write_last(self) -> None:
        self.progress.seconds = self.clock.seconds
        save_checkpoint(self.run / LAST, self.spec, self.net, self.optimiser, self.progress)

    def _write_best(self, spec: Any) -> Path:
        assert self.best is not None
        net = copy.deepcopy(self.net)
        net.load_state_dict(self.best, strict=False)
        self.written = True
        return save_model(self.run / "best.safetensors", spec, net)

    def _finish(self, reason: str) -> Finished:
        """Calibrate the best network, say what it makes of every cell, and write it."""
        assert self.best is not None
        self.net.load_state_dict(self.best, strict=False)
        cells, settings, progress = self.cells, self.settings, self.progress
        everything = np.arange(len(cells.classes))
        logits = self._logits(everything, views=self.spec.views)
        calibration, validation = cells.split.calibration, cells.split.validation
        f1 = _mean(self._f1(cells.classes[validation], logits[validation]))
        temperature = fit_temperature(logits[calibration], cells.classes[calibration])
        probabilities = softmax(logits, temperature)
        thresholds: tuple[float, ...] = ()
        if settings.wanted_precision is not None:
            part = calibration if len(calibration) else validation
            thresholds = class_thresholds(probabilities[part], cells.classes[part], settings.wanted_precision)
        self._write_tables(probabilities)
        provenance = self.environment | {
            "settings": settings.model_dump(mode="json"),
            "crops": cells.crops.name,
            "cells": {name: len(part) for name, part in cells.split.parts.items()},
            "best_epoch": progress.best_epoch,
            "validation_f1": f1,
            "seconds": round(self.clock.seconds, 1),
            "ended": reason,
        }
        spec = replace(self.spec, temperature=temperature, thresholds=thresholds, provenance=provenance)
        path = save_model(self.run / "best.safetensors", spec, self.net)
        self.written = True
        return Finished(
            model=str(path.resolve()),
            best_epoch=progress.best_epoch,
            score=f1,
            reason=reason,
            seconds=self.clock.seconds,
            halo_px=0,
        )

    def _write_tables(self, probabilities: NDArray[np.float64]) -> None:
        cells = self.cells
        parts = np.full(len(cells.classes), "unused", "<U12")
        for name, part in cells.split.parts.items():
            parts[part] = name
        write_predictions(self.run / PREDICTIONS, cells.crops, parts.tolist(), probabilities, cells.names)
        if self.settings.baseline:
            trees = boosted_probabilities(
                cells.seen.measured, cells.classes, cells.split.train, seed=self.settings.seed
            )
            write_predictions(self.run / BASELINE, cells.crops, parts.tolist(), trees, cells.names)

    def close(self) -> None:
        """Keep the best network of a training that was closed early; remove what was only held for it."""
        if self.best is not None and not self.written:
            self._write_best(self.spec)
        shutil.rmtree(self.run / "cache", ignore_errors=True)


def _mean(by_class: dict[str, float | None]) -> float:
    return float(np.mean([score for score in by_class.values() if score is not None]))
