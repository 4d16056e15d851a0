"""What a training must remember to go on exactly: `last.safetensors` in the run folder.

The file is a model like any other (its weights are those of the last epoch), with the
optimiser's tensors under names of their own and the rest as JSON in the header.
"""

import copy
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.model import (
    HEADER_KEY,
    OPTIMISER,
    Model,
    ModelSpec,
    load_model,
    new_model,
    read_header,
    save_tensors,
)
from napari_cellseg.train.run import START

TRAINING_KEY = "napari_cellseg_training"

CHECKPOINT_SHARE = 0.05
"""Writing checkpoints may take this share of the time; the first epoch always writes one."""


@dataclass
class Progress:
    """Where a training stands after an epoch.

    Attributes
    ----------
    epoch : int
        Epochs done.
    step : int
        Optimiser steps done.
    course : float
        Place on the learning-rate schedule, 0 to 1.
    seconds : float
        Time trained so far.
    best_epoch, best_score : int, float
        The best validation so far; epoch 0 = none yet.
    precision : dict
        State of the gradient scaler, where there is one.
    """

    epoch: int = 0
    step: int = 0
    course: float = 0.0
    seconds: float = 0.0
    best_epoch: int = 0
    best_score: float = float("-inf")
    precision: dict[str, Any] | None = None


def first_model(run: Path, spec: ModelSpec) -> Model:
    """Return what a training begins with: ``start.safetensors`` of the run, or a new network.

    Raises
    ------
    CellsegError
        If that file is damaged.
    """
    if not (run / START).exists():
        return new_model(spec)
    start = load_model(run / START)
    return replace(start, spec=replace(spec, widths=start.spec.widths))


def save_checkpoint(
    path: Path,
    spec: ModelSpec | ClassifierSpec,
    net: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write network, optimiser and progress as one file, whole or not at all."""
    tensors = dict(net.state_dict())
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"{OPTIMISER}{index}/{name}": value for name, value in state.items()}
    header = {HEADER_KEY: json.dumps(spec.to_json()), TRAINING_KEY: json.dumps(asdict(progress))}
    save_tensors(path, tensors, header)


def load_checkpoint(path: Path, net: torch.nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    """Bring network and optimiser to where they were; return the progress.

    Raises
    ------
    CellsegError
        If the file is missing, damaged, or of another network.
    """
    from safetensors.torch import load_file

    header = read_header(path)
    if TRAINING_KEY not in header:
        raise CellsegError(f"{path}: no checkpoint of a training", "the last.safetensors of a run folder")
    tensors = load_file(path)
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name in [name for name in tensors if name.startswith(OPTIMISER)]:
        index, _, key = name.removeprefix(OPTIMISER).partition("/")
        states.setdefault(int(index), {})[key] = tensors.pop(name)
    try:
        progress = Progress(**json.loads(header[TRAINING_KEY]))
        net.load_state_dict(tensors)
        optimiser.load_state_dict(optimiser.state_dict() | {"state": states})
    except (RuntimeError, ValueError, TypeError) as error:
        raise CellsegError(f"{path}: not of this network ({str(error).splitlines()[0]})") from None
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape:
                # A fused optimiser goes by the order in memory (channels last), which the file does not keep.
                state[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)
    return progress


class Kept:
    """The best network of a training so far, and its two files `best` and `last` in the run folder.

    Parameters
    ----------
    run : Path
    spec : ModelSpec
    resume : bool
        Whether there is a best network from before.
    writes : bool
        Whether it is this process that writes them.
    """

    def __init__(self, run: Path, spec: ModelSpec, *, resume: bool = False, writes: bool = True) -> None:
        self._run, self._spec, self._writes = run, spec, writes
        self.best: dict[str, torch.Tensor] | None = None
        if resume:
            self.best = dict(load_model(run / "best.safetensors").net.state_dict())
        self.written = resume
        self._saving = 0.0

    def take(self, net: torch.nn.Module) -> None:
        """Remember the weights of the best network so far."""
        self.best, self.written = copy.deepcopy(dict(net.state_dict())), False

    def write_best(self) -> None:
        """Write the best network, unless that was done or there is none."""
        if self.best is None or self.written or not self._writes:
            return
        header = {HEADER_KEY: json.dumps(self._spec.to_json())}
        save_tensors(self._run / "best.safetensors", self.best, header)
        self.written = True

    def write(
        self,
        net: torch.nn.Module,
        optimiser: torch.optim.Optimizer,
        progress: Progress,
        seconds: float,
        *,
        always: bool = False,
    ) -> None:
        """Write best and last network, unless that would take more than its share of the time."""
        too_soon = seconds - progress.seconds < self._saving / CHECKPOINT_SHARE
        if not self._writes or (too_soon and not always):
            return
        began = time.monotonic()
        self.write_best()
        progress.seconds = seconds
        save_checkpoint(self._run / "last.safetensors", self._spec, net, optimiser, progress)
        self._saving = time.monotonic() - began
