"""Points of many files: found by a network or by filters, on filaments if these are given, and written."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
from napari_cellseg.images.micrographs import read_image, stem
from napari_cellseg.images.whole_files import write_errors
from napari_cellseg.objects.points import DEFAULTS, find_points
from napari_cellseg.objects.settings import PointSettings
from napari_cellseg.objects.site_filters import SiteFilters, find_sites, learn_sites
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
    filters: Path | None = None,
    pixel_nm: float | None = None,
    overwrite: bool = False,
    settings: PointSettings = DEFAULTS,
) -> Iterator[PointsFound]:
    """Find points in files one after the other; ``summary.csv`` is complete at any moment.

    Parameters
    ----------
    paths : sequence of Path
        ``NAME.ome.zarr`` results of a model that was trained from points, or float images of
        probabilities; with `filters` micrographs.
    out : Path
        Folder; made if it is not there. ``NAME_points.csv``, or as the other program expects.
    format : str
        One of `WRITERS`.
    filaments : sequence of Path
        Coordinate files, found by name: points are looked for on their filaments only.
    images : sequence of Path
        The micrographs, found by name: they say which way rows are counted.
    filters : Path, optional
        What `learn_files` made: points are looked for in the micrographs, along their filaments.
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
    known = None if filters is None else SiteFilters.load(filters)
    if known is not None and not lines:
        raise CellsegError("filters of sites and no filaments", "files of filaments", "give --filaments")
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    summary = Summary(out / "summary.csv", columns=COLUMNS)
    summary.write()
    for path, target in zip(files, targets, strict=True):
        start, name = time.monotonic(), micrograph_of(path)
        try:
            found = _found(
                path, micrographs.get(name), lines.get(name), bool(lines), known, pixel_nm, settings
            )
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


def learn_files(
    images: Sequence[Path],
    points: Sequence[Path],
    filaments: Sequence[Path],
    *,
    pixel_nm: float | None = None,
    settings: PointSettings = DEFAULTS,
) -> SiteFilters:
    """Return filters learned from micrographs with their points and filaments, found by name.

    Parameters
    ----------
    images, points, filaments : sequence of Path
        Micrographs and coordinate files; all points on the filaments of a micrograph have to be there.
    pixel_nm : float, optional
        Pixel size in nm, instead of what the micrographs say.
    settings : PointSettings
        How many strands there are.

    Raises
    ------
    CellsegError
        If a micrograph has no points or no filaments, or there are too few.
    """
    marked, lines = ({micrograph_stem(path): path for path in paths} for paths in (points, filaments))
    lone = [path.name for path in images if stem(path) not in marked or stem(path) not in lines]
    if lone:
        raise CellsegError(
            f"no points or no filaments of {', '.join(lone[:5])}",
            "both of each micrograph, named after it",
            "give --points and --filaments, or leave the micrograph out",
        )

    def examples() -> Iterable[tuple[np.ndarray, Coordinates]]:
        for path in images:
            image = read_image(path, pixel_nm=pixel_nm)
            facts: dict[str, Any] = {"image": path, "shape": image.shape, "pixel_nm": image.pixel_nm}
            there, along = (read_coordinates(files[stem(path)], **facts) for files in (marked, lines))
            truth = Coordinates(along.filaments, there.points, pixel_nm=image.pixel_nm, shape=image.shape)
            yield image.read(slice(None), slice(None))[0], truth

    return learn_sites(examples(), settings=settings)


def _found(
    path: Path,
    micrograph: Path | None,
    lines: Path | None,
    on_lines: bool,
    filters: SiteFilters | None,
    pixel_nm: float | None,
    settings: PointSettings,
) -> Coordinates:
    if filters is None:
        said = find_filaments(path, label=settings.label)
        plane, pixel_nm = said.plane, pixel_nm or said.pixel_nm
    else:
        image, micrograph = read_image(path, pixel_nm=pixel_nm), path
        plane, pixel_nm = image.read(slice(None), slice(None))[0], image.pixel_nm
    shape = (plane.shape[0], plane.shape[1])
    filaments: tuple[Filament, ...] = ()
    if on_lines:
        if lines is None:
            raise CellsegError(
                f"{path.name}: no filaments of this name", "one file for each", "trace it first"
            )
        filaments = read_coordinates(lines, image=micrograph, shape=shape, pixel_nm=pixel_nm).filaments
        if not filaments:
            return Coordinates(pixel_nm=pixel_nm, shape=shape, notices=(f"{lines.name} has no filaments",))
    if filters is None:
        plane = np.asarray(plane, np.float32)
        found = find_points(plane, filaments, pixel_nm=pixel_nm, settings=settings)
    else:
        found = find_sites(plane, filaments, filters, pixel_nm=pixel_nm, settings=settings)
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
