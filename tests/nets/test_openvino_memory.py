import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from napari_cellseg.nets.openvino import load_openvino
from napari_cellseg.nets.openvino_memory import SCRATCH, SPARE, held_per_px


def compiled(net: torch.nn.Module, side: int):
    """Return a network compiled by OpenVINO, in float32 so that its sizes are known."""
    openvino, picture = load_openvino(), torch.zeros(1, 1, side, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing says of itself
        traced = torch.jit.trace(net.eval(), picture)
    network = openvino.convert_model(traced, example_input=picture, input=[tuple(picture.shape)])
    return openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


class Skip(torch.nn.Module):
    """Two convolutions, whose answers are put together for a third."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (torch.nn.Conv2d(n, width, 3, padding=1) for n in (1, width))
        self.third = torch.nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        return self.third(torch.cat([first, self.second(first).relu()], 1))


def test_what_is_alive_at_a_time_counts():
    alive = 4 * (16 + 16 + 32)  # both answers, and the two of them put together
    assert held_per_px(compiled(Skip(16), 64)) == pytest.approx(SPARE * alive + SCRATCH, rel=0.05)


MEASURED = r"""
import ctypes, re, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_openvino_memory import Skip, compiled, held_per_px

def held(what):
    return int(re.search(what + r":\s+(\d+) kB", open("/proc/self/status").read())[1]) * 1024

side = 768
network = compiled(Skip(32), side)
picture = np.zeros((1, 1, side, side), np.float32)
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")  # forgets the former peak
before = held("VmRSS")
network(picture, share_inputs=True)
print((held("VmHWM") - before) / side**2, held_per_px(network))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the peak of memory")
def test_no_more_is_held_than_it_says():
    command = [sys.executable, "-c", MEASURED, str(Path(__file__).parent)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    measured, told = map(float, re.findall(r"[\d.]+", run.stdout))
    assert measured < 1.1 * told
