"""Filaments of many files: traced in results, labels or masks, and written for another program."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from napari_cellseg.images.whole_files import write_errors
from napari_cellseg.objects.contamination import find_contamination
from napari_cellseg.objects.filaments import DEFAULTS, TRACERS, trace
from napari_cellseg.objects.settings import TraceSettings
from napari_cellseg.predict.refine import final_labels, finished_note
from napari_cellseg.predict.store import read_own
from napari_cellseg.predict.summary import Summary
from napari_cellseg.settings import ExportSettings

LABELS_ENDING = "_labels"  # as `segment` names its outputs
LIST = "autopick.star"
EXPORT_DEFAULTS = ExportSettings()


@dataclass(frozen=True)
class Traced:
    """A file is through.

    Attributes
    ----------
    path : Path
        Labels, mask or result.
    status : str
        "done" or "failed".
    message : str
        Why it failed, or what should be said of the file that was written.
    seconds : float
    output : Path or None
        The coordinate file.
    coordinates : Coordinates or None
        What was found.
    """

    path: Path
    status: str
    message: str = ""
    seconds: float = 0.0
    output: Path | None = None
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


def trace_files(
    paths: Sequence[Path | str],
    out: Path | str,
    *,
    format: str,
    images: Sequence[Path] = (),
    polarity: Polarity | None = None,
    pixel_nm: float | None = None,
    avoid_contamination: bool = False,
    overwrite: bool = False,
    settings: TraceSettings = DEFAULTS,
    export: ExportSettings = EXPORT_DEFAULTS,
) -> Iterator[Traced]:
    """Trace files one after the other; ``summary.csv`` is complete at any moment.

    Parameters
    ----------
    paths : sequence of Path
        ``NAME.ome.zarr`` results, ``NAME_labels.tif``, masks or probabilities as float images.
    out : Path
        Folder; made if it is not there.
    format : str
        One of `WRITERS`; for RELION the list of all files, ``autopick.star``, is written last.
    images : sequence of Path
        The micrographs, found by name: they say which way rows are counted, and where the
        contamination is.
    polarity : str, optional
        Which side of a two-valued mask is the filament; by default the brighter one.
    pixel_nm : float, optional
        Pixel size in nm, instead of what the files say.
    avoid_contamination : bool
        Trace nothing on carbon and ice; see `objects.contamination`.
    overwrite : bool
        Replace coordinate files that are there.
    settings : TraceSettings
    export : ExportSettings

    Yields
    ------
    Traced
        One a file; "failed" where it cannot be done.

    Raises
    ------
    CellsegError
        Before anything is done: no files, two of one name, a file that is there already, an
        unknown format or tracer. Later: a full disk.
    """
    out, files = Path(out), [Path(path) for path in paths]
    named(format, WRITERS)
    if settings.tracer not in TRACERS:
        raise CellsegError(f"no tracer '{settings.tracer}'", f"one of {', '.join(TRACERS)}")
    micrographs = {stem(path): path for path in images}
    targets = _targets(files, out, format, overwrite)
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    summary = Summary(out / "summary.csv", columns=("path", "status", "message", "seconds", "filaments"))
    summary.write()
    listed: list[tuple[str, Path]] = []
    for path, target in zip(files, targets, strict=True):
        start = time.monotonic()
        try:
            micrograph = micrographs.get(micrograph_of(path))
            found = _traced(path, micrograph, polarity, pixel_nm, avoid_contamination, settings)
            written = write_coordinates(target, found, format=format, overwrite=overwrite, settings=export)
        except CellsegError as error:
            if isinstance(error.__cause__, OSError) and error.found.startswith(str(target)):
                raise  # the disk or the folder: the next file would fail as well
            done = Traced(path, "failed", str(error), time.monotonic() - start)
        else:
            said = "; ".join((*found.notices, *written.notices))
            done = Traced(path, "done", said, time.monotonic() - start, target, found)
            if micrograph is not None:
                listed.append((str(micrograph), target))
        summary.add(_row(done))
        yield done
    if format in ("relion", "startend") and listed:
        write_list(out / LIST, listed, overwrite=True)


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


def micrograph_of(path: Path) -> str:
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
    excluded = None
    if avoid_contamination:
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


def _targets(files: Sequence[Path], out: Path, format: str, overwrite: bool) -> list[Path]:
    """Return the coordinate file of each file; none may be there, and no two may be the same."""
    if not files:
        raise CellsegError("no files to trace", "at least one")
    targets = [coordinate_file(out, f"{micrograph_of(path)}.mrc", format) for path in files]
    seen: dict[Path, Path] = {}
    for path, target in zip(files, targets, strict=True):
        if target in seen:
            raise CellsegError(
                f"{seen[target]} and {path} would both become '{target.name}'",
                "files with different names",
                "give the labels or the result of an image, not both",
            )
        seen[target] = path
        if target.exists() and not overwrite:
            raise CellsegError(f"{target}: exists already", remedy="choose another --out or give --overwrite")
    return targets


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
