"""Filaments of many micrographs, straightened or cut into boxes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import Flip, SeveralMicrographs, micrograph_stem, read_coordinates
from napari_cellseg.formats.relion import spaces_notice
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.micrographs import Image, read_image, stem
from napari_cellseg.images.remote import Place, names_in, placed
from napari_cellseg.predict.extract import boxes_along, write_boxes, write_particles, write_strips
from napari_cellseg.predict.scheduler import check_scheduler, run_all
from napari_cellseg.predict.staging import SUMMARY, Stage, staged, summary_in
from napari_cellseg.predict.trace import LIST
from napari_cellseg.settings import ExportSettings

PARTICLES = "particles.star"
STRIP, BOXES = re.compile(r"(.+)_filament\d{3,}\.tif"), re.compile(r"(.+)_segments\.(?:mrcs|star)")


@dataclass(frozen=True)
class Straightened:
    """A micrograph is through.

    Attributes
    ----------
    path : Path or Url
        The micrograph.
    status : str
        "done" or "failed".
    message : str
        Why it failed, or what should be said of what was written.
    seconds : float
    outputs : tuple of Path or Url
        The strips; or the stack of boxes and its STAR file.
    count : int
        How many strips or boxes.
    box_px : int
        Side of the boxes; 0 of strips.
    pixel_nm : float or None
    """

    path: Place
    status: str
    message: str = ""
    seconds: float = 0.0
    outputs: tuple[Place, ...] = ()
    count: int = 0
    box_px: int = 0
    pixel_nm: float | None = None


@dataclass(frozen=True)
class Job:
    """A micrograph, its coordinate file (None = there is none), where to write, its name in STAR files."""

    image: Place
    coordinates: Place | None
    out: Place
    micrograph: str


@dataclass(frozen=True)
class StraightenFile:
    """All that is said of how filaments are straightened; called with one micrograph it does that.

    Attributes
    ----------
    width_px : float, optional
        Width of the strips in pixels; by default twice that of the filament.
    boxes : bool
        Cut boxes at every step instead of strips.
    pad : bool
        Keep boxes that leave the image.
    source : str
        Format of the coordinates, one of `formats.coordinates.READERS`; empty = by suffix and content.
    flip_source : {"auto", "yes", "no"}
        Whether they count rows from the bottom.
    pixel_nm : float, optional
        Pixel size in nm, instead of what the image says.
    overwrite : bool
        Replace files that are there.
    settings : ExportSettings
        Size and step of the boxes.
    """

    width_px: float | None = None
    boxes: bool = False
    pad: bool = False
    source: str = ""
    flip_source: Flip = "auto"
    pixel_nm: float | None = None
    overwrite: bool = False
    settings: ExportSettings = field(default_factory=ExportSettings)

    def __call__(self, job: Job) -> Straightened:
        """Straighten the filaments of a micrograph; "failed" where it cannot be done."""
        start = time.monotonic()
        with staged() as stage:
            near = stage.near(job.out)
            try:
                done = self._straightened(job, near, stage)
            except CellsegError as error:
                written = f"{near / stem(job.image)}_"
                if isinstance(error.__cause__, OSError) and error.found.startswith(written):
                    raise  # the disk or the folder: the next micrograph would fail as well
                done = Straightened(job.image, "failed", stage.told(str(error)))
            except OSError as error:  # a coordinate file that may not be read
                why = f"{error.filename or job.image}: {error.strerror}"
                done = Straightened(job.image, "failed", stage.told(why))
            outputs = tuple(job.out / output.name for output in done.outputs)
            for output in outputs:
                stage.send(near / output.name, output)
        return replace(done, outputs=outputs, seconds=time.monotonic() - start)

    def _straightened(self, job: Job, out: Path, stage: Stage) -> Straightened:
        image, found = self._read(job, stage)
        name, notices, box_px = stem(job.image), list(found.notices), 0
        plane = image.read(slice(None), slice(None))[0]
        outputs: tuple[Path, ...]
        if self.boxes:
            cut = boxes_along(plane, found, self.settings, pad=self.pad, pixel_nm=image.pixel_nm)
            count, box_px = cut.pixels.shape[:2]
            notices += [f"{cut.left_out} would leave the image"] if cut.left_out else []
            outputs = write_boxes(
                cut,
                out,
                name,
                micrograph=job.micrograph,
                pixel_nm=image.pixel_nm,
                overwrite=self.overwrite,
            )
        else:
            strips = write_strips(
                plane,
                found.filaments,
                out,
                name,
                width_px=self.width_px,
                pixel_nm=image.pixel_nm,
                overwrite=self.overwrite,
            )
            outputs, count = tuple(strips), len(found.filaments)
        said = "; ".join(notices)
        return Straightened(job.image, "done", said, 0.0, outputs, count, box_px, image.pixel_nm)

    def _read(self, job: Job, stage: Stage) -> tuple[Image, Coordinates]:
        """Return a micrograph and its filaments, of which there is at least one."""
        if job.coordinates is None:
            raise CellsegError(
                f"{job.image.name}: no coordinates of this name", "one file for each", "trace it first"
            )
        near = stage.fetch(job.image)
        image = read_image(near, pixel_nm=self.pixel_nm)
        found = read_coordinates(
            stage.fetch(job.coordinates),
            format=self.source or None,
            image=near,
            pixel_nm=image.pixel_nm,
            shape=image.shape,
            flip_y=self.flip_source,
        )
        if not found.filaments:
            raise CellsegError(
                f"{job.coordinates.name}: no filaments", "at least one", "trace the image first"
            )
        return image, found


def straighten_files(
    images: Sequence[Path | str],
    coordinates: Sequence[Path | str],
    out: Path | str,
    *,
    scheduler: str = "",
    how: StraightenFile | None = None,
) -> Iterator[Straightened]:
    """Straighten the filaments of micrographs; ``summary.csv`` is complete at any moment.

    Parameters
    ----------
    images : sequence of Path or str
        The micrographs; files here, or addresses such as ``s3://BUCKET/KEY``.
    coordinates : sequence of Path or str
        Their coordinate files, as `pair_coordinates` finds them.
    out : Path or str
        Folder, here or in a store; made if it is not there. ``NAME_filament001.tif``; of boxes
        ``NAME_segments.mrcs`` and ``.star``, and where there are several micrographs the list of all,
        ``particles.star``, unless they are in a store, where RELION reads nothing.
    scheduler : str
        Who does it, see `predict.scheduler`; empty = this process, one after the other.
    how : StraightenFile, optional
        What is made of them; strips by default.

    Yields
    ------
    Straightened
        One a micrograph, with a scheduler as they are through; "failed" where it cannot be done or
        has no coordinates.

    Raises
    ------
    CellsegError
        Before anything is done: no files, two of one name, a file that is there already, an unknown
        scheduler. Later: a full disk.
    """
    how = StraightenFile() if how is None else how
    out, files = placed(out), [placed(path) for path in images]
    found, _ = pair_coordinates(files, coordinates, source=how.source)
    folder, named = out, [str(path) for path in files]  # in STAR files they stay as they were said
    if scheduler:  # workers may be in another folder
        check_scheduler(scheduler)
        out, files = out.absolute(), [path.absolute() for path in files]
        found = [None if path is None else path.absolute() for path in found]
    jobs = [Job(image, path, out, name) for image, path, name in zip(files, found, named, strict=True)]
    _check(jobs, out, how)
    counted = "boxes" if how.boxes else "filaments"
    through: dict[Place, tuple[Path, float, int]] = {}

    def lost(job: Job, why: str) -> Straightened:
        return Straightened(job.image, "failed", f"{job.image}: {why}")

    with summary_in(out, ("path", "status", "message", "seconds", counted)) as summary:
        for done in run_all(jobs, how, scheduler, lost):
            row = {"path": str(done.path), "status": done.status, "message": done.message}
            row["seconds"] = f"{done.seconds:.2f}"
            summary.add(row | ({counted: str(done.count)} if done.status == "done" else {}))
            if done.box_px and done.pixel_nm is not None and isinstance(done.outputs[-1], Path):
                through[done.path] = done.outputs[-1], done.pixel_nm, done.box_px
            yield done
    if isinstance(out, Path) and isinstance(folder, Path) and len(jobs) > 1 and through:
        in_order = [through[job.image] for job in jobs if job.image in through]
        write_particles(out / PARTICLES, in_order, folder=folder)


def pair_coordinates(
    images: Sequence[Path | str], coordinates: Sequence[Path | str], *, source: str = ""
) -> tuple[list[Place | None], list[str]]:
    """Return the coordinate file of each micrograph, or None, and what is of none of them.

    One file of one micrograph is a pair. Else files are found by the name of the micrograph they are
    called after; a single one may hold several micrographs, by their names in it.

    Parameters
    ----------
    images : sequence of Path
    coordinates : sequence of Path
        The lists and summaries that lie beside what `trace` wrote are passed over.
    source : str
        Format of the coordinates; empty = by suffix and content.

    Raises
    ------
    CellsegError
        If there are no files, two are of one micrograph, or a single one cannot be read.

    Examples
    --------
    >>> files, lone = pair_coordinates(["m1.mrc", "m2.mrc"], ["picks/m2_autopick.star", "picks/m3.box"])
    >>> [file and file.name for file in files], lone
    ([None, 'm2_autopick.star'], ['m3.box'])
    """
    stems, files = [stem(placed(path)) for path in images], [placed(path) for path in coordinates]
    if len(files) > 1:
        files = [path for path in files if path.name not in (LIST, SUMMARY, PARTICLES)]
    if not stems or not files:
        raise CellsegError(f"no {'coordinate files' if stems else 'micrographs'}", "at least one")
    if len(stems) == len(files) == 1:
        return [*files], []
    of: dict[str, Place] = {}
    for path in files:
        name = micrograph_stem(path)
        if name in of:
            raise CellsegError(
                f"{of[name].name} and {path.name} are both of '{name}'",
                "one coordinate file for each micrograph",
                "name them with a pattern, such as 'picks/*_autopick.star'",
            )
        of[name] = path
    if len(files) == 1:
        inside = _micrographs_in(files[0], source)
        if len(inside) > 1 or (inside and name not in stems):
            of = dict.fromkeys(map(stem, inside), files[0])
    alone = set(of).difference(stems)
    lone = [
        path.name if micrograph_stem(path) == name else name for name, path in of.items() if name in alone
    ]
    return [of.get(name) for name in stems], lone


def _micrographs_in(path: Place, source: str) -> tuple[str, ...]:
    """Return the names of the micrographs that a coordinate file is of; none where it does not say."""
    with staged() as stage:
        try:
            named = read_coordinates(stage.fetch(path), format=source or None, flip_y="no").micrograph
        except SeveralMicrographs as several:
            return several.names
    return (named,) if named else ()


def _check(jobs: Sequence[Job], out: Place, how: StraightenFile) -> None:
    """Raise an error if two micrographs have one name, or something that is there would be replaced."""
    seen: dict[str, Place] = {}
    for job in jobs:
        name = stem(job.image)
        if name in seen:
            raise CellsegError(
                f"{seen[name]} and {job.image} are both called '{name}'",
                "micrographs with different names",
                "straighten them into different folders",
            )
        seen[name] = job.image
    if how.boxes and len(jobs) > 1 and spaces_notice(str(out)):
        raise CellsegError(f"{str(out)!r} has a space", "a folder without any", "RELION cannot read it")
    if how.overwrite:
        return
    written, wanted = BOXES if how.boxes else STRIP, {stem(job.image) for job in jobs if job.coordinates}
    for there in names_in(out):
        made = written.fullmatch(there)
        joint = how.boxes and len(jobs) > 1 and there == PARTICLES
        if joint or (made and made[1] in wanted):
            raise CellsegError(
                f"{out / there}: exists already", remedy="choose another --out or give --overwrite"
            )
