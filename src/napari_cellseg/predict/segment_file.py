"""One file segmented into a folder: its OME-Zarr result, its labels TIFF and its single cells."""

from __future__ import annotations

import functools
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image, read_image, stem
from napari_cellseg.images.remote import Place, Url
from napari_cellseg.objects.instances import CellsFound
from napari_cellseg.predict.blocks import DEFAULTS
from napari_cellseg.predict.chain import Chain, format_chain
from napari_cellseg.predict.instances import (
    finds_instances,
    instances_note,
    store_instances,
    stored_instances,
    write_instances_tiff,
)
from napari_cellseg.predict.label_tiff import holds, write_label_tiff
from napari_cellseg.predict.plan import ensemble
from napari_cellseg.predict.refine import final_labels, finished_note, refine_result, stored_labels
from napari_cellseg.predict.store import read_own
from napari_cellseg.predict.stream import BlockDone, segment_to
from napari_cellseg.settings import InstanceSettings, SegmentSettings

if TYPE_CHECKING:
    import zarr

    from napari_cellseg.nets.model import Model

CELLS = InstanceSettings()
Folder = TypeVar("Folder", Path, Url)


@dataclass(frozen=True)
class FileDone:
    """A file is through.

    Attributes
    ----------
    path : Path or Url
        The image.
    status : str
        "done", "failed" or "skipped" (finished by an earlier run).
    message : str
        Why it failed; otherwise empty.
    seconds : float
    outputs : tuple of Path or Url
        What was written.
    seconds_left : float or None
        For the files after it, where that is known.
    note : dict or None
        What this program noted in the result; None if it failed.
    """

    path: Place
    status: str
    message: str = ""
    seconds: float = 0.0
    outputs: tuple[Place, ...] = ()
    seconds_left: float | None = None
    note: dict[str, Any] | None = None


@dataclass(frozen=True)
class SegmentFile:
    """All that is said of how files are segmented; called with one it segments that, wherever it is.

    Attributes
    ----------
    models : tuple of Path
    out : Path
    settings, post, cells, pixel_nm, resume, overwrite
        As in `segment_files`.
    """

    models: tuple[Path, ...]
    out: Path
    settings: SegmentSettings = DEFAULTS
    post: Chain = ()
    cells: InstanceSettings = CELLS
    pixel_nm: float | None = None
    resume: bool = False
    overwrite: bool = False

    def __call__(self, path: Path) -> FileDone:
        """Segment a file."""
        return last(self.steps(path))

    def steps(self, path: Path) -> Generator[BlockDone | CellsFound, None, FileDone]:
        """Yield the blocks of a file; returns its `FileDone`."""
        start = time.monotonic()
        try:
            image = read_image(path, pixel_nm=self.pixel_nm)
            outcome = yield from _segment_file(
                image,
                loaded(self.models),
                self.out,
                self.settings,
                self.post,
                self.cells,
                resume=self.resume,
                overwrite=self.overwrite,
            )
        except CellsegError as error:
            written = tuple(str(name(self.out, path)) for name in (result_path, labels_path, instances_path))
            if isinstance(error.__cause__, OSError) and error.found.startswith(written):
                raise  # the disk or the folder: the next file would fail as well
            outcome = FileDone(path, "failed", str(error))
        return replace(outcome, seconds=time.monotonic() - start)

    def is_settled(self, path: Path) -> bool:
        """Return whether all that goes on from the network's result of a file is there as it should be."""
        own = read_own(result_path(self.out, path))
        if own is None or not labels_path(self.out, path).exists():
            return False
        if own.get("post", "") != format_chain(self.post):
            return False
        if not finds_instances(own):
            return True
        return _same_cells(own, self.cells) and instances_path(self.out, path).exists()


def last(steps: Generator[BlockDone | CellsFound, None, FileDone]) -> FileDone:
    """Return what becomes of a file in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            done: FileDone = stop.value
            return done


def loaded(paths: tuple[Path, ...]) -> tuple[Model, ...]:
    """Return models, kept in this process for the next file; read again only if a file changed."""
    return _loaded(paths, tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths))


@functools.lru_cache(1)
def _loaded(paths: tuple[Path, ...], changed: tuple[int, ...]) -> tuple[Model, ...]:
    from napari_cellseg.nets.model import load_model

    return ensemble([load_model(path) for path in paths])


def refuse_changed(target: Path, result: Path, stored: list[zarr.Array[Any]]) -> None:
    """Raise an error if a label TIFF of a result holds none of what was stored."""
    if target.exists() and not any(holds(read_image(target), labels) for labels in stored):
        raise CellsegError(
            f"{target} does not hold the labels of {result.name}",
            "what segmenting wrote: somebody changed it",
            "move it away, or replace it with --overwrite",
        )


def result_path(out: Folder, path: Place) -> Folder:
    """Return where the OME-Zarr result of an image goes."""
    return out / f"{stem(path)}.ome.zarr"


def labels_path(out: Folder, path: Place) -> Folder:
    """Return where the labels TIFF of an image goes."""
    return out / f"{stem(path)}_labels.tif"


def instances_path(out: Folder, path: Place) -> Folder:
    """Return where the single cells of an image go."""
    return out / f"{stem(path)}_instances.tif"


def write_labels_tiff(result: Path, target: Path, *, pixel_nm: float | None = None) -> None:
    """Write the labels of an OME-Zarr result, refined if they were, as a tiled TIFF.

    Parameters
    ----------
    result : Path
        ``NAME.ome.zarr`` as `segment_to` wrote it.
    target : Path
        The TIFF: uint8, deflate-compressed, a BigTIFF from 4 GB on.
    pixel_nm : float, optional
        Written as the resolution.

    Raises
    ------
    CellsegError
        If the disk is full or the folder cannot be written.
    """
    write_label_tiff(final_labels(result), target, pixel_nm=pixel_nm)


def _segment_file(
    image: Image,
    models: Sequence[Model],
    out: Path,
    settings: SegmentSettings,
    post: Chain,
    cells: InstanceSettings,
    *,
    resume: bool,
    overwrite: bool,
) -> Generator[BlockDone | CellsFound, None, FileDone]:
    """Yield the blocks of a file; returns its `FileDone`."""
    assert image.path is not None
    path, worked = image.path, False
    result, labels, instances = (name(out, path) for name in (result_path, labels_path, instances_path))
    with closing(
        segment_to(image, models, result, settings=settings, resume=resume, overwrite=overwrite)
    ) as blocks:
        for block in blocks:
            worked = True
            if block.done == block.total:  # what is there belongs to the result that is replaced now
                labels.unlink(missing_ok=True)
                instances.unlink(missing_ok=True)
            yield block
    outputs: tuple[Path, ...] = (result, labels)
    refined = finished_note(result).get("post", "") != format_chain(post)
    if refined:
        refuse_changed(labels, result, stored_labels(result))
        refine_result(result, post)
    if refined or not labels.exists():
        worked = True
        write_labels_tiff(result, labels, pixel_nm=image.pixel_nm)
    if finds_instances(finished_note(result)):
        outputs = (*outputs, instances)
        worked |= yield from _find_cells(result, instances, cells, image.pixel_nm)
    return FileDone(path, "done" if worked else "skipped", outputs=outputs, note=read_own(result))


def _find_cells(
    result: Path, target: Path, settings: InstanceSettings, pixel_nm: float | None
) -> Generator[CellsFound, None, bool]:
    """Yield the blocks in which cells are looked for; returns whether there was anything to do."""
    own = finished_note(result)
    if not _same_cells(own, settings):
        if instances_note(own) is not None:
            refuse_changed(target, result, [stored_instances(result)])
        yield from store_instances(result, settings=settings, pixel_nm=pixel_nm)
    elif target.exists():
        return False
    write_instances_tiff(result, target, pixel_nm=pixel_nm)
    return True


def _same_cells(own: dict[str, Any], settings: InstanceSettings) -> bool:
    """Return whether the cells of a result were found with these settings."""
    note = instances_note(own)
    return note is not None and note["settings"] == settings.model_dump(mode="json")
