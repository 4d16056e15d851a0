"""The kinds of coordinate files there are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats import cbox, eman, relion, svg, tables
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.micrographs import stem

ENDINGS = ("_autopick", "_startend", "_manualpick", "_filaments", "_troponin", "_points")
"""What programs put between the micrograph's name and the suffix."""


@dataclass(frozen=True)
class CoordinateReader:
    """One kind of coordinate file.

    Attributes
    ----------
    suffixes : tuple of str
        Names that it may have.
    read : callable
        ``read(text, path, image)``: what a file holds, in its own frame; of the named
        micrograph where it holds several.
    description : str
    flips : bool
        Whether rows of a TIFF are counted from the bottom.
    sign : str
        A text that only files of this kind hold; empty = any with the suffix.
    """

    suffixes: tuple[str, ...]
    read: Callable[[str, Path, str], Coordinates]
    description: str
    flips: bool = True
    sign: str = ""


@dataclass(frozen=True)
class CoordinateWriter:
    """One kind of coordinate file.

    Attributes
    ----------
    ending : str
        What follows the micrograph's name, without its suffix, in the name of the file.
    write : callable
        ``write(coordinates, step_px)``: the text of the file and how many rows it has.
    description : str
    next_step : str
        What to do with the file.
    flips : bool
        Whether rows of a TIFF are counted from the bottom.
    cuts : bool
        Whether filaments are cut into segments.
    curves : bool
        Whether a curved filament stays curved.
    points : bool
        Whether loose points are written too, beside filaments.
    """

    ending: str
    write: Callable[[Coordinates, float], tuple[str, int]]
    description: str
    next_step: str
    flips: bool = True
    cuts: bool = False
    curves: bool = True
    points: bool = False


READERS: dict[str, CoordinateReader] = {
    "autopick": CoordinateReader(
        (".star",),
        relion.read_list,
        "RELION 4 and later: list of micrographs and their coordinate files",
        sign=f"_{relion.PICKED}",
    ),
    "relion": CoordinateReader(
        (".star",), relion.read_segments, "RELION: helical segments, or single particles"
    ),
    "startend": CoordinateReader(
        (".star",), relion.read_ends, "RELION: starts and ends of tubes; only where it is named"
    ),
    "helicon": CoordinateReader(
        (".box", ".txt"), eman.read_helicon, "EMAN2: helix boxes, either kind of brackets", sign="#helix"
    ),
    "eman": CoordinateReader((".box",), eman.read_boxes, "EMAN1: boxes, those with -1 and -2 as helices"),
    "cbox": CoordinateReader((".cbox",), cbox.read_cbox, "crYOLO: boxes of filaments or particles"),
    "svg": CoordinateReader(
        (".svg",), svg.read_svg, "drawing: paths, polylines, polygons, lines; circles as points", flips=False
    ),
    "csv": CoordinateReader(
        (".csv", ".tsv"),
        tables.read_csv,
        "table of points, or of filaments with a column that says which",
        flips=False,
    ),
    "geojson": CoordinateReader(
        (".geojson", ".json"), tables.read_geojson, "GeoJSON: lines as filaments, points", flips=False
    ),
}

WRITERS: dict[str, CoordinateWriter] = {
    "relion": CoordinateWriter(
        "_autopick.star",
        relion.write_segments,
        "RELION: helical segments with priors, or single particles",
        "RELION: import the list, then extract particles: helical segments, coordinates not start-end only",
        cuts=True,
    ),
    "startend": CoordinateWriter(
        "_startend.star",
        lambda coordinates, _: relion.write_ends(coordinates),
        "RELION: starts and ends of tubes, which RELION cuts",
        "RELION: import the list, then extract particles: helical segments, start-end only, tubes cut",
        curves=False,
    ),
    "helicon": CoordinateWriter(
        ".box",
        eman.write_helicon,
        "EMAN2: helix boxes with the centres of segments",
        "EMAN2's helix boxer; RELION takes it as segments of straight tubes",
        cuts=True,
        curves=False,
    ),
    "eman": CoordinateWriter(
        ".box",
        lambda coordinates, _: eman.write_boxes(coordinates),
        "EMAN1: helix boxes (-1/-2) in whole pixels, or boxes of points",
        "EMAN's helix boxer; RELION takes it as start-end, less half a width at either end",
        curves=False,
    ),
    "cbox": CoordinateWriter(
        ".cbox",
        cbox.write_cbox,
        "crYOLO: boxes along filaments and of points",
        "crYOLO's box manager or napari-boxmanager, to look at it or to train on it",
        cuts=True,
        points=True,
    ),
    "svg": CoordinateWriter(
        ".svg",
        lambda coordinates, _: svg.write_svg(coordinates),
        "drawing: a polyline for each filament, a circle for each point",
        "any drawing program; it opens here again",
        flips=False,
        points=True,
    ),
    "csv": CoordinateWriter(
        ".csv",
        lambda coordinates, _: tables.write_csv(coordinates),
        "table: filament, X, Y; or X, Y of points",
        "a spreadsheet or a script; it opens here again",
        flips=False,
        points=True,
    ),
    "geojson": CoordinateWriter(
        ".geojson",
        lambda coordinates, _: tables.write_geojson(coordinates),
        "GeoJSON: lines with number, length, width and score; points",
        "QuPath, shapely or geopandas; it opens here again",
        flips=False,
        points=True,
    ),
}


def coordinate_file(folder: Path, micrograph: str | Path, format: str) -> Path:
    """Return what the coordinate file of a micrograph is called.

    Examples
    --------
    >>> coordinate_file(Path("out"), "mics/m1.mrc", "relion").name
    'm1_autopick.star'
    """
    return folder / f"{stem(micrograph)}{WRITERS[named(format, WRITERS)].ending}"


def micrograph_stem(path: str | Path) -> str:
    """Return the name of the micrograph that a coordinate file is called after.

    Examples
    --------
    >>> micrograph_stem("out/m1_autopick.star"), micrograph_stem("m1.cbox")
    ('m1', 'm1')
    """
    name = Path(path).name.rpartition(".")[0]
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def detect_format(path: Path, text: str) -> str:
    """Return which of `READERS` a file is for.

    Raises
    ------
    CellsegError
        If none.
    """
    name = path.name.lower()
    fitting = [kind for kind, reader in READERS.items() if name.endswith(reader.suffixes)]
    if not fitting:
        raise CellsegError(f"{path.name}: no coordinates of a known kind", _kinds(), "name its format")
    for kind in fitting:
        if READERS[kind].sign in text:
            return kind
    raise CellsegError(f"{path.name}: not {' or '.join(fitting)}", _kinds(), "name its format")


def _kinds() -> str:
    return ", ".join(f"{name} ({' '.join(reader.suffixes)})" for name, reader in READERS.items())


def named(format: str, registry: dict[str, CoordinateReader] | dict[str, CoordinateWriter]) -> str:
    """Return the name of a format that is in a registry.

    Raises
    ------
    CellsegError
        If it is not; those there are are listed.
    """
    if format not in registry:
        raise CellsegError(f"format {format!r}", ", ".join(registry))
    return format
