"""What runs a network: devices, number formats and `BACKENDS`."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.machine import accelerators, cpu_name, fast_in_bfloat16, threads
from napari_cellseg.nets.model_cache import cache_folder, note_fact, read_facts
from napari_cellseg.nets.openvino import likely_bytes, prepare_openvino
from napari_cellseg.nets.openvino import missing as openvino_missing

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model

log = logging.getLogger(__name__)

Forward = Callable[[np.ndarray], np.ndarray]
"""``(n, channel, y, x)`` float32 -> probabilities ``(n, class, y, x)`` float32."""

MALLOC_OPTIONS = {-3: 1 << 30, -1: 1 << 30, -2: 1 << 26, -8: 1}
"""glibc's M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD in bytes; M_ARENA_MAX."""


@dataclass(frozen=True)
class Backend:
    """A way to run a network.

    Attributes
    ----------
    prepare : callable
        ``prepare(model, device, precision) -> Forward``.
    missing : callable
        Why it cannot be used here, or an empty string.
    description : str
        One line for lists and forms.
    device : str
        Where it runs if nobody says where.
    held : callable
        ``held(model, device, precision, tensors)``: bytes that a pass holds for each pixel of a window;
        those that torch's tensors take in float32 are `tensors`.
    """

    prepare: Callable[[Model, str, str], Forward]
    missing: Callable[[], str]
    description: str
    device: str = "auto"
    held: Callable[[Model, str, str, float], float] = lambda model, device, precision, tensors: (
        1.25 * tensors  # buffers of the convolution libraries come on top
    )


def pick_device(device: str = "auto") -> str:
    """Return "cuda", "mps" or "cpu": the one asked for, or the fastest present.

    Raises
    ------
    CellsegError
        If the device asked for is not there.
    """
    if device == "cpu":
        return device
    present = [*accelerators(), "cpu"]
    if device == "auto":
        return present[0]
    kind = device.split(":")[0]
    if kind not in present:
        here = ", ".join(present)
        remedy = (
            "install a torch build with CUDA and the NVIDIA driver, or use --device cpu"
            if kind == "cuda"
            else ""
        )
        raise CellsegError(f"device {device!r} is not available", f"one of: auto, {here}", remedy)
    return device


def pick_precision(precision: str, device: str) -> str:
    """Return the number format for a device: the one asked for, or the fastest sound one."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return "bfloat16" if device == "cpu" and fast_in_bfloat16() else "float32"


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return the context in which a network runs in `precision` on `device`."""
    import torch

    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.split(":")[0], getattr(torch, precision))


@contextlib.contextmanager
def fixed_shapes() -> Iterator[None]:
    """Let cuDNN try its ways to do a convolution, once for each shape that it has not seen."""
    import torch

    former, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = former


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep what tensors free, up to a gigabyte, for the next ones.

    By default it gives blocks beyond 32 MB back to the system, and every large tensor then
    waits for fresh pages: a quarter of a pass over 2000 x 2000 px. Threads that are begun
    later share one store, since those of their own hold no large blocks; so this belongs
    before them. Does nothing where the library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, size in MALLOC_OPTIONS.items():
            mallopt(ctypes.c_int(option), ctypes.c_int(size))


def _prepare_torch(model: Model, device: str, precision: str) -> Forward:
    import torch

    device = pick_device(device)
    precision = pick_precision(precision, device)
    net = model.net.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    on_card = device.startswith("cuda")

    def forward(windows: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.ascontiguousarray(windows, np.float32))
        batch = (batch.pin_memory() if on_card else batch).to(device, non_blocking=True)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(device, precision):
            probabilities = net(batch).float().softmax(1)
        if on_card and precision != "float32":  # half as much over the bus, and finer than a byte by far
            probabilities = probabilities.half()
        result: np.ndarray = probabilities.cpu().numpy()
        return result.astype(np.float32, copy=False)

    return forward


BACKENDS: dict[str, Backend] = {
    "torch": Backend(_prepare_torch, str, "PyTorch on CUDA, MPS or CPU"),
    "openvino": Backend(
        prepare_openvino,
        openvino_missing,
        "OpenVINO on CPU: the network is converted once and kept",
        device="cpu",
        held=likely_bytes,
    ),
}


def run_device(backend: str, device: str) -> str:
    """Return the device a backend runs on: the one asked for, or the fastest it can use.

    Raises
    ------
    CellsegError
        If the device asked for is not there.
    """
    if device == "auto" and backend in BACKENDS:
        device = BACKENDS[backend].device
    return pick_device(device)


def prepare(
    model: Model,
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    work_px: float = math.inf,
) -> Forward:
    """Return a function that runs `model` on arrays.

    Parameters
    ----------
    model : Model
    backend : str
        Key of `BACKENDS`, or "auto" for the one that `fastest_backend` names.
    device, precision : str
        As in `SegmentSettings`.
    work_px : float
        How many pixels are about to be computed.

    Returns
    -------
    callable
        ``(n, channel, y, x)`` float32, sides multiples of the model's stride ->
        probabilities ``(n, class, y, x)`` float32.

    Raises
    ------
    CellsegError
        If the backend or the device is unknown or cannot be used here.
    """
    name = pick_backend(model, backend=backend, device=device, precision=precision, work_px=work_px)
    return BACKENDS[name].prepare(model, device, precision)


def pick_backend(model: Model, *, backend: str, device: str, precision: str, work_px: float) -> str:
    """Return the key of `BACKENDS` that runs a model: the one asked for, or the fastest.

    Parameters
    ----------
    model, backend, device, precision, work_px
        As in `prepare`; with 0 px nothing is measured that is not known.

    Raises
    ------
    CellsegError
        If the backend is unknown or cannot be used here, or the device is not there.
    """
    if backend == "auto":
        return fastest_backend(model, device=device, precision=precision, work_px=work_px)
    if backend not in BACKENDS:
        raise CellsegError(f"unknown backend {backend!r}", f"one of auto, {', '.join(BACKENDS)}")
    reason = BACKENDS[backend].missing()
    if reason:
        raise CellsegError(f"backend {backend} cannot be used: {reason}")
    return backend


def fastest_backend(model: Model, *, device: str, precision: str, work_px: float = math.inf) -> str:
    """Return the backend that runs a model fastest here: measured once, kept beside the model.

    Measuring takes as long as a few megapixels; so for less than that in all, nothing is measured
    and torch is taken, as it is where there is a graphics card and for a model that was never saved.

    Parameters
    ----------
    model : Model
    device, precision : str
        As in `SegmentSettings`.
    work_px : float
        How many pixels are about to be computed.
    """
    usable = [name for name, entry in BACKENDS.items() if not entry.missing()]
    if pick_device(device) != "cpu" or len(usable) == 1 or not model.sha256:
        return usable[0]
    folder, key = cache_folder(model), f"seconds in {precision} on {_machine()}"
    seconds = read_facts(folder).get(key) or _measured.get((model.sha256, key))
    if not seconds:
        _asked_px[model.sha256] = _asked_px.get(model.sha256, 0.0) + work_px
        if _asked_px[model.sha256] < LEAST_WORK_PX:
            return usable[0]
        measured = {name: _seconds(model, name, precision) for name in usable}
        seconds = {name: taken for name, taken in measured.items() if taken is not None}
        _measured[model.sha256, key] = seconds
        note_fact(folder, key, seconds)
        log.info("seconds a window: %s", ", ".join(f"{name} {taken:.3f}" for name, taken in seconds.items()))
    return min(usable, key=lambda name: seconds.get(name, math.inf))


LEAST_WORK_PX = 4e6
"""Of a model in this process: below it measuring costs more than it can save."""

MEASURED_PX, MEASURED_RUNS = 512, 3
_asked_px: dict[str, float] = {}
_measured: dict[tuple[str, str], dict[str, float]] = {}


def _seconds(model: Model, name: str, precision: str) -> float | None:
    """Return the least seconds a window takes; None where the backend refuses the model."""
    spec = model.spec
    side = spec.input_px or max(1, MEASURED_PX // spec.stride) * spec.stride
    window = np.zeros((1, spec.channels, side, side), np.float32)
    try:
        forward = BACKENDS[name].prepare(model, "cpu", precision)
    except CellsegError as error:
        log.info("backend %s is left out: %s", name, error)
        return None
    taken = []
    for _ in range(1 + MEASURED_RUNS):
        began = time.perf_counter()
        forward(window)
        taken.append(time.perf_counter() - began)
    return min(taken[1:])  # the first one compiles


def _machine() -> str:
    """Return what the speed depends on besides the model: processor, threads, versions."""
    versions = [f"{name} {version(name)}" for name in ("torch", "openvino")]
    return ", ".join([cpu_name(), f"{threads()} threads", *versions])
