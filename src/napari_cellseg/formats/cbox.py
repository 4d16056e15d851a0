"""crYOLO's CBOX files: boxes of filaments and of particles."""

from pathlib import Path

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.star import numbers, read_tables, table_with
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.segments import cut_segments

COLUMNS = [
    "CoordinateX",
    "CoordinateY",
    "CoordinateZ",
    "Width",
    "Height",
    "Depth",
    "EstWidth",
    "EstHeight",
    "Confidence",
    "NumBoxes",
    "Angle",
    "filamentid",
]


def read_cbox(text: str, path: Path, image: str) -> Coordinates:
    """Return the filaments and particles of a CBOX file; columns are found by name, in any order.

    Raises
    ------
    CellsegError
        If it has no boxes' table, or lies in a tomogram.
    """
    if not text.strip():  # what crYOLO writes when it found nothing
        return Coordinates()
    table = table_with(
        read_tables(text, path.name), ["CoordinateX", "CoordinateY", "Width", "Height"], path.name
    )

    def column(name: str, missing: float | None = np.nan) -> np.ndarray:
        if name not in table:
            return np.full(len(table["CoordinateX"]), np.nan)
        return numbers(table, name, path.name, missing=missing)

    depths = column("CoordinateZ")
    if len(np.unique(depths[~np.isnan(depths)])) > 1:
        raise CellsegError(f"{path.name}: boxes at several depths, of a tomogram", "those of a micrograph")
    widths, heights = column("Width", None), column("Height", None)
    points = np.stack(
        [column("CoordinateY", None) + heights / 2, column("CoordinateX", None) + widths / 2], -1
    )
    ids = [None if np.isnan(one) else int(one) + 1 for one in column("filamentid")]
    return Coordinates.from_rows(
        points, ids, column("Confidence"), box_px=float(np.median(widths)) if len(widths) else None
    )


def write_cbox(coordinates: Coordinates, step_px: float) -> tuple[str, int]:
    """Return a CBOX file of boxes along filaments, and of loose points.

    Raises
    ------
    CellsegError
        If the box is not known.
    """
    if coordinates.box_px is None and (coordinates.filaments or len(coordinates.points)):
        raise CellsegError("crYOLO's boxes need a size", "a box size", "give the box in pixels")
    rows: list[tuple[float, float, float | None, int | None]] = []
    for one in coordinates.filaments:
        rows += [(row, col, one.score, one.id - 1) for row, col in cut_segments(one, step_px).points]
    scores = [None] * len(coordinates.points) if coordinates.scores is None else coordinates.scores
    rows += [(row, col, score, None) for (row, col), score in zip(coordinates.points, scores, strict=True)]
    box = coordinates.box_px or 0.0
    lines = ["", "data_global", "", "_cbox_format_version 1.0", "", "data_cryolo", "", "loop_"]
    lines += [f"_{name} #{index}" for index, name in enumerate(COLUMNS, 1)]
    for row, col, score, filament in rows:
        values = [col - box / 2, row - box / 2, None, box, box, 1.0, None, None, score, None, None, filament]
        lines.append(" ".join("<NA>" if value is None else repr(float(value)) for value in values))
    lines += ["", "data_cryolo_include", "", "loop_", "_slice_index #1", ""]
    return "\n".join(lines), len(rows)
