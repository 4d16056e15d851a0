"""How much a network compiled by OpenVINO holds while it runs."""

from __future__ import annotations

from math import prod
from typing import Any

BYTES = {"f32": 4, "i32": 4, "bf16": 2, "f16": 2, "u8": 1, "i8": 1, "boolean": 1}
WIDEST = 8

SPARE, SCRATCH = 1.1, 40.0
"""What is held for each byte alive, and for each pixel beyond that.

At 1024 x 1024 px in float32, U-Net/ResNet18 held 280 bytes a pixel for 256 alive, a U-Net of two layers 192
for 160, the published Nested U-Net 1704 for 1552, SegFormer 920 for 768; in bfloat16 U-Net/ResNet18 182
for 128.
"""


def held_per_px(compiled: Any) -> float:
    """Return the bytes that a pass of a compiled network holds for each pixel of its window.

    Walked through in the order of execution, an answer of a layer is alive from that layer to the last
    one that reads it; that is how OpenVINO shares memory between them.

    Parameters
    ----------
    compiled : openvino.CompiledModel
        Of one fixed shape (n, c, y, x).
    """
    runtime = compiled.get_runtime_model()
    layers = [layer for layer in runtime.get_ordered_ops() if _said(layer, "layerType") != "Const"]
    layers.sort(key=lambda layer: int(_said(layer, "execOrder")))
    read_last = {
        source.get_source_output().get_node().get_friendly_name(): place
        for place, layer in enumerate(layers)
        for source in layer.inputs()
    }
    held: dict[str, int] = {}
    most = 0
    for place, layer in enumerate(layers):
        held[layer.get_friendly_name()] = _bytes_of(layer)
        most = max(most, sum(held.values()))
        held = {name: size for name, size in held.items() if read_last.get(name, place + 1) > place}
    count, _, rows, cols = runtime.inputs[0].get_shape()
    return SPARE * most / int(count * rows * cols) + SCRATCH


def _bytes_of(layer: Any) -> int:
    """Return the size of what a layer answers."""
    kinds = _said(layer, "outputPrecisions").split(",")
    answers = zip(layer.outputs(), kinds, strict=False)
    return sum(prod(answer.get_shape()) * BYTES.get(kind, WIDEST) for answer, kind in answers)


def _said(layer: Any, key: str) -> str:
    """Return what the runtime says of a layer."""
    said = layer.get_rt_info()[key]
    return str(getattr(said, "value", said))
