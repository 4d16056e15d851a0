from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from napari_cellseg.predict import memory
from napari_cellseg.predict.memory import (
    CPU_BYTES,
    PROCESS_BYTES,
    bytes_per_px,
    count_bytes,
    cpu_bytes,
    is_out_of_memory,
    window_px,
)


def test_bytes_of_a_network_that_can_be_counted():
    from torch import nn

    # the input is not ours; ReLU works in place; 4 and 8 channels are alive together
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 8, 3, padding=1))
    assert count_bytes(net, channels=1, stride=1) == pytest.approx(4 * (4 + 8))


def test_they_are_counted_once(small_net, tmp_path):
    model = replace(small_net(), sha256="a" * 64, path=tmp_path / "m.safetensors")
    counted = bytes_per_px(model)
    assert counted == count_bytes(model.net, channels=1, stride=2)
    assert bytes_per_px(replace(model, net=None)) == counted


def test_a_network_twice_as_wide_gets_half_the_window():
    few, many = (window_px(needed, device="cpu") for needed in (64.0, 32.0))
    assert many / few == pytest.approx(2, rel=0.2)  # what is free changes in between


def test_a_block_on_a_cpu_takes_no_more_than_is_of_use():
    used = window_px(32.0, device="cpu", cpu_bytes=1e6)
    assert 0 < used * 32 <= 1e6 < CPU_BYTES


@pytest.mark.parametrize(
    ("held", "free", "processes", "expected"),
    [
        (0.25e9, 64e9, 1, PROCESS_BYTES - 0.25e9),
        (1.5e9, 64e9, 1, CPU_BYTES),  # torch, or a viewer, is there as well
        (0.25e9, 24e9, 10, 1.2e9),
        (0.25e9, 2e9, 2, CPU_BYTES),  # `window_px` takes less than is free
    ],
)
def test_a_block_takes_more_where_memory_is_plenty(held, free, processes, expected, monkeypatch):
    monkeypatch.setattr(psutil.Process, "memory_info", lambda self: SimpleNamespace(rss=held))
    memory._held_before.cache_clear()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr(memory.os, "cpu_count", lambda: 4 * processes)
    monkeypatch.setattr(memory, "threads", lambda: 4)
    assert cpu_bytes() == pytest.approx(expected)
    memory._held_before.cache_clear()


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("Check 'ptr' failed at cpu_memory.cpp\nFailed to allocate 2147483648 bytes"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (np.linalg.LinAlgError("out of memory"), False),
    ],
)
def test_is_out_of_memory(error, is_it):
    assert is_out_of_memory(error) is is_it
