"""How much memory a network needs and how much there is."""

from __future__ import annotations

import copy
import functools
import os
import weakref
from typing import TYPE_CHECKING, Any

from napari_cellseg.nets.machine import threads
from napari_cellseg.nets.model_cache import cache_folder, note_fact, read_facts

if TYPE_CHECKING:
    import torch

    from napari_cellseg.nets.model import Model

FACT = "bytes a pixel"

CPU_BYTES = 1_000_000_000
"""What a block may take on a CPU: a raw pass is as fast per pixel at 512 px as at 1856 px."""

PROCESS_BYTES = 2_000_000_000
"""What a process with a block may hold in all, where it is more: of larger blocks less is halo."""

SHARE = 0.5  # of what is free: somebody else works here too


def window_px(needed: float, *, device: str, cpu_bytes: float = CPU_BYTES) -> int:
    """Return how many pixels one window of a network may have on `device`.

    Parameters
    ----------
    needed : float
        Bytes for each of them, see `bytes_per_px` and `bytes_beside`.
    device : str
        "cpu", "mps" or "cuda".
    cpu_bytes : float
        Most that it may take on a CPU, whatever is free.
    """
    within = free_bytes(device) * SHARE
    if not device.startswith("cuda"):
        within = min(within, cpu_bytes)
    return int(within / needed)


def bytes_beside(channels: int, outputs: int) -> float:
    """Return the bytes for a pixel of a window that lie beside the network while it runs, on a CPU.

    Two windows in float32, the answers of three, and what writing makes of one.

    Examples
    --------
    >>> bytes_beside(1, 2)
    42.0
    """
    return 2 * 4.0 * channels + (3 * 4 + 4 + 1) * outputs


def cpu_bytes() -> float:
    """Return what a block may take on this CPU, beside what the process holds already.

    More than `CPU_BYTES` only if as many processes can have it as would share the processors.
    """
    import psutil

    processes = max(1, (os.cpu_count() or 1) // threads())
    within = psutil.virtual_memory().available * SHARE / processes
    return max(CPU_BYTES, min(within, PROCESS_BYTES - _held_before()))


@functools.cache
def _held_before() -> int:
    """Return the bytes that the process held before its first block: later ones have what that one leaves."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def free_bytes(device: str) -> float:
    """Return the bytes that are free on `device`."""
    import psutil

    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.mem_get_info(device)[0])
    return float(psutil.virtual_memory().available)


def bytes_per_px(model: Model) -> float:
    """Return the most bytes alive at a time in a forward pass of a model, per pixel; worked out once."""
    folder = cache_folder(model)
    known = read_facts(folder).get(FACT)
    if isinstance(known, float):
        return known
    counted = count_bytes(model.net, channels=model.spec.channels, stride=model.spec.stride)
    note_fact(folder, FACT, counted)
    return counted


def count_bytes(net: torch.nn.Module, *, channels: int, stride: int) -> float:
    """Return the most bytes alive at a time in a forward pass, per pixel, without running it.

    The network runs on tensors without data (torch's meta device) while a mode counts what
    is allocated and freed, so this takes milliseconds. 16-bit formats need less.

    Parameters
    ----------
    net : torch.nn.Module
    channels, stride : int
        As in the model's spec.
    """
    import torch
    from torch import nn
    from torch.overrides import TorchFunctionMode

    def place(tensor: Any) -> int:
        return tensor.untyped_storage()._cdata if isinstance(tensor, torch.Tensor) else 0

    class Count(TorchFunctionMode):
        alive = 0
        most = 0

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            known = {place(arg) for arg in args} | {0}  # what works in place or gives a view takes nothing
            for tensor in result if isinstance(result, (tuple, list)) else (result,):
                if place(tensor) not in known:
                    self.hold(tensor)
            return result

        def hold(self, tensor: torch.Tensor) -> None:
            size = tensor.numel() * tensor.element_size()
            self.alive += size
            self.most = max(self.most, self.alive)
            weakref.finalize(tensor, self.free, size)

        def free(self, size: int) -> None:
            self.alive -= size

    side = stride * max(1, 256 // stride)
    empty: dict[int, torch.Tensor] = {id(buffer): buffer.to("meta") for buffer in net.buffers()}
    for weight in net.parameters():
        empty[id(weight)] = nn.Parameter(weight.to("meta"), requires_grad=False)
    bare = copy.deepcopy(net, empty)  # nothing is done to the network itself: it may be at work
    window = torch.empty((1, channels, side, side), device="meta")
    with torch.no_grad(), Count() as count:
        bare(window)
    return float(count.most) / side**2


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of a forward pass says that memory ran out."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    signs = ("can't allocate", "out of memory", "not enough memory", "failed to allocate")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)
