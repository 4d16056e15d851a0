"""Pictures of traced filaments for reports."""

import colorsys
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.filament import Filament
from napari_cellseg.report.figures import shrink, stretched

STEP_PX = 10.0
GOLDEN_ANGLE = 0.618034  # colours of filaments next to each other in the list lie far apart


def draw_filaments(plane: NDArray[np.generic], filaments: Sequence[Filament], *, side_px: int = 900) -> bytes:
    """Return a PNG of the plane (y, x) with each filament over it in a colour of its own."""
    from matplotlib.figure import Figure

    grey = stretched(shrink(plane, side_px))
    factor = max(plane.shape) / max(grey.shape)
    rows, cols = grey.shape
    figure = Figure(figsize=(cols / 100, rows / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for number, filament in enumerate(filaments):
        path = filament.resampled(STEP_PX).path / factor
        color = colorsys.hsv_to_rgb(number * GOLDEN_ANGLE % 1, 0.8, 1.0)
        axes.plot(path[:, 1], path[:, 0], color=color, linewidth=2.5, alpha=0.8)
    axes.set(xlim=(-0.5, cols - 0.5), ylim=(rows - 0.5, -0.5))
    axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
