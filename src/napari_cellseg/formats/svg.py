"""Drawings: filaments as paths, polylines, polygons and lines of an SVG; loose points as circles.

A unit of the drawing is a pixel of the micrograph; the place (0, 0) is the centre of its
first pixel. XML is read by defusedxml: entities are refused, nothing outside the file is read.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import quoteattr

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament

FLAT_PX = 4.0
"""Distance of the points that stand for a curve; a smooth curve runs through them again."""

MOST_POINTS = 10_000  # of one curve

UNSEEN = {"defs", "clipPath", "mask", "marker", "pattern", "symbol", "metadata", "title", "desc", "style"}
FACTS = ("filament", "width-px", "score")
"""What `write_svg` notes of a filament, as ``data-...``."""

PLAIN = {"svg", "g", "a", "image", "namedview", "switch"}

BROKEN = (ValueError, TypeError, IndexError, ArithmeticError)
"""What comes of a shape that is none; svgpathtools says it in many ways."""

Matrix = NDArray[np.float64]


def read_svg(text: str, path: Path, image: str) -> Coordinates:
    """Return the filaments that a drawing's lines are, and its circles as loose points.

    A path of several pieces is several filaments. Transforms of shapes and groups are applied.

    Raises
    ------
    CellsegError
        If it is no SVG, holds scripts or entities, or a shape cannot be understood.
    """
    root = _parsed(text, path.name)
    drawn: list[tuple[NDArray[np.float64], dict[str, float]]] = []
    points: list[NDArray[np.float64]] = []
    other: Counter[str] = Counter()
    for element, matrix in _shapes(root, path.name):
        kind = _kind(element)
        try:
            if kind in {"circle", "ellipse"}:
                points.append(_moved(np.array([[_number(element, "cx"), _number(element, "cy")]]), matrix)[0])
            elif kind in {"path", "polyline", "polygon", "line"}:
                facts = {name: float(element.get(f"data-{name}", "nan")) for name in FACTS}
                drawn += [(piece, facts) for piece in _pieces(element, kind, matrix)]
            else:
                other[kind] += 1
        except BROKEN as error:
            raise CellsegError(
                f"{path.name}: a {kind} that cannot be read ({error})", "an SVG drawing"
            ) from None
    numbers = [facts["filament"] for _, facts in drawn]
    own = all(number.is_integer() for number in numbers) and len(set(numbers)) == len(numbers)
    filaments = [
        Filament(
            piece[:, ::-1],
            int(facts["filament"]) if own else row,
            _known(facts["width-px"]),
            _known(facts["score"]),
        )
        for row, (piece, facts) in enumerate(drawn, 1)
    ]
    notices = [f"{count} x <{kind}> left out" for kind, count in sorted(other.items())]
    return Coordinates(
        tuple(filaments), np.array(points).reshape(-1, 2)[:, ::-1], shape=_shape(root), notices=tuple(notices)
    )


def write_svg(coordinates: Coordinates) -> tuple[str, int]:
    """Return a drawing with a polyline for each filament and a circle for each loose point."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    size = ""
    if coordinates.shape is not None:
        height, width = coordinates.shape
        size = f' width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines.append(f'<svg xmlns="http://www.w3.org/2000/svg"{size}>')
    lines.append('<g fill="none" stroke="#d55e00" stroke-linejoin="round">')
    for filament in coordinates.filaments:
        facts = {"data-filament": filament.id, "stroke-width": filament.width_px or 2}
        facts |= {"data-width-px": filament.width_px} if filament.width_px is not None else {}
        facts |= {"data-score": filament.score} if filament.score is not None else {}
        attributes = " ".join(f"{name}={quoteattr(f'{value:g}')}" for name, value in facts.items())
        places = " ".join(f"{col:.6f},{row:.6f}" for row, col in filament.path)
        lines.append(f'<polyline {attributes} points="{places}"/>')
    lines += [f'<circle cx="{col:.6f}" cy="{row:.6f}" r="4"/>' for row, col in coordinates.points]
    lines += ["</g>", "</svg>", ""]
    return "\n".join(lines), len(coordinates.filaments) + len(coordinates.points)


def _parsed(text: str, file: str) -> Element:
    try:
        root: Element = fromstring(text)
    except DefusedXmlException as error:
        raise CellsegError(
            f"{file}: refused, it declares {type(error).__name__.removesuffix('Forbidden').lower()}",
            "a plain SVG",
            "save it as plain SVG",
        ) from None
    except ParseError as error:
        raise CellsegError(f"{file}: damaged ({error})", "an SVG drawing", "export it again") from None
    if _kind(root) != "svg":
        raise CellsegError(f"{file}: <{_kind(root)}>", "an SVG drawing")
    for element in root.iter():
        active = [name for name in element.attrib if name.rpartition("}")[2].lower().startswith("on")]
        linked = any(value.strip().lower().startswith("javascript:") for value in element.attrib.values())
        if _kind(element).lower() in {"script", "foreignobject", "handler"} or active or linked:
            raise CellsegError(
                f"{file}: refused, it holds a script", "a drawing", "save it as plain SVG without scripts"
            )
    return root


def _kind(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _shapes(root: Element, file: str) -> Iterator[tuple[Element, Matrix]]:
    """Yield what is drawn with the matrix that puts it into the drawing, in order."""
    waiting: list[tuple[Element, Matrix]] = [(root, np.eye(3))]
    while waiting:
        element, outer = waiting.pop()
        if _kind(element) in UNSEEN or not isinstance(element.tag, str):
            continue
        matrix = outer @ _matrix(element.get("transform", ""), file)
        waiting += [(child, matrix) for child in reversed(element)]
        if _kind(element) not in PLAIN:
            yield element, matrix


def _matrix(transform: str, file: str) -> Matrix:
    if not transform.strip():
        return np.eye(3)
    from svgpathtools.parser import parse_transform

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of what it would leave out
        try:
            return np.asarray(parse_transform(transform), np.float64)
        except (UserWarning, ValueError):
            raise CellsegError(f"{file}: transform={transform!r}", "a transform of SVG") from None


def _pieces(element: Element, kind: str, matrix: Matrix) -> list[NDArray[np.float64]]:
    """Return the pieces of a shape as points (x, y), those of a single place left out."""
    if kind == "path":
        from svgpathtools.parser import parse_path

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # an arc without a radius is a line
            drawn = parse_path(element.get("d", ""))
        scale = float(np.abs(np.linalg.det(matrix[:2, :2]))) ** 0.5
        found = [_flattened(piece, scale) for piece in (drawn.continuous_subpaths() if len(drawn) else [])]
    elif kind == "line":
        found = [np.array([[_number(element, f"x{end}"), _number(element, f"y{end}")] for end in (1, 2)])]
    else:
        values = [float(one) for one in re.split(r"[\s,]+", element.get("points", "").strip()) if one]
        if len(values) % 2:
            raise ValueError("an odd number of coordinates")
        corners = np.array(values).reshape(-1, 2)
        found = [np.concatenate([corners, corners[:1]]) if kind == "polygon" else corners]
    moved = [_moved(piece, matrix) for piece in found]
    return [piece for piece in moved if len(piece) > 1 and np.ptp(piece, axis=0).max() > 1e-9]


def _flattened(piece: Any, scale: float) -> NDArray[np.float64]:
    """Return points along a path: the ends of lines, and close ones along curves."""
    places = [complex(piece[0].start)]
    for segment in piece:
        corners = segment.bpoints() if hasattr(segment, "bpoints") else None
        if corners is not None and len(corners) == 2:
            places.append(complex(segment.end))
            continue
        if corners is not None:
            reach = sum(abs(b - a) for a, b in pairwise(corners))
        else:  # an arc
            reach = 2 * np.pi * max(abs(segment.radius.real), abs(segment.radius.imag))
        if not np.isfinite(reach):
            raise ValueError("a coordinate that is not finite")
        many = int(np.clip(np.ceil(reach * scale / FLAT_PX), 8, MOST_POINTS))
        places += [complex(segment.point(t)) for t in np.linspace(0, 1, many + 1)[1:]]
    flat = np.array(places)
    return np.stack([flat.real, flat.imag], -1)


def _moved(places: NDArray[np.float64], matrix: Matrix) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        moved: NDArray[np.float64] = places @ matrix[:2, :2].T + matrix[:2, 2]
    if not np.isfinite(moved).all():
        raise ValueError("a coordinate that is not finite")
    return moved


def _number(element: Element, name: str) -> float:
    return float(element.get(name, "0").removesuffix("px"))


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _shape(root: Element) -> tuple[int, int] | None:
    """Return the size (y, x) of the drawing where it begins at 0, 0."""
    values = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    if len(values) != 4:
        values = ["0", "0", *(root.get(name, "").removesuffix("px") for name in ("width", "height"))]
    try:
        left, top, width, height = (float(value) for value in values)
    except ValueError:
        return None
    if left or top or not (1 <= width < 1e6 and 1 <= height < 1e6):
        return None
    return round(height), round(width)
