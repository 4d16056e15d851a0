"""What this machine can do, found without the seconds that importing torch takes where that is possible."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
from pathlib import Path
from typing import Any

CUDA_DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
BFLOAT16 = {"amx_bf16", "avx512_bf16"}
"""Instructions of which one makes 16 bits faster than 32: others emulate bfloat16 at a third of the speed."""


def accelerators() -> list[str]:
    """Return which of "cuda" and "mps" torch could use here."""
    if not _may_have_one():
        return []
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, here in present.items() if here]


def _may_have_one() -> bool:
    """Return False where there is no driver of NVIDIA's and no card of AMD's, so certainly no accelerator."""
    if "torch" in sys.modules or sys.platform not in CUDA_DRIVERS:
        return True
    try:
        ctypes.CDLL(CUDA_DRIVERS[sys.platform])
    except OSError:
        return Path("/dev/kfd").exists()
    return True


def fast_in_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16."""
    if sys.platform == "linux":
        return bool(BFLOAT16 & set(_cpu_info().get("flags", "").split()))
    import torch

    # older releases of torch do not tell
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(flag) for flag in BFLOAT16)


def threads() -> int:
    """Return how many threads a computation takes here: as torch was told, or as it would choose."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    import psutil

    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdigit() and int(asked):
        return int(asked)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, psutil.cpu_count(logical=False) or usable)


def cpu_name() -> str:
    """Return what the processor calls itself."""
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


@functools.cache
def _cpu_info() -> dict[str, str]:
    """Return what Linux says about the first processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
