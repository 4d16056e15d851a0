"""Coordinate files of other programs, both ways: which there are, and in which frame they count.

In here everything is (row, col) in pixels of the micrograph, as tifffile and mrcfile show it.
A format's own functions take and return rows and columns of *its* frame; what turns and
scales one into the other is here, once.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats import relion
from napari_cellseg.formats.kinds import (
    READERS,
    WRITERS,
    CoordinateWriter,
    coordinate_file,
    detect_format,
    micrograph_stem,
    named,
)
from napari_cellseg.formats.relion import SeveralMicrographs
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.settings import ExportSettings

__all__ = [
    "READERS",
    "WRITERS",
    "Coordinates",
    "SeveralMicrographs",
    "Written",
    "coordinate_file",
    "format_of",
    "micrograph_stem",
    "named",
    "read_coordinates",
    "write_coordinates",
    "write_list",
]

Flip = Literal["auto", "yes", "no"]

TIFF = (".tif", ".tiff", ".btf", ".tf8")
DEFAULTS = ExportSettings()

SAME_PIXEL = 1e-3
"""Pixel sizes that differ by less than this share count as equal."""


@dataclass(frozen=True)
class Written:
    """What was written: the file, how many filaments, points and rows, and what should be said of it."""

    path: Path
    filaments: int
    points: int
    rows: int
    notices: tuple[str, ...] = ()


def read_coordinates(
    path: str | Path,
    *,
    format: str | None = None,
    image: str | Path | None = None,
    shape: tuple[int, int] | None = None,
    pixel_nm: float | None = None,
    flip_y: Flip = "auto",
) -> Coordinates:
    r"""Return what a coordinate file says of a micrograph, in the micrograph's pixels.

    Parameters
    ----------
    path : str or Path
        The file.
    format : str, optional
        One of `READERS`; by default what suffix and content say.
    image : str or Path, optional
        The micrograph: which rows are wanted of a file of several, and which way rows are
        counted. Where it is a file, size and pixel size are read from it.
    shape : (y, x), optional
        Size of the micrograph.
    pixel_nm : float, optional
        Pixel size of the micrograph; where the file gives another one, coordinates are scaled.
    flip_y : {"auto", "yes", "no"}
        Whether rows are counted from the bottom; auto = of TIFF micrographs in files of
        RELION, EMAN and crYOLO.

    Raises
    ------
    CellsegError
        If the file is missing, damaged, of several micrographs, or needs a height that is not known.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "mic.csv"
    >>> _ = file.write_text("X,Y\n30,20\n")
    >>> read_coordinates(file).points.tolist()
    [[20.0, 30.0]]
    """
    path = Path(path).expanduser()
    text = _text(path)
    reader = READERS[named(format, READERS)] if format else READERS[detect_format(path, text)]
    found = reader.read(text, path, "" if image is None else str(image))
    if image is not None:
        found = replace(found, micrograph=str(image))
        if Path(image).exists() and (shape is None or pixel_nm is None):
            opened = read_image(image)
            shape, pixel_nm = shape or opened.shape, pixel_nm or opened.pixel_nm
    factor = 1.0
    if found.pixel_nm and pixel_nm and abs(found.pixel_nm / pixel_nm - 1) > SAME_PIXEL:
        factor = found.pixel_nm / pixel_nm
    if shape is not None:
        found = replace(found, shape=(round(shape[0] / factor), round(shape[1] / factor)))
    if _flipped(flip_y, reader.flips, found.micrograph):
        found = found.flipped()
    if factor != 1:
        found = found.scaled(factor)
    found = replace(found, shape=shape or found.shape, pixel_nm=pixel_nm or found.pixel_nm)
    outside = found.outside()
    if outside:
        notice = f"{outside} filaments and points of {path.name} leave the micrograph; is it another one?"
        found = replace(found, notices=(*found.notices, notice))
    return found


def format_of(path: str | Path) -> str:
    """Return which of `READERS` a file is for, by its suffix and content.

    Raises
    ------
    CellsegError
        If it is missing, or of no known kind.
    """
    return detect_format(Path(path), _text(Path(path)))


def write_coordinates(
    path: str | Path,
    coordinates: Coordinates,
    *,
    format: str,
    overwrite: bool = False,
    settings: ExportSettings = DEFAULTS,
) -> Written:
    """Write filaments and points for another program.

    Parameters
    ----------
    path : str or Path
        The file; `coordinate_file` names it as the other program expects.
    coordinates : Coordinates
        In pixels of the image they were found in; with the micrograph's name, its shape and
        its pixel size where they are known.
    format : str
        One of `WRITERS`.
    overwrite : bool
        Whether an existing file may be replaced.
    settings : ExportSettings

    Raises
    ------
    CellsegError
        If the file exists, or something is missing that the format needs.
    """
    path = Path(path).expanduser()
    writer = WRITERS[named(format, WRITERS)]
    if path.exists() and not overwrite:
        raise CellsegError(f"{path}: exists already", "a new name", "choose another one, or say overwrite")
    placed = _placed(coordinates, writer, settings)
    placed, notices = _numbered(placed)
    step_px = _step_px(placed, settings) if writer.cuts and placed.filaments else 0.0
    text, rows = writer.write(placed, step_px)
    notices += _notices(placed, writer, settings)
    write_whole(path, text)
    kept = len(placed.points) if writer.points or not placed.filaments else 0
    return Written(path, len(placed.filaments), kept, rows, notices)


def write_list(
    path: Path, files: list[tuple[str, Path]], *, root: Path | None = None, overwrite: bool = False
) -> Path:
    """Write the list that RELION 4 and later import: which file belongs to which micrograph.

    Parameters
    ----------
    path : Path
        ``autopick.star``, as RELION calls it.
    files : list of (micrograph, coordinate file)
    root : Path, optional
        Root of the RELION project, from which paths count; the current folder by default.
        What does not lie in it is listed with its whole path.
    overwrite : bool

    Raises
    ------
    CellsegError
        If a path has a space, which RELION cannot read.
    """
    if path.exists() and not overwrite:
        raise CellsegError(f"{path}: exists already", "a new name", "choose another one, or say overwrite")
    root = (root or Path()).absolute()

    def listed(file: str | Path) -> str:
        whole = Path(file).absolute()
        return str(whole.relative_to(root)) if whole.is_relative_to(root) else str(whole)

    write_whole(path, relion.list_text([(listed(micrograph), listed(file)) for micrograph, file in files]))
    return path


def _text(path: Path) -> str:
    if not path.is_file():
        raise CellsegError(f"{path}: no such file", "a file of coordinates", "check the path")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CellsegError(f"{path.name}: no text", "a file of coordinates", "is it another file?") from None


def _flipped(flip_y: Flip, flips: bool, micrograph: str) -> bool:
    return flip_y == "yes" or (flip_y == "auto" and flips and micrograph.lower().endswith(TIFF))


def _placed(coordinates: Coordinates, writer: CoordinateWriter, settings: ExportSettings) -> Coordinates:
    """Return the coordinates in the frame of the file."""
    target = settings.micrograph_pixel_nm
    if target is not None:
        if coordinates.pixel_nm is None:
            raise CellsegError(
                "a pixel size of the micrograph, and none of the image traced",
                "both",
                "give its pixel size too",
            )
        coordinates = coordinates.scaled(coordinates.pixel_nm / target)
    coordinates = replace(
        coordinates, box_px=settings.box_px or coordinates.box_px or _usual_box_px(coordinates)
    )
    if _flipped(settings.flip_y, writer.flips, coordinates.micrograph):
        coordinates = coordinates.flipped()
    return coordinates


def _usual_box_px(coordinates: Coordinates) -> float | None:
    """Return twice the width of the filaments, in whole even pixels."""
    widths = [filament.width_px for filament in coordinates.filaments if filament.width_px]
    return 2.0 * round(float(np.median(widths))) if widths else None


def _numbered(coordinates: Coordinates) -> tuple[Coordinates, tuple[str, ...]]:
    """Return the filaments with numbers from 1, each once; as they are if they have such."""
    ids = [filament.id for filament in coordinates.filaments]
    if len(set(ids)) == len(ids) and min(ids, default=1) >= 1:
        return coordinates, ()
    filaments = tuple(
        replace(filament, id=number) for number, filament in enumerate(coordinates.filaments, 1)
    )
    return replace(coordinates, filaments=filaments), ("filaments were numbered anew, from 1",)


def _step_px(coordinates: Coordinates, settings: ExportSettings) -> float:
    if settings.step_px is not None:
        return settings.step_px
    if coordinates.pixel_nm is None:
        raise CellsegError(
            f"segments every {settings.units * settings.rise_angstrom:g} A, and the pixel size is not known",
            "a pixel size, or a step in pixels",
            "give one of them",
        )
    return settings.units * settings.rise_angstrom / (10 * coordinates.pixel_nm)


def _notices(placed: Coordinates, writer: CoordinateWriter, settings: ExportSettings) -> tuple[str, ...]:
    notices = []
    if writer.flips and not placed.micrograph and settings.flip_y == "auto":
        notices.append("rows as in an MRC: it is not known what kind of file the micrograph is")
    if writer.flips:
        notices += relion.spaces_notice(placed.micrograph)
    if not writer.curves:
        many, stray = relion.curved(placed.filaments)
        if many:
            notices.append(
                f"{many} of {len(placed.filaments)} filaments are curved, by up to {stray:.0f} px: "
                "this format makes them straight"
            )
    if not writer.points and placed.filaments and len(placed.points):
        notices.append(
            f"{len(placed.points)} loose points were left out: this format has filaments or points"
        )
    return tuple(notices)
