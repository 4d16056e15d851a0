"""Filaments of many files: traced in results, labels or masks, and written for another program."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import WRITERS, coordinate_file, named, write_coordinates, write_list
from napari_cellseg.formats.masks import Polarity, mask_to_labels, read_mask, suggest_polarity
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.micrographs import read_image, stem
from napari_cellseg.images.remote import Place, names_in, placed
from napari_cellseg.objects.contamination import contamination_indices, find_contamination
from napari_cellseg.objects.filaments import DEFAULTS, TRACERS, trace
from napari_cellseg.objects.settings import TraceSettings
from napari_cellseg.predict.refine import final_labels, finished_note
from napari_cellseg.predict.scheduler import check_scheduler, run_all
from napari_cellseg.predict.staging import staged, summary_in
from napari_cellseg.predict.store import read_own
from napari_cellseg.settings import ExportSettings

LABELS_ENDING = "_labels"  # as `segment` names its outputs
LIST = "autopick.star"
COLUMNS = ("path", "status", "message", "seconds", "filaments")
EXPORT_DEFAULTS = ExportSettings()


@dataclass(frozen=True)
class Traced:
    """A file is through.

    Attributes
    ----------
    path : Path or Url
        Labels, mask or result.
    status : str
        "done" or "failed".
    message : str
        Why it failed, or what should be said of the file that was written.
    seconds : float
    output : Path, Url or None
        The coordinate file.
    coordinates : Coordinates or None
        What was found.
    """

    path: Place
    status: str
    message: str = ""
    seconds: float = 0.0
    output: Place | None = None
    coordinates: Coordinates | None = None


@dataclass(frozen=True)
class Found:
    """What a file says of where filaments are.

    Attributes
    ----------
    plane : (y, x)
        Probabilities (float32) or a mask (bool).
    pixel_nm : float or None
    notice : str
        What should be said, such as the polarity that was chosen.
    """

    plane: NDArray[Any]
    pixel_nm: float | None
    notice: str = ""


@dataclass(frozen=True)
class TraceFile:
    """All that is said of how files are traced; called with one and its target it does that.

    Attributes
    ----------
    format, polarity, pixel_nm, avoid_contamination, overwrite, settings, export
        As in `trace_files`.
    """

    format: str
    polarity: Polarity | None = None
    pixel_nm: float | None = None
    avoid_contamination: bool = False
    overwrite: bool = False
    settings: TraceSettings = DEFAULTS
    export: ExportSettings = EXPORT_DEFAULTS

    def __call__(self, job: tuple[Place, Place, Place | None]) -> Traced:
        """Trace a file into another; the third, if any, is its micrograph."""
        path, target, micrograph = job
        start = time.monotonic()
        with staged() as stage:
            near = stage.near(target)
            try:
                found = _traced(
                    stage.fetch(path),
                    stage.fetch(micrograph) if micrograph else None,
                    self.polarity,
                    self.pixel_nm,
                    self.avoid_contamination,
                    self.settings,
                )
                found = replace(found, micrograph=str(micrograph or ""))
                written = write_coordinates(
                    near, found, format=self.format, overwrite=self.overwrite, settings=self.export
                )
            except CellsegError as error:
                if isinstance(error.__cause__, OSError) and error.found.startswith(str(near)):
                    raise  # the disk or the folder: the next file would fail as well
                return Traced(path, "failed", stage.told(str(error)), time.monotonic() - start)
            stage.send(near, target)
        said = "; ".join((*found.notices, *written.notices))
        return Traced(path, "done", said, time.monotonic() - start, target, found)


def trace_files(
    paths: Sequence[Path | str],
    out: Path | str,
    *,
    format: str,
    images: Sequence[Path | str] = (),
    polarity: Polarity | None = None,
    pixel_nm: float | None = None,
    avoid_contamination: bool = False,
    overwrite: bool = False,
    scheduler: str = "",
    settings: TraceSettings = DEFAULTS,
    export: ExportSettings = EXPORT_DEFAULTS,
) -> Iterator[Traced]:
    """Trace files; ``summary.csv`` is complete at any moment.

    Parameters
    ----------
    paths : sequence of Path or str
        ``NAME.ome.zarr`` results, ``NAME_labels.tif``, masks or probabilities as float images; files
        here, or addresses such as ``s3://BUCKET/KEY``.
    out : Path or str
        Folder, here or in a store; made if it is not there.
    format : str
        One of `WRITERS`; for RELION the list of all files, ``autopick.star``, is written last, unless
        some are in a store, where RELION reads nothing.
    images : sequence of Path or str
        The micrographs, found by name: they say which way rows are counted, and where the
        contamination is.
    polarity : str, optional
        Which side of a two-valued mask is the filament; by default the brighter one.
    pixel_nm : float, optional
        Pixel size in nm, instead of what the files say.
    avoid_contamination : bool
        Trace nothing on carbon and ice: classes called so, where the result has them, else what is
        dark in the micrograph; see `objects.contamination`.
    overwrite : bool
        Replace coordinate files that are there.
    scheduler : str
        Who does it, see `predict.scheduler`; empty = this process, one file after the other.
    settings : TraceSettings
    export : ExportSettings

    Yields
    ------
    Traced
        One a file, with a scheduler as they are through; "failed" where it cannot be done.

    Raises
    ------
    CellsegError
        Before anything is done: no files, two of one name, a file that is there already, an
        unknown format, tracer or scheduler. Later: a full disk.
    """
    out, files, pictures = placed(out), [placed(path) for path in paths], [placed(path) for path in images]
    if scheduler:  # workers may be in another folder
        check_scheduler(scheduler)
        out, files = out.absolute(), [path.absolute() for path in files]
        pictures = [path.absolute() for path in pictures]
    named(format, WRITERS)
    if settings.tracer not in TRACERS:
        raise CellsegError(f"no tracer '{settings.tracer}'", f"one of {', '.join(TRACERS)}")
    micrographs = {stem(path): path for path in pictures}
    targets = _targets(files, out, format, overwrite)
    work = TraceFile(format, polarity, pixel_nm, avoid_contamination, overwrite, settings, export)
    jobs = [
        (path, target, micrographs.get(micrograph_of(path)))
        for path, target in zip(files, targets, strict=True)
    ]
    through: set[Place | None] = set()
    with summary_in(out, COLUMNS) as summary:
        for done in run_all(jobs, work, scheduler, _lost):
            summary.add(_row(done))
            through.add(done.output)
            yield done
    listed = [
        (str(image), target)
        for _, target, image in jobs
        if isinstance(image, Path) and isinstance(target, Path) and target in through
    ]
    if format in ("relion", "startend") and isinstance(out, Path) and listed:
        write_list(out / LIST, listed, overwrite=True)


def _lost(job: tuple[Place, Place, Place | None], why: str) -> Traced:
    return Traced(job[0], "failed", f"{job[0]}: {why}")


def find_filaments(path: Path, *, label: int = 2, polarity: Polarity | None = None) -> Found:
    """Return where a file says filaments are.

    Of a result of `segment` these are the probabilities, but the labels where they were refined.

    Parameters
    ----------
    path : Path
    label : int
        Index of the class, as in an annotation.
    polarity : str, optional
        Which side of a two-valued mask is the filament.

    Raises
    ------
    CellsegError
        If the file cannot be read, is unfinished or has no such class.
    """
    if read_own(path) is not None:
        return _in_result(path, label)
    plane = read_mask(path)
    pixel_nm = read_image(path).pixel_nm
    if stem(path).endswith(LABELS_ENDING):
        return Found(plane == label, pixel_nm)
    if np.issubdtype(plane.dtype, np.floating) and polarity is None:
        return Found(np.asarray(plane, np.float32), pixel_nm)
    notice = ""
    if polarity is None:
        suggestion = suggest_polarity(plane)
        polarity = "labels" if suggestion.polarity == "labels" else "bright"
        if suggestion.polarity == "dark":
            notice = (
                "the brighter side was taken for filaments (--polarity dark for the other); "
                f"{suggestion.reason}"
            )
    return Found(mask_to_labels(plane, polarity) == label, pixel_nm, notice)


def micrograph_of(path: Place) -> str:
    """Return the name of the micrograph that labels are of.

    Examples
    --------
    >>> micrograph_of(Path("out/m1_labels.tif")), micrograph_of(Path("out/m1.ome.zarr"))
    ('m1', 'm1')
    """
    return stem(path).removesuffix(LABELS_ENDING)


def _in_result(path: Path, label: int) -> Found:
    own = finished_note(path)
    names = own["classes"]["names"]
    if not 1 < label < len(names):
        raise CellsegError(
            f"{path.name}: no class of index {label}",
            f"one of {', '.join(f'{number} ({name})' for number, name in enumerate(names) if number > 1)}",
            "choose another --label",
        )
    pixel_nm = read_image(path).pixel_nm
    if own.get("post"):
        return Found(np.asarray(final_labels(path)[:]) == label, pixel_nm)
    probabilities = zarr.open_array(path / "probabilities/0", mode="r")[label - 1]
    return Found(np.asarray(probabilities, np.float32) / np.float32(255), pixel_nm)


def _traced(
    path: Path,
    micrograph: Path | None,
    polarity: Polarity | None,
    pixel_nm: float | None,
    avoid_contamination: bool,
    settings: TraceSettings,
) -> Coordinates:
    found = find_filaments(path, label=settings.label, polarity=polarity)
    pixel_nm = pixel_nm or found.pixel_nm
    excluded = learned_contamination(path) if avoid_contamination else None
    if avoid_contamination and excluded is None:
        if micrograph is None:
            raise CellsegError(
                f"{path.name}: no micrograph to look for carbon and ice in",
                "its image",
                "name it with --images",
            )
        image = read_image(micrograph)
        pixel_nm = pixel_nm or image.pixel_nm
        excluded = find_contamination(image.read(slice(None), slice(None))[0], pixel_nm=pixel_nm)
    filaments = trace(found.plane, pixel_nm=pixel_nm, excluded=excluded, settings=settings)
    return Coordinates(
        tuple(filaments),
        pixel_nm=pixel_nm,
        shape=(found.plane.shape[0], found.plane.shape[1]),
        micrograph=str(micrograph or ""),
        notices=(found.notice,) if found.notice else (),
    )


def learned_contamination(path: Path) -> NDArray[np.bool_] | None:
    """Return where a result's own classes of carbon and ice are (y, x); None if it has none."""
    own = read_own(path)
    indices = [] if own is None else contamination_indices(own["classes"]["names"])
    return np.isin(np.asarray(final_labels(path)[:]), indices) if indices else None


def _targets(files: Sequence[Place], out: Place, format: str, overwrite: bool) -> list[Place]:
    """Return the coordinate file of each file; none may be there, and no two may be the same."""
    if not files:
        raise CellsegError("no files to trace", "at least one")
    names = [coordinate_file(Path(), f"{micrograph_of(path)}.mrc", format).name for path in files]
    there = set() if overwrite else names_in(out)
    seen: dict[str, Place] = {}
    for path, name in zip(files, names, strict=True):
        if name in seen:
            raise CellsegError(
                f"{seen[name]} and {path} would both become '{name}'",
                "files with different names",
                "give the labels or the result of an image, not both",
            )
        seen[name] = path
        if name in there:
            raise CellsegError(
                f"{out / name}: exists already", remedy="choose another --out or give --overwrite"
            )
    return [out / name for name in names]


def _row(done: Traced) -> dict[str, str]:
    """Return what the summary says about a file."""
    row = {"path": str(done.path), "status": done.status, "message": done.message}
    row["seconds"] = f"{done.seconds:.2f}"
    if done.coordinates is None:
        return row
    filaments, pixel_nm = done.coordinates.filaments, done.coordinates.pixel_nm
    total = sum(one.length_px for one in filaments)
    row |= {"filaments": str(len(filaments)), "length_px": f"{total:.1f}"}
    return row | ({"length_nm": f"{total * pixel_nm:.1f}"} if pixel_nm else {})
