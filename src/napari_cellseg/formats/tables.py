"""Coordinates as tables: CSV, and GeoJSON."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament

NAMES = {
    "row": ("row", "y", "axis-0"),
    "col": ("col", "column", "x", "axis-1"),
    "filament": ("filament", "filament_id", "filamentid", "track", "id"),
    "score": ("score", "confidence", "probability"),
    "width_px": ("width_px",),
    "owner": ("on_filament",),
    "arc_px": ("along_px",),
}
"""What columns may be called; case does not matter. ``axis-0`` and ``axis-1`` are napari's."""


NOT_GEOJSON = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
"""What comes of JSON that is something else."""


def read_csv(text: str, path: Path, image: str) -> Coordinates:
    """Return the points of a table, or its filaments where a column says which row belongs to which.

    Columns are found by name: X and Y, or row and col; filament or id; score; width_px. Without
    names there are two columns, X and Y.

    Raises
    ------
    CellsegError
        If columns are missing or a value is no number.
    """
    try:
        dialect: Any = csv.Sniffer().sniff(text[:4096], ",;\t ")
    except csv.Error:
        dialect = csv.excel
    try:
        rows = [row for row in csv.reader(text.splitlines(), dialect) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise CellsegError(f"{path.name}: {error}", "a table", "export it again") from None
    if not rows:
        return Coordinates()
    first = [cell.strip().lower() for cell in rows[0]]
    named = not all(_is_number(cell) for cell in first)
    if not named and len(first) != 2:
        raise CellsegError(f"{path.name}: {len(first)} columns without names", "two, X and Y, or names")
    place = {what: _first(first, names) for what, names in NAMES.items()} if named else {"col": 0, "row": 1}
    if "shape-type" in first:  # a Shapes layer saved by napari
        place["filament"] = first.index("index")
    if place["row"] is None or place["col"] is None:
        raise CellsegError(f"{path.name}: columns {', '.join(rows[0])}", "X and Y, or row and col")
    body = rows[named:]

    def column(what: str, missing: float | None) -> list[float]:
        index = place.get(what)
        if index is None:
            return [np.nan] * len(body)
        return [_value(row, index, number, path, missing) for number, row in enumerate(body, 1 + named)]

    points = np.stack([column("row", None), column("col", None)], -1)
    index = place.get("filament")
    ids = None if index is None else _ids([row[index].strip() if index < len(row) else "" for row in body])
    scores = column("score", np.nan) if place.get("score") is not None else None
    known: dict[str, Any] = {"widths_px": column("width_px", np.nan)}
    if ids is None and place.get("owner") is not None:
        known["owners"] = np.nan_to_num(column("owner", np.nan))
    if ids is None and place.get("arc_px") is not None:
        known["arcs_px"] = column("arc_px", np.nan)
    return Coordinates.from_rows(points, ids, scores, **known)


def _first(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _value(row: Sequence[str], index: int, number: int, path: Path, missing: float | None) -> float:
    text = row[index].strip() if index < len(row) else ""
    if missing is not None and text in {"", "nan", "NaN"}:
        return missing
    if not _is_number(text) or not np.isfinite(float(text)):
        raise CellsegError(f"{path.name}, row {number}: {text!r}", "a number", "mend or delete that row")
    return float(text)


def _ids(cells: Sequence[str]) -> list[int | None]:
    """Return whole numbers as they are, other names as numbers from 1 on; None where there is none."""
    known = list(dict.fromkeys(cell for cell in cells if cell))
    if all(_is_number(cell) and float(cell).is_integer() for cell in known):
        return [int(float(cell)) if cell else None for cell in cells]
    return [known.index(cell) + 1 if cell else None for cell in cells]


def write_csv(coordinates: Coordinates) -> tuple[str, int]:
    """Return a table: of points X, Y; of filaments with the number of the filament in front.

    Loose points beside filaments have no number. Width and score are there where one is known, and
    so is, where there are only points, the filament each lies on and where along it.
    """
    known = {
        "width_px": [f.width_px for f in coordinates.filaments],
        "score": [f.score for f in coordinates.filaments] + list(_scores(coordinates)),
    }
    facts = [name for name, values in known.items() if any(value is not None for value in values)]
    lines: list[list[str]] = []
    for filament in coordinates.filaments:
        cells = [_cell(getattr(filament, name)) for name in facts]
        lines += [[str(filament.id), f"{col:.6f}", f"{row:.6f}", *cells] for row, col in filament.path]
    for (row, col), score in zip(coordinates.points, _scores(coordinates), strict=True):
        cells = [_cell(score) if name == "score" else "" for name in facts]
        lines.append(["", f"{col:.6f}", f"{row:.6f}", *cells])
    header = ["filament", "X", "Y", *facts]
    start = 0 if coordinates.filaments else 1
    if start and coordinates.owners is not None:
        header.append("on_filament")
        lines = [[*line, str(owner)] for line, owner in zip(lines, coordinates.owners, strict=True)]
    if start and coordinates.arcs_px is not None:
        header.append("along_px")
        lines = [
            [*line, "" if np.isnan(arc) else f"{arc:.3f}"]
            for line, arc in zip(lines, coordinates.arcs_px, strict=True)
        ]
    return "".join(",".join(line[start:]) + "\n" for line in [header, *lines]), len(lines)


def _scores(coordinates: Coordinates) -> Sequence[float | None]:
    return [None] * len(coordinates.points) if coordinates.scores is None else list(coordinates.scores)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def read_geojson(text: str, path: Path, image: str) -> Coordinates:
    """Return the lines of a GeoJSON collection as filaments, its points as points; x, y in pixels.

    Raises
    ------
    CellsegError
        If it is no GeoJSON or a coordinate is no number.
    """
    expected = "a GeoJSON FeatureCollection"
    try:
        content = json.loads(text, parse_constant=lambda name: _refused(path, name))
        features = content["features"]
        geometries = [(feature["geometry"], feature.get("properties") or {}) for feature in features]
        points, ids, scores, widths, other = [], [], [], [], 0
        for number, (geometry, facts) in enumerate(geometries, 1):
            kind, places = geometry["type"], geometry["coordinates"]
            if kind not in {"Point", "LineString"}:
                other += 1
                continue
            line = [places] if kind == "Point" else places
            points += [(float(place[1]), float(place[0])) for place in line]
            ids += [None if kind == "Point" else int(facts.get("filament", number))] * len(line)
            scores += [_fact(facts, "score")] * len(line)
            widths += [_fact(facts, "width_px")] * len(line)
    except (*NOT_GEOJSON, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        raise CellsegError(f"{path.name}: cannot be read ({why})", expected, "export it again") from None
    notices = (f"{other} geometries that are neither points nor lines left out",) if other else ()
    return Coordinates.from_rows(points, ids, scores, widths_px=widths, notices=notices)


def _refused(path: Path, name: str) -> float:
    raise CellsegError(f"{path.name}: {name}", "finite numbers", "mend or delete what has none")


def _fact(facts: dict[str, Any], name: str) -> float:
    value = facts.get(name)
    return np.nan if value is None else float(value)


def write_geojson(coordinates: Coordinates) -> tuple[str, int]:
    """Return a GeoJSON collection: a LineString for each filament, a Point for each loose point."""
    features = [
        _feature("LineString", filament.path, _facts(filament, coordinates.pixel_nm))
        for filament in coordinates.filaments
    ]
    for place, score in zip(coordinates.points, _scores(coordinates), strict=True):
        features.append(_feature("Point", place, {} if score is None else {"score": float(score)}))
    content = {"type": "FeatureCollection", "features": features}
    return json.dumps(content, indent=1, allow_nan=False) + "\n", len(features)


def _facts(filament: Filament, pixel_nm: float | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"filament": filament.id, "length_px": round(filament.length_px, 3)}
    if pixel_nm is not None:
        facts["length_nm"] = round(filament.length_px * pixel_nm, 3)
    facts |= {name: value for name in ("width_px", "score") if (value := getattr(filament, name)) is not None}
    return facts


def _feature(kind: str, places: Any, facts: dict[str, Any]) -> dict[str, Any]:
    swapped = np.round(np.asarray(places)[..., ::-1], 6).tolist()
    return {"type": "Feature", "properties": facts, "geometry": {"type": kind, "coordinates": swapped}}
