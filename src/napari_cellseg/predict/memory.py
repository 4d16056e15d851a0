"""How much memory a network needs and how much there is."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CPU_BYTES = 1_000_000_000
"""What a block may take on a CPU: a raw pass is as fast per pixel at 512 px as at 1856 px."""

SHARE = 0.5  # of what is free: somebody else works here too
WORKSPACE = 1.25  # buffers of the convolution libraries come on top of the tensors


def window_px(
    net: torch.nn.Module, *, channels: int, stride: int, device: str, cpu_bytes: float = CPU_BYTES
) -> int:
    """Return how many pixels one window of `net` may have on `device`.

    Parameters
    ----------
    net : torch.nn.Module
    channels, stride : int
        As in the model's spec.
    device : str
        "cpu", "mps" or "cuda".
    cpu_bytes : float
        Most that it may take on a CPU, whatever is free.
    """
    within = free_bytes(device) * SHARE
    if not device.startswith("cuda"):
        within = min(within, cpu_bytes)
    return int(within / (WORKSPACE * bytes_per_px(net, channels=channels, stride=stride)))


def free_bytes(device: str) -> float:
    """Return the bytes that are free on `device`."""
    import psutil
    import torch

    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0])
    return float(psutil.virtual_memory().available)


def bytes_per_px(net: torch.nn.Module, *, channels: int, stride: int) -> float:
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
    weights = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in (*net.named_parameters(), *net.named_buffers())
    }
    window = torch.empty((1, channels, side, side), device="meta")
    with torch.no_grad(), Count() as count:
        torch.func.functional_call(net, weights, (window,))
    return float(count.most) / side**2


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of a forward pass says that memory ran out."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    signs = ("can't allocate", "out of memory", "not enough memory", "failed to allocate")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)
