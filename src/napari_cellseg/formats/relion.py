"""RELION's coordinates of helical segments, of ends of tubes and of single particles, as STAR files."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.star import MISSING, Table, numbers, read_tables, star_text, table_with
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.micrographs import stem
from napari_cellseg.images.segments import Segments, cut_segments

X, Y = "rlnCoordinateX", "rlnCoordinateY"
TUBE, TRACK = "rlnHelicalTubeID", "rlnHelicalTrackLengthAngst"
PSI = "rlnAnglePsiPrior"
SCORE = "rlnAutopickFigureOfMerit"
IMAGE = "rlnImageName"
MICROGRAPH, PICKED = "rlnMicrographName", "rlnMicrographCoordinates"
PIXEL = "rlnMicrographPixelSize"

SINGLE_PX = 2.0
"""Length that a tube of one segment is given: its own is not in the file."""
CURVED_PX = 2.0
"""From how far off the straight line between its ends a filament is said to be curved."""


class SeveralMicrographs(CellsegError):  # noqa: N818  # what it is, not that it failed
    """A file holds coordinates of several micrographs, and it was not said of which."""

    def __init__(self, file: str, names: Sequence[str]) -> None:
        self.names = tuple(names)
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        super().__init__(f"{file}: {len(names)} micrographs ({shown})", "one", "say which with its image")


def read_segments(text: str, path: Path, image: str) -> Coordinates:
    """Return the tubes and single particles of a STAR file; (row, col) = (Y, X) of the file.

    A tube of one segment goes `SINGLE_PX` on along the psi of that segment; where psi is missing
    too it is a point.

    Parameters
    ----------
    text : str
        Its content.
    path : Path
        For errors.
    image : str
        The micrograph whose rows are wanted, where there are several.

    Raises
    ------
    CellsegError
        If there is no such table, or a coordinate is no number.
    """
    tables = read_tables(text, path.name)
    table, micrograph = _of_micrograph(table_with(tables, [X, Y], path.name), path.name, image)
    tubes: NDArray[np.float64] = np.zeros(len(table[X]))
    if TUBE in table:
        tubes = numbers(table, TUBE, path.name, missing=0)
    order = np.arange(len(tubes))
    if TRACK in table:
        order = np.argsort(numbers(table, TRACK, path.name, missing=0), kind="stable")
        order = order[np.argsort(tubes[order], kind="stable")]
    points = np.stack([numbers(table, Y, path.name), numbers(table, X, path.name)], -1)
    scores = numbers(table, SCORE, path.name, missing=np.nan) if SCORE in table else None
    if TUBE in table:
        order, points = _with_ends(table, path.name, tubes, order, points)
    else:
        points = points[order]
    return Coordinates.from_rows(
        points,
        [int(tube) if TUBE in table else None for tube in tubes[order]],
        None if scores is None else scores[order],
        pixel_nm=_pixel_nm(tables, path.name),
        micrograph=micrograph,
        notices=_what_rows_are(table, path.name),
    )


def _with_ends(
    table: Table, file: str, tubes: NDArray[np.float64], order: NDArray[np.intp], points: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return rows (n,) in order, each tube of one segment twice, and the place (n, 2) of each."""
    names, counts = np.unique(tubes, return_counts=True)
    alone = np.isin(tubes, names[counts == 1])
    if PSI not in table or not alone.any():
        return order, points[order]
    psi = np.radians(numbers(table, PSI, file, missing=np.nan))
    alone &= np.isfinite(psi)
    twice = np.repeat(order, 1 + alone[order])
    places = points[twice]
    seconds = np.flatnonzero(np.diff(twice, prepend=-1) == 0)
    turned = psi[twice[seconds]]
    places[seconds] += SINGLE_PX * np.stack([-np.sin(turned), np.cos(turned)], -1)
    return twice, places


def _what_rows_are(table: Table, file: str) -> tuple[str, ...]:
    """Return what is to be said of a file that has nothing but places."""
    count = len(table[X])
    if set(table) - {X, Y} or not count:
        return ()
    ends = "" if count % 2 else "; if they are starts and ends of tubes, name its format 'startend'"
    return (f"{file} has only X and Y: its {count} rows are read as points{ends}",)


def _of_micrograph(table: Table, file: str, image: str) -> tuple[Table, str]:
    """Return the rows of one micrograph and its name."""
    names = list(dict.fromkeys(name for name in table.get(MICROGRAPH, []) if name not in MISSING))
    if not names:
        return table, ""
    wanted = names
    if len(names) > 1:
        wanted = [name for name in names if image and stem(name) == stem(image)]
        if not image or len(wanted) > 1:
            raise SeveralMicrographs(file, wanted or names)
        if not wanted:
            raise CellsegError(f"{file}: nothing of {Path(image).name}", "one of " + ", ".join(names[:5]))
    keep = [row for row, name in enumerate(table[MICROGRAPH]) if name == wanted[0]]
    return {column: [values[row] for row in keep] for column, values in table.items()}, wanted[0]


def _pixel_nm(tables: dict[str, Table], file: str) -> float | None:
    for table in tables.values():
        if table.get(PIXEL):
            sizes = numbers(table, PIXEL, file)
            return float(sizes[0]) / 10 if np.allclose(sizes, sizes[0]) and sizes[0] > 0 else None
    return None


def read_ends(text: str, path: Path, image: str) -> Coordinates:
    """Return the tubes of a start-end STAR file: rows 1 and 2 are the ends of the first, and so on.

    Raises
    ------
    CellsegError
        If the number of rows is odd; RELION then leaves out the whole micrograph.
    """
    tables = read_tables(text, path.name)
    table, micrograph = _of_micrograph(table_with(tables, [X, Y], path.name), path.name, image)
    ends = np.stack([numbers(table, Y, path.name), numbers(table, X, path.name)], -1)
    if len(ends) % 2:
        raise CellsegError(
            f"{path.name}: {len(ends)} rows",
            "two for each tube, start and end",
            "find the end that is missing",
        )
    scores = numbers(table, SCORE, path.name, missing=np.nan) if SCORE in table else None
    ids = [1 + row // 2 for row in range(len(ends))]
    return Coordinates.from_rows(
        ends, ids, scores, pixel_nm=_pixel_nm(tables, path.name), micrograph=micrograph
    )


def write_segments(coordinates: Coordinates, step_px: float) -> tuple[str, int]:
    """Return a STAR file of helical segments, or of single particles where there are no filaments.

    All that RELION needs of a segment is there: tube, tilt and psi prior, track length, flip
    ratio. A filament drawn by hand has no score and gets 1 where others have one.

    Parameters
    ----------
    coordinates : Coordinates
        In the frame of the file, with a pixel size; filaments or points.
    step_px : float
        Distance of the segments; 0 = the points of the paths.

    Returns
    -------
    text : str
    rows : int

    Raises
    ------
    CellsegError
        If there are filaments and no pixel size.
    """
    if not coordinates.filaments:
        columns: dict[str, Sequence[object]] = {
            X: _plain(coordinates.points[:, 1]),
            Y: _plain(coordinates.points[:, 0]),
        }
        if coordinates.scores is not None:
            columns[SCORE] = _plain(coordinates.scores)
        return star_text("", columns), len(coordinates.points)
    if coordinates.pixel_nm is None:
        raise CellsegError(
            "RELION needs the length along each filament in angstrom, and the pixel size is not known",
            "a pixel size in nm",
            "give the pixel size",
        )
    cuts = [cut_segments(filament, step_px) for filament in coordinates.filaments]
    columns = segment_columns(coordinates.filaments, cuts, coordinates.pixel_nm)
    return star_text("", columns), len(columns[X])


def segment_columns(
    filaments: Sequence[Filament], cuts: Sequence[Segments], pixel_nm: float
) -> dict[str, Sequence[object]]:
    """Return all that RELION needs of helical segments, as columns of a STAR file.

    Parameters
    ----------
    filaments : sequence of Filament
        At least one, in pixels of the micrograph in the file.
    cuts : sequence of Segments
        Those of each filament.
    pixel_nm : float
        Pixel size in nm.

    Examples
    --------
    >>> line = Filament([[10, 0], [10, 60]], id=7)
    >>> columns = segment_columns([line], [cut_segments(line, 25)], 0.1)
    >>> columns[TUBE], columns[TRACK]
    ([7, 7, 7], [0.0, 25.0, 50.0])
    """
    counts = [len(cut.points) for cut in cuts]
    points = np.concatenate([cut.points for cut in cuts])
    columns: dict[str, Sequence[object]] = {
        X: _plain(points[:, 1]),
        Y: _plain(points[:, 0]),
        TUBE: _repeated([filament.id for filament in filaments], counts),
        "rlnAngleTiltPrior": [90.0] * len(points),
        PSI: _plain(np.concatenate([cut.psi_degrees for cut in cuts])),
        TRACK: _plain(np.concatenate([cut.track_px for cut in cuts]) * 10 * pixel_nm),
        "rlnAnglePsiFlipRatio": [0.5] * len(points),
    }
    scores = [filament.score for filament in filaments]
    if any(score is not None for score in scores):
        columns[SCORE] = _repeated([1.0 if score is None else float(score) for score in scores], counts)
    return columns


def write_ends(coordinates: Coordinates) -> tuple[str, int]:
    """Return a start-end STAR file: two rows for each filament."""
    ends = np.array([filament.ends for filament in coordinates.filaments]).reshape(-1, 2)
    return star_text("", {X: _plain(ends[:, 1]), Y: _plain(ends[:, 0])}), len(ends)


def _plain(values: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in values]


def _repeated(values: Sequence[object], counts: Sequence[int]) -> list[object]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def curved(filaments: Sequence[Filament]) -> tuple[int, float]:
    """Return how many filaments are not straight, and how far the worst strays from its ends' line."""
    strays = []
    for filament in filaments:
        start, end = filament.ends
        along = end - start
        reach = float(np.hypot(*along))
        offsets = filament.path - start
        across = np.abs(offsets @ [-along[1], along[0]]) / reach if reach else np.hypot(*offsets.T)
        strays.append(float(across.max()))
    return sum(stray > CURVED_PX for stray in strays), max(strays, default=0.0)


def read_list(text: str, path: Path, image: str) -> Coordinates:
    """Return what the file that ``autopick.star`` names for a micrograph holds.

    Paths in it count from the root of the RELION project, one of the folders above the file.

    Raises
    ------
    CellsegError
        If there are several micrographs and it is not said which, or a file is not there.
    """
    table = table_with(read_tables(text, path.name), [MICROGRAPH, PICKED], path.name)
    rows, micrograph = _of_micrograph(table, path.name, image)
    if not rows[PICKED]:
        raise CellsegError(f"{path.name}: an empty list", "at least one micrograph")
    listed = Path(rows[PICKED][0])
    roots = [Path(), *path.absolute().parents]
    found = next((root / listed for root in roots if (root / listed).is_file()), None)
    if found is None:
        raise CellsegError(
            f"{path.name}: {listed} is not there", "a path from the root of the project", "move it back"
        )
    inner = read_segments(found.read_text(encoding="utf-8"), found, micrograph)
    return replace(inner, micrograph=micrograph)


def list_text(files: Sequence[tuple[str, str]]) -> str:
    """Return RELION's (4 and later) list of micrographs and their coordinate files.

    Parameters
    ----------
    files : sequence of (micrograph, coordinate file)
        Paths from the root of the RELION project.

    Raises
    ------
    CellsegError
        If a path has a space: RELION cannot read it, even in quotes.

    Examples
    --------
    >>> print(list_text([("mics/a.mrc", "picks/a_autopick.star")]).splitlines()[-2])
    mics/a.mrc    picks/a_autopick.star
    """
    return star_text(
        "coordinate_files",
        {MICROGRAPH: [micrograph for micrograph, _ in files], PICKED: [file for _, file in files]},
    )


def spaces_notice(path: str) -> tuple[str, ...]:
    """Return the warning that RELION cannot read a path with spaces, if it has any."""
    if not re.search(r"\s", path):
        return ()
    return (f"{path!r} has a space: RELION cannot read it; rename the micrograph",)
