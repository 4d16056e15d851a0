"""Explanations as files: a TIFF that says where it belongs, and a picture over the image."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.predict.explain import Explanation

FOR, AGAINST = "#d55e00", "#0072b2"  # Okabe and Ito: told apart with any colour vision


def write_explanation(path: Path, found: Explanation, *, pixel_nm: float | None = None, **facts: Any) -> None:
    """Write a map (y, x) float32 as TIFF; its description (JSON) says what it is and where.

    Parameters
    ----------
    path : Path
        ``NAME.tif``.
    found : Explanation
    pixel_nm : float, optional
        Written as the resolution.
    **facts
        What else to note: method, model, place.

    Raises
    ------
    CellsegError
        If the disk is full or the folder cannot be written.
    """
    density = None if pixel_nm is None else (1e7 / pixel_nm, 1e7 / pixel_nm)
    place = {"rows": [found.rows.start, found.rows.stop], "cols": [found.cols.start, found.cols.stop]}
    with replace_whole(path) as part:
        tifffile.imwrite(
            part,
            found.heat,
            photometric="minisblack",
            compression="deflate",
            resolution=density,
            resolutionunit=None if density is None else "CENTIMETER",
            metadata={"class": found.class_name, "odds": found.odds, **place, **facts},
        )


def read_explanation(path: Path) -> tuple[Explanation, dict[str, Any]]:
    """Return an explanation that `write_explanation` wrote, and what else was noted."""
    with tifffile.TiffFile(path) as file:
        heat: NDArray[np.float32] = file.asarray()
        (facts,) = file.shaped_metadata or ({},)
    rows, cols = (slice(*facts.pop(axis)) for axis in ("rows", "cols"))
    return Explanation(heat, rows, cols, facts.pop("class"), facts.pop("odds")), facts


def draw_explanation(
    plane: NDArray[Any], found: Explanation, *, at: tuple[float, float] | None = None, title: str = ""
) -> bytes:
    """Return a PNG of the part of the image that was shown, and of what spoke for and against.

    Parameters
    ----------
    plane : (y, x)
        The image in the rows and columns of the explanation.
    found : Explanation
    at : (row, col), optional
        The place that is explained, in pixels of the image.
    title : str
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), dpi=130, layout="constrained", facecolor="white")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    rows, cols = found.rows, found.cols
    extent = (cols.start - 0.5, cols.stop - 0.5, rows.stop - 0.5, rows.start - 0.5)
    low, high = np.percentile(plane, (0.5, 99.5))
    strongest = float(np.abs(found.heat).max()) or 1.0
    colors = LinearSegmentedColormap.from_list("for and against", [AGAINST, (1, 1, 1, 0), FOR])
    for axis in axes:
        axis.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent)
        axis.set_xlabel("column (px)")
        if at is not None:
            axis.plot(at[1], at[0], "+", color="#009e73", markersize=14, markeredgewidth=2)
    axes[0].set_ylabel("row (px)")
    heat = axes[1].imshow(found.heat, cmap=colors, vmin=-strongest, vmax=strongest, extent=extent)
    figure.colorbar(heat, ax=axes[1], label=f"against - for {found.class_name} (log-odds)")
    if title:
        figure.suptitle(title, fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
