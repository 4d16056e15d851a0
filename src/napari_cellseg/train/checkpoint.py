"""What a training must remember to go on exactly: `last.safetensors` in the run folder.

The file is a model like any other (its weights are those of the last epoch), with the
optimiser's tensors under names of their own and the rest as JSON in the header.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.model import HEADER_KEY, OPTIMISER, ModelSpec, read_header, save_tensors

TRAINING_KEY = "napari_cellseg_training"


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
