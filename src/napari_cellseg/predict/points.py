"""Points of many files: found in results or probabilities, on filaments if these are given, and written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import (
    WRITERS,
    coordinate_file,
    micrograph_stem,
    named,
    read_coordinates,
    write_coordinates,
)
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.micrographs import stem
from napari_cellseg.images.whole_files import write_errors
from napari_cellseg.objects.points import DEFAULTS, find_points
from napari_cellseg.objects.settings import PointSettings
from napari_cellseg.predict.summary import Summary
from napari_cellseg.predict.trace import find_filaments, micrograph_of

COLUMNS = ("path", "status", "message", "seconds", "points")


@dataclass(frozen=True)
class PointsFound:
    """A file is through.

    Attributes
    ----------
    path : Path
        Result or image of probabilities.
    status : str
        "done" or "failed".
    message : str
        Why it failed, or what should be said of the file that was written.
    seconds : float
    output : Path or None
        The coordinate file.
    coordinates : Coordinates
        What was found.
    """

    path: Path
    status: str
    message: str = ""
    seconds: float = 0.0
    output: Path | None = None
    coordinates: Coordinates = field(default_factory=Coordinates)


def point_files(
    paths: Sequence[Path | str],
    out: Path | str,
    *,
    format: str = "csv",
    filaments: Sequence[Path] = (),
    images: Sequence[Path] = (),
    pixel_nm: float | None = None,
    overwrite: bool = False,
    settings: PointSettings = DEFAULTS,
) -> Iterator[PointsFound]:
    """Find points in files one after the other; ``summary.csv`` is complete at any moment.

    Parameters
    ----------
    paths : sequence of Path
        ``NAME.ome.zarr`` results of a model that was trained from points, or float images of
        probabilities.
    out : Path
        Folder; made if it is not there. ``NAME_points.csv``, or as the other program expects.
    format : str
        One of `WRITERS`.
    filaments : sequence of Path
        Coordinate files, found by name: points are looked for on their filaments only.
    images : sequence of Path
        The micrographs, found by name: they say which way rows are counted.
    pixel_nm : float, optional
        Pixel size in nm, instead of what the files say.
    overwrite : bool
        Replace coordinate files that are there.
    settings : PointSettings

    Yields
    ------
    PointsFound
        One a file; "failed" where it cannot be done.

    Raises
    ------
    CellsegError
        Before anything is done: no files, two of one name, a file that is there already, an
        unknown format. Later: a full disk.
    """
    out, files = Path(out), [Path(path) for path in paths]
    targets = _targets(files, out, named(format, WRITERS), overwrite)
    lines = {micrograph_stem(path): path for path in filaments}
    micrographs = {stem(path): path for path in images}
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    summary = Summary(out / "summary.csv", columns=COLUMNS)
    summary.write()
    for path, target in zip(files, targets, strict=True):
        start, name = time.monotonic(), micrograph_of(path)
        try:
            found = _found(path, micrographs.get(name), lines.get(name), bool(lines), pixel_nm, settings)
            loose = replace(found, filaments=())
            written = write_coordinates(target, loose, format=format, overwrite=overwrite)
        except CellsegError as error:
            if isinstance(error.__cause__, OSError) and error.found.startswith(str(target)):
                raise  # the disk or the folder: the next file would fail as well
            done = PointsFound(path, "failed", str(error), time.monotonic() - start)
        else:
            said = "; ".join((*found.notices, *written.notices))
            done = PointsFound(path, "done", said, time.monotonic() - start, target, found)
        row = {"path": str(path), "status": done.status, "message": done.message}
        row |= {"seconds": f"{done.seconds:.2f}"}
        summary.add(row | ({"points": str(len(done.coordinates.points))} if done.output else {}))
        yield done


def _found(
    path: Path,
    micrograph: Path | None,
    lines: Path | None,
    on_lines: bool,
    pixel_nm: float | None,
    settings: PointSettings,
) -> Coordinates:
    said = find_filaments(path, label=settings.label)
    pixel_nm = pixel_nm or said.pixel_nm
    shape = (said.plane.shape[0], said.plane.shape[1])
    filaments: tuple[Filament, ...] = ()
    if on_lines:
        if lines is None:
            raise CellsegError(
                f"{path.name}: no filaments of this name", "one file for each", "trace it first"
            )
        filaments = read_coordinates(lines, image=micrograph, shape=shape, pixel_nm=pixel_nm).filaments
        if not filaments:
            return Coordinates(pixel_nm=pixel_nm, shape=shape, notices=(f"{lines.name} has no filaments",))
    plane = np.asarray(said.plane, np.float32)
    found = find_points(plane, filaments, pixel_nm=pixel_nm, settings=settings)
    return replace(found, micrograph=str(micrograph or ""))


def _targets(files: Sequence[Path], out: Path, format: str, overwrite: bool) -> list[Path]:
    """Return the coordinate file of each file; none may be there, and no two may be the same."""
    if not files:
        raise CellsegError("no files to find points in", "at least one")
    targets = []
    for path in files:
        target = coordinate_file(out, f"{micrograph_of(path)}.mrc", format)
        if format == "csv":
            target = target.with_name(f"{micrograph_of(path)}_points.csv")  # beside what `trace` writes
        if target in targets:
            raise CellsegError(f"two files would become '{target.name}'", "files with different names")
        if target.exists() and not overwrite:
            raise CellsegError(f"{target}: exists already", remedy="choose another --out or give --overwrite")
        targets.append(target)
    return targets
