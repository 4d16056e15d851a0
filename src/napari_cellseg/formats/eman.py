"""EMAN's boxes: helix boxes of EMAN1 (pairs of corners) and of EMAN2's helix boxer ("helicon")."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.segments import cut_segments

START, END = -1, -2  # of a helix, in the fifth column of EMAN1

_HELIX = re.compile(
    r"#helix:\s*[\[(]\s*(\S+?)\s*,\s*(\S+?)\s*[\])]\s*,\s*[\[(]\s*(\S+?)\s*,\s*(\S+?)\s*[\])]\s*,\s*(\S+)"
)


def read_boxes(text: str, path: Path, image: str) -> Coordinates:
    """Return the helices of an EMAN1 box file; boxes without -1 and -2 are loose points.

    Raises
    ------
    CellsegError
        If a line is no box, or a start has no end.
    """
    points, ids, widths, starts = [], [], [], 0
    opened = False
    for number, line in _lines(text):
        values = _numbers(line, path, number, (4, 5, 6))
        x, y, width, height, *kind = values
        tag = int(kind[0]) if kind else 0
        if (tag == END) != opened:
            wrong = "an end without a start" if tag == END else "no end of the helix before"
            raise CellsegError(f"{path.name}, line {number}: {wrong}", "pairs of -1 and -2")
        opened = tag == START
        starts += opened
        points.append((y + height / 2, x + width / 2))
        widths.append(width)
        ids.append(starts if tag in (START, END) else None)
    if opened:
        raise CellsegError(f"{path.name}: the last helix has no end", "pairs of -1 and -2")
    boxes = [width for width, helix in zip(widths, ids, strict=True) if helix is None]
    return Coordinates.from_rows(points, ids, widths_px=widths or None, box_px=boxes[0] if boxes else None)


def write_boxes(coordinates: Coordinates) -> tuple[str, int]:
    """Return EMAN1 helix boxes, as whole numbers: a filament's width, or the box where it has none.

    Raises
    ------
    CellsegError
        If neither is known.
    """
    lines = []
    for filament in coordinates.filaments:
        half = max(1, round(_width(filament.width_px, coordinates.box_px) / 2))
        for (row, col), tag in zip(filament.ends, (START, END), strict=True):
            corner = (round(float(col)) - half, round(float(row)) - half)
            lines.append("\t".join(map(str, (*corner, 2 * half, 2 * half, tag))))
    if not coordinates.filaments:
        half = max(1, round(_width(None, coordinates.box_px) / 2)) if len(coordinates.points) else 1
        for row, col in coordinates.points:
            corner = (round(float(col)) - half, round(float(row)) - half)
            lines.append("\t".join(map(str, (*corner, 2 * half, 2 * half))))
    return "".join(f"{line}\n" for line in lines), len(lines)


def read_helicon(text: str, path: Path, image: str) -> Coordinates:
    """Return the helices of an EMAN2 helix box file, written with round or square brackets.

    A helix with no centres below its line is the straight one between its ends.

    Raises
    ------
    CellsegError
        If a line cannot be understood.
    """
    points: list[Any] = []
    ids: list[int | None] = []
    widths: list[float] = []
    micrograph, box, helices, ends, width = "", None, 0, np.zeros((0, 2)), np.nan
    centres = 0

    def close() -> None:
        if helices and not centres:
            points.extend(ends)
            ids.extend([helices] * 2)
            widths.extend([width] * 2)

    for number, line in _lines(text):
        name, _, value = line.partition(":")
        if name.startswith("#micrograph"):
            micrograph = value.strip()
        elif name.startswith("#segment length"):
            box = _numbers(value, path, number, (1,))[0]
        elif name.startswith("#helix"):
            close()
            helices, centres = helices + 1, 0
            found = _HELIX.match(line)
            if found is None:
                raise CellsegError(f"{path.name}, line {number}: {line!r}", "#helix: (x, y),(x, y),width")
            x1, y1, x2, y2, width = _numbers(" ".join(found.groups()), path, number, (5,))
            ends = np.array([[y1, x1], [y2, x2]])
        elif not line.startswith("#"):
            x, y = _numbers(line, path, number, (2,))
            if not helices:
                raise CellsegError(f"{path.name}, line {number}: a centre before any helix", "#helix: first")
            points.append((y, x))
            ids.append(helices)
            widths.append(width)
            centres += 1
    close()
    return Coordinates.from_rows(points, ids, widths_px=widths or None, micrograph=micrograph, box_px=box)


def write_helicon(coordinates: Coordinates, step_px: float) -> tuple[str, int]:
    """Return EMAN2 helix boxes with round brackets; RELION silently misreads the square ones.

    Raises
    ------
    CellsegError
        If the box or the width of a filament is not known.
    """
    box = coordinates.box_px or 0
    lines = [
        f"#micrograph: {coordinates.micrograph}",
        f"#segment length: {box:g}",
        f"#segment width: {box:g}",
    ]
    rows = 0
    for filament in coordinates.filaments:
        (row1, col1), (row2, col2) = filament.ends
        width = _width(filament.width_px, coordinates.box_px)
        lines.append(f"#helix: ({col1:.6f}, {row1:.6f}),({col2:.6f}, {row2:.6f}),{width:g}")
        cut = cut_segments(filament, step_px).points
        lines += [f"{col:.6f}\t{row:.6f}" for row, col in cut]
        rows += len(cut)
    return "".join(f"{line}\n" for line in lines), rows


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _numbers(line: str, path: Path, number: int, counts: tuple[int, ...]) -> list[float]:
    try:
        values = [float(value) for value in re.split(r"[\s,]+", line.strip())]
    except ValueError:
        values = []
    if len(values) not in counts or not np.isfinite(values).all():
        wanted = " or ".join(map(str, counts))
        raise CellsegError(
            f"{path.name}, line {number}: {line!r}", f"{wanted} numbers", "is it another format?"
        )
    return values


def _width(width_px: float | None, box_px: float | None) -> float:
    width = width_px or box_px
    if width is None:
        raise CellsegError(
            "EMAN's helix boxes need a width, and it is not known", "a box size", "give the box in pixels"
        )
    return width
