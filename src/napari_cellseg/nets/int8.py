"""Networks in 8 bits: post-training quantisation by NNCF for OpenVINO, kept in the model's own file.

The file holds the float weights (convolutions in half precision), which any backend runs, and beside
them the quantised network as OpenVINO writes it. So who runs it needs OpenVINO and not NNCF, nor the
pictures it was calibrated on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.openvino import INT8_TENSORS, convert, load_openvino

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model

FLOAT, QUANTISED, WINDOWS = "float.xml", "int8.xml", "windows.npy"


def missing() -> str:
    """Return why networks cannot be quantised here, or an empty string."""
    lacking = [name for name in ("openvino", "nncf") if find_spec(name) is None]
    return f"{' and '.join(lacking)} missing (pip install 'napari-cellseg[compress]')" if lacking else ""


def save_int8(path: Path, model: Model, windows: NDArray[np.float32]) -> None:
    """Write a model with an 8-bit form of its network beside the float weights.

    Parameters
    ----------
    path : Path
    model : Model
    windows : (n, c, y, x) float32
        Normalised windows as the network will see them, some 50 to 300: ranges of what flows between
        the layers are taken from them. Sides multiples of the stride.

    Raises
    ------
    CellsegError
        If OpenVINO or NNCF is missing or cannot do it.
    """
    import torch

    from napari_cellseg.nets.model import HEADER_KEY, save_tensors

    if missing():
        raise CellsegError(f"8 bits: {missing()}")
    tensors = {
        name: tensor.half() if tensor.ndim == 4 else tensor for name, tensor in model.net.state_dict().items()
    }
    for name, content in zip(INT8_TENSORS, _quantised(model, windows), strict=True):
        tensors[name] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    header = {HEADER_KEY: json.dumps(replace(model.spec, int8=True).to_json())}
    save_tensors(path, tensors, header)


def _quantised(model: Model, windows: NDArray[np.float32]) -> tuple[bytes, bytes]:
    """Return OpenVINO's two files of the quantised network.

    NNCF puts a logger class of its own in place of Python's, prints, and changes torch: it works in a
    process of its own.
    """
    with tempfile.TemporaryDirectory(prefix="cellseg-int8-") as name:
        folder = Path(name)
        load_openvino().save_model(convert(model), folder / FLOAT, compress_to_fp16=False)
        np.save(folder / WINDOWS, windows)
        command = [sys.executable, "-m", "napari_cellseg.nets.int8", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise CellsegError(f"{model.spec.architecture} cannot be put into 8 bits ({reason[:200]})")
        quantised = folder / QUANTISED
        return quantised.read_bytes(), quantised.with_suffix(".bin").read_bytes()


def _quantise(folder: Path) -> None:
    """Quantise the network in a folder with the windows there; in a process of its own."""
    openvino = load_openvino()
    import nncf

    windows = np.load(folder / WINDOWS)
    network = openvino.Core().read_model(folder / FLOAT)
    quantised = nncf.quantize(
        network,
        nncf.Dataset([window[None] for window in windows]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(windows),
    )
    openvino.save_model(quantised, folder / QUANTISED, compress_to_fp16=False)


if __name__ == "__main__":
    _quantise(Path(sys.argv[1]))
