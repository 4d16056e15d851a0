import os
import sys

import pytest
import torch

from napari_cellseg.nets import machine


@pytest.mark.parametrize(
    ("flag", "expected"), [("amx_bf16", True), ("avx512_bf16", True), ("avx2", False), ("", False)]
)
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_fast_in_bfloat16(system, flag, expected, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(machine, "_cpu_info", lambda: {"flags": f"fpu {flag}"})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {flag: True}, raising=False)
    assert machine.fast_in_bfloat16() is expected


def test_cpu_name(monkeypatch):
    assert machine.cpu_name()
    monkeypatch.setattr(machine, "_cpu_info", lambda: {"model name": "Abacus 9"})
    assert machine.cpu_name() == "Abacus 9"


@pytest.mark.parametrize(
    ("asked", "expected"), [("3", {3}), ("3,2", {3}), ("0", None), ("many", None), ("", None)]
)
def test_threads_are_those_torch_would_take(asked, expected, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert machine.threads() in (expected or range(1, 1 + (os.cpu_count() or 1)))


def test_threads_are_those_torch_was_told():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert machine.threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, []), (True, False, ["cuda"]), (False, True, ["mps"]), (True, True, ["cuda", "mps"])],
)
def test_accelerators(cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert machine.accelerators() == expected


def test_a_machine_without_drivers_is_not_asked_through_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setitem(machine.CUDA_DRIVERS, "linux", "libabacus.so.9")
    assert machine.accelerators() == []
    monkeypatch.setattr(sys, "platform", "darwin")
    assert machine._may_have_one()
