"""A figure of what the layers of a network keep: an information plane."""

import io
from collections.abc import Sequence

from napari_cellseg.nets.redundancy import LayerInformation


def draw_information(layers: Sequence[LayerInformation], *, title: str = "") -> bytes:
    """Return a PNG: bits along the network on the left, the information plane on the right.

    Layers that follow one another with the same bits repeat each other. In the plane a
    network goes from the right (it knows its input) upwards (it knows its output).

    Parameters
    ----------
    layers : sequence of LayerInformation
        In the order they are run in.
    title : str
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=130, layout="constrained", facecolor="white")
    along, plane = figure.subplots(1, 2)
    order = range(1, len(layers) + 1)
    curves = {
        "entropy": [layer.entropy_bits for layer in layers],
        "shared with the input": [layer.input_bits for layer in layers],
        "shared with the output": [layer.output_bits for layer in layers],
    }
    for (name, values), style in zip(curves.items(), ("-", "--", ":"), strict=True):
        along.plot(order, values, style, marker=".", label=name)
    along.set_xlabel("convolution, in the order they are run in")
    along.set_ylabel("bits")
    figure.legend(loc="outside lower left", ncols=len(curves), frameon=False)
    plane.plot(curves["shared with the input"], curves["shared with the output"], color="0.8", zorder=0)
    points = plane.scatter(
        curves["shared with the input"], curves["shared with the output"], c=list(order), cmap="viridis"
    )
    figure.colorbar(points, ax=plane, label="convolution")
    plane.set_xlabel("bits shared with the input")
    plane.set_ylabel("bits shared with the output")
    for axes in (along, plane):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
