"""One training on several devices: the processes that share it, its ranks, and what they agree on.

Each rank draws its share of the windows of a step; Fabric averages the gradients. The first rank
decides and writes, the others do the same steps. With one rank nothing of this happens.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.backends import pick_device
from napari_cellseg.nets.machine import threads
from napari_cellseg.settings import TrainSettings

FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of formats and ranks

OTHERS_ENDED = 75
"""Exit code of a rank that ends because another one did."""

LOOK_SECONDS = 0.2
SAY_SECONDS = 5.0  # for the others to end as well when one has failed
GRACE_SECONDS = 60.0  # from the request to stop to the kill

Value = TypeVar("Value")


class OthersEndedError(CellsegError):
    """A rank that shares this training is gone; it says why."""


class Ranks:
    """The process that runs here, among those that share a training.

    Where it stands is read from the environment, as `torchrun` and `run_ranks` set it.

    Parameters
    ----------
    device : str
        "cpu", "mps", "cuda", or one of several cards: "cuda:1".
    precision : str
        Key of `FABRIC_PRECISION`.

    Attributes
    ----------
    number, count : int
        Of this rank, from 0, and of all.
    fabric : Fabric
    """

    def __init__(self, device: str, precision: str) -> None:
        kind, _, index = device.partition(":")
        self.count, self.number = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        if self.count == 1:
            self.fabric = Fabric(
                accelerator=kind, devices=[int(index)] if index else 1, precision=FABRIC_PRECISION[precision]
            )
            return
        here = int(os.environ.get("LOCAL_WORLD_SIZE", self.count))
        self.fabric = Fabric(
            accelerator=kind,
            devices=here,
            num_nodes=self.count // here,
            strategy="ddp",
            precision=FABRIC_PRECISION[precision],
            plugins=TorchElasticEnvironment(),
        )
        self.fabric.launch()

    @property
    def first(self) -> bool:
        """Whether it is this one that decides and writes."""
        return self.number == 0

    def share(self, batch: int) -> int:
        """Return how many windows of a step are this rank's.

        Raises
        ------
        CellsegError
            If they cannot be shared evenly.
        """
        return _share(batch, self.count)

    def stream(self, *seed: int) -> np.random.Generator:
        """Return random numbers of this rank's own; the first has those of a single process."""
        return np.random.default_rng([*seed, self.number] if self.number else [*seed])

    def prepared(self, net: torch.nn.Module) -> torch.nn.Module:
        """Return the network as it is trained: on cards, batches are normalised over all ranks.

        A share may be too few windows for statistics of their own.
        """
        if self.count > 1 and self.fabric.device.type == "cuda":
            convert = torch.nn.SyncBatchNorm.convert_sync_batchnorm
            synchronised: torch.nn.Module = convert(net)  # type: ignore[no-untyped-call]
            return synchronised
        return net

    def any(self, here: bool) -> bool:
        """Return whether it is so in one of the ranks."""
        return bool(self.sums(float(here))[0]) if self.count > 1 else here

    def sums(self, *values: float) -> list[float]:
        """Return the sums over all ranks."""
        if self.count == 1:
            return [*values]
        total = self.fabric.all_reduce(torch.tensor(values, dtype=torch.float64), reduce_op="sum")
        assert isinstance(total, torch.Tensor)
        return [float(value) for value in total]

    def from_first(self, value: Value) -> Value:
        """Return what the first rank has."""
        return self.fabric.broadcast(value) if self.count > 1 else value

    def alone(self, net: Any, *, here: bool) -> AbstractContextManager[Any]:
        """Return a context in which gradients are only added up, not averaged with the others'."""
        if self.count == 1 or not here:
            return nullcontext()
        context: AbstractContextManager[Any] = self.fabric.no_backward_sync(net)
        return context


def check_devices(count: int, settings: TrainSettings) -> None:
    """Raise an error if a training cannot be shared by so many devices of this machine.

    Raises
    ------
    CellsegError
        If there are not so many, or one is named; or a step's windows cannot be shared evenly.
    """
    device = pick_device(settings.device)
    there = torch.cuda.device_count() if device == "cuda" else os.cpu_count() or 1
    if device not in ("cuda", "cpu"):
        raise CellsegError(f"{count} devices, and --device {device}", "--device cuda or cpu")
    if not 1 <= count <= there:
        raise CellsegError(f"{count} devices", f"1 to {there}, which are here ({device})")
    _share(settings.batch, count)


def run_ranks(arguments: Sequence[str], count: int, stop: Path, *, show: bool = False) -> int:
    """Run ``napari-cellseg ARGUMENTS`` in several processes that share a training; return the exit code.

    The first one says what it does on our standard error. If one fails the others are ended.

    Parameters
    ----------
    arguments : sequence of str
    count : int
        Processes, one a device.
    stop : Path
        A file that asks them to end after their step.
    show : bool
        Pass on what the first one prints.

    Raises
    ------
    CellsegError
        If one but the first failed; with the last thing it said.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"OMP_NUM_THREADS": max(1, threads() // count)}
    with ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile("w+", errors="replace")) for _ in range(count - 1)]
        processes: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, processes, stop)
        for number in range(count):
            own = shared | {"RANK": number, "LOCAL_RANK": number}
            process = subprocess.Popen(
                [sys.executable, "-m", "napari_cellseg", *arguments],
                env=os.environ | {name: str(value) for name, value in own.items()},
                stdin=subprocess.DEVNULL,
                stdout=None if show and not number else subprocess.DEVNULL,
                stderr=logs[number - 1] if number else None,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
            processes.append(process)
        while None in (codes := [process.poll() for process in processes]) and not any(codes):
            time.sleep(LOOK_SECONDS)
        if any(codes):
            _wait(processes, SAY_SECONDS)
        _end(processes, stop)
        failed = [n for n, process in enumerate(processes) if process.returncode not in (0, OTHERS_ENDED, -9)]
        if failed and failed[0]:
            log = logs[failed[0] - 1]
            log.seek(0)
            said = [line.strip() for line in log.read().splitlines() if line.strip()]
            reason = said[-1].removeprefix("napari-cellseg: ") if said else "it ended without a word"
            raise CellsegError(f"device {failed[0] + 1} of {count}: {reason}")
        return max(processes[0].returncode, 0) or (1 if any(codes) else 0)


def _share(batch: int, count: int) -> int:
    if batch % count:
        raise CellsegError(
            f"{batch} windows a step for {count} devices",
            "a multiple, so that each has as many",
            f"give --batch {count * max(1, round(batch / count))}",
        )
    return batch // count


def _end(processes: list[subprocess.Popen[bytes]], stop: Path) -> None:
    """End what still runs: asked first, as the step of a training takes its time."""
    if any(process.poll() is None for process in processes) and not any(p.returncode for p in processes):
        stop.touch()
        _wait(processes, GRACE_SECONDS)
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
