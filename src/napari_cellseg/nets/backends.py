"""What runs a network: devices, number formats and `BACKENDS`."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model

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
    """

    prepare: Callable[[Model, str, str], Forward]
    missing: Callable[[], str]
    description: str


def pick_device(device: str = "auto") -> str:
    """Return "cuda", "mps" or "cpu": the one asked for, or the fastest present.

    Raises
    ------
    CellsegError
        If the device asked for is not there.
    """
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, here in present.items() if here)
    kind = device.split(":")[0]
    if not present.get(kind, False):
        here = ", ".join(name for name, is_here in present.items() if is_here)
        remedy = (
            "install a torch build with CUDA and the NVIDIA driver, or use --device cpu"
            if kind == "cuda"
            else ""
        )
        raise CellsegError(f"device {device!r} is not available", f"one of: auto, {here}", remedy)
    return device


def pick_precision(precision: str, device: str) -> str:
    """Return the number format for a device: the one asked for, or the fastest sound one.

    A CPU without bfloat16 instructions emulates it at a third of the speed of float32.
    """
    import torch

    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    # older releases of torch do not tell
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if device == "cpu" and any(capabilities.get(flag) for flag in ("amx_bf16", "avx512_bf16")):
        return "bfloat16"
    return "float32"


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return the context in which a network runs in `precision` on `device`."""
    import torch

    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.split(":")[0], getattr(torch, precision))


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

    def forward(windows: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.ascontiguousarray(windows, np.float32)).to(device, non_blocking=True)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(device, precision):
            probabilities = net(batch).float().softmax(1)
        result: np.ndarray = probabilities.cpu().numpy()
        return result

    return forward


BACKENDS: dict[str, Backend] = {
    "torch": Backend(_prepare_torch, str, "PyTorch on CUDA, MPS or CPU"),
}


def prepare(model: Model, *, backend: str = "auto", device: str = "auto", precision: str = "auto") -> Forward:
    """Return a function that runs `model` on arrays.

    Parameters
    ----------
    model : Model
    backend : str
        Key of `BACKENDS`, or "auto" for the fastest one that is installed.
    device, precision : str
        As in `SegmentSettings`.

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
    if backend == "auto":
        backend = next(name for name, entry in BACKENDS.items() if not entry.missing())
    if backend not in BACKENDS:
        raise CellsegError(f"unknown backend {backend!r}", f"one of auto, {', '.join(BACKENDS)}")
    reason = BACKENDS[backend].missing()
    if reason:
        raise CellsegError(f"backend {backend} cannot be used: {reason}")
    return BACKENDS[backend].prepare(model, device, precision)
