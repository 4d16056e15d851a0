import numpy as np
import pytest

from napari_cellseg.predict.memory import CPU_BYTES, bytes_per_px, is_out_of_memory, window_px


def test_bytes_of_a_network_that_can_be_counted():
    from torch import nn

    # the input is not ours; ReLU works in place; 4 and 8 channels are alive together
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 8, 3, padding=1))
    assert bytes_per_px(net, channels=1, stride=1) == pytest.approx(4 * (4 + 8))


def test_a_network_twice_as_wide_gets_half_the_window():
    from torch import nn

    narrow, wide = (nn.Conv2d(1, width, 3, padding=1) for width in (8, 16))
    few, many = (window_px(net, channels=1, stride=1, device="cpu") for net in (wide, narrow))
    assert many / few == pytest.approx(2, rel=0.2)  # what is free changes in between


def test_a_block_on_a_cpu_takes_no_more_than_is_of_use():
    from torch import nn

    net = nn.Conv2d(1, 8, 3, padding=1)
    used = window_px(net, channels=1, stride=1, device="cpu", cpu_bytes=1e6)
    assert 0 < used * 4 * 8 <= 1e6 < CPU_BYTES


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (np.linalg.LinAlgError("out of memory"), False),
    ],
)
def test_is_out_of_memory(error, is_it):
    assert is_out_of_memory(error) is is_it
