"""Pictures of traced filaments for reports."""

import colorsys
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.filament import Filament
from napari_cellseg.report.figures import ADDED, MISSED, RIGHT, shrink, stretched

STEP_PX = 10.0
PIECES = 3
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


def draw_strip(
    strip: NDArray[np.generic],
    found: NDArray[np.float64],
    true: NDArray[np.float64],
    *,
    near_px: float,
    side_px: int = 1200,
) -> bytes:
    """Return a PNG of a straightened filament (y, x) in pieces below each other, with points on it.

    Parameters
    ----------
    strip : (y, x)
    found, true : (n, 2), (m, 2)
        Points (row, col) of the strip. Circles are drawn around those found, in another colour
        where no true one is near, and crosses on true ones near which none was found.
    near_px : float
        How far from each other a found and a true point may be.
    side_px : int
        Width of the picture.
    """
    from matplotlib.figure import Figure

    right, seen = _near(found, true, near_px), _near(true, found, near_px)
    rows, cols = strip.shape
    length = -(-cols // PIECES)
    grey = stretched(shrink(strip, max(1, side_px * cols // length)))
    figure = Figure(figsize=(side_px / 100, PIECES * 1.1 * side_px * rows / length / 100), dpi=100)
    for number, axes in enumerate(figure.subplots(PIECES, 1, gridspec_kw={"hspace": 0.1})):
        axes.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=(-0.5, cols - 0.5, rows - 0.5, -0.5))
        for points, color, marker in (
            (found[right], RIGHT, "o"),
            (found[~right], ADDED, "o"),
            (true[~seen], MISSED, "x"),
        ):
            style = {"markersize": 13, "markeredgewidth": 2, "markeredgecolor": color}
            axes.plot(points[:, 1], points[:, 0], marker, markerfacecolor="none", **style)
        axes.set(xlim=(number * length - 0.5, (number + 1) * length - 0.5), ylim=(rows - 0.5, -0.5))
        axes.set_axis_off()
    figure.subplots_adjust(0, 0, 1, 1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _near(points: NDArray[np.float64], others: NDArray[np.float64], near_px: float) -> NDArray[np.bool_]:
    """Return of which points (n,) another one lies near."""
    away = points[:, None] - others[None]
    return np.asarray((np.hypot(away[..., 0], away[..., 1]) <= near_px).any(axis=1))
