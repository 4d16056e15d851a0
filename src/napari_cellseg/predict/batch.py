"""Many files: one bad file stops no other, and the summary is complete at any moment."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.instance_rings import are_rings
from napari_cellseg.images.micrographs import Image, read_image, stem
from napari_cellseg.images.whole_files import write_errors
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
from napari_cellseg.predict.stream import BlockDone, refuse_existing, segment_to
from napari_cellseg.predict.summary import Summary, shares
from napari_cellseg.settings import InstanceSettings, SegmentSettings

if TYPE_CHECKING:
    import zarr

    from napari_cellseg.nets.model import Model

log = logging.getLogger(__name__)

SUMMARY = "summary.csv"
CELLS = InstanceSettings()


@dataclass(frozen=True)
class FileDone:
    """A file is through.

    Attributes
    ----------
    path : Path
        The image.
    status : str
        "done", "failed" or "skipped" (finished by an earlier run).
    message : str
        Why it failed; otherwise empty.
    seconds : float
    outputs : tuple of Path
        What was written.
    """

    path: Path
    status: str
    message: str = ""
    seconds: float = 0.0
    outputs: tuple[Path, ...] = ()


def segment_files(
    paths: Sequence[Path | str],
    model_path: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    settings: SegmentSettings = DEFAULTS,
    post: Chain = (),
    cells: InstanceSettings = CELLS,
    pixel_nm: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Generator[BlockDone | CellsFound | FileDone, None, None]:
    """Segment files into a folder: ``STEM.ome.zarr``, ``STEM_labels.tif`` and ``summary.csv``.

    A model that finds single cells also writes ``STEM_instances.tif``.

    Parameters
    ----------
    paths : sequence of Path
        Images with different stems.
    model_path : Path or sequence of Path
        Of several models with the same classes the mean counts.
    out : Path
        Folder; made if it is not there.
    settings : SegmentSettings
    post : tuple of (name, settings)
        Steps that clean up the labels; see `predict.chain`.
    cells : InstanceSettings
        How single cells are made of what a model says that finds them.
    pixel_nm : float, optional
        Pixel size of all images in nm, instead of what their files say.
    resume : bool
        Leave finished files alone and go on with half-done ones.
    overwrite : bool
        Replace results that are there.

    Yields
    ------
    BlockDone, CellsFound or FileDone
        A file that cannot be segmented ends with a `FileDone` of status "failed".

    Raises
    ------
    CellsegError
        Before anything is done: no images, two images with one stem, a result that is
        there already, a model that cannot be loaded, settings of cells for one that finds none.
        Later: a full disk or a folder that cannot be written.
    """
    from napari_cellseg.nets.model import load_model

    out = Path(out)
    images = [Path(path) for path in paths]
    _check_stems(images)
    if not resume and not overwrite:
        for path in images:
            for output in (result_path, labels_path, instances_path):
                refuse_existing(output(out, path))
    named = [model_path] if isinstance(model_path, (str, Path)) else model_path
    models = ensemble([load_model(path) for path in named])
    if cells.model_fields_set and not are_rings(models[0].spec.classes):
        raise CellsegError(
            f"settings of single cells for a model that finds {', '.join(models[0].spec.classes.targets)}",
            "one that was trained with --polarity instances",
            "leave them out",
        )
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    summary = Summary(out / SUMMARY)
    summary.write()
    for path in images:
        start = time.monotonic()
        try:
            image = read_image(path, pixel_nm=pixel_nm)
            outcome = yield from _segment_file(
                image, models, out, settings, post, cells, resume=resume, overwrite=overwrite
            )
        except CellsegError as error:
            written = tuple(str(name(out, path)) for name in (result_path, labels_path, instances_path))
            if isinstance(error.__cause__, OSError) and error.found.startswith(written):
                raise  # the disk or the folder: the next file would fail as well
            outcome = FileDone(path, "failed", str(error))
        outcome = FileDone(path, outcome.status, outcome.message, time.monotonic() - start, outcome.outputs)
        summary.add(_row(outcome, models, read_own(result_path(out, path))))
        yield outcome


def refine_files(
    results: Sequence[Path], chain: Chain, *, overwrite: bool = False
) -> Generator[FileDone, None, None]:
    """Clean up the labels of stored results and write their labels TIFF anew, without the network.

    Parameters
    ----------
    results : sequence of Path
        ``NAME.ome.zarr`` as `segment_files` wrote them; ``NAME_labels.tif`` lies beside, and
        so does the `summary.csv` that is kept up to date.
    chain : tuple of (name, settings)
        Always applied to what the network said; an empty one takes the last one back.
    overwrite : bool
        Replace a labels TIFF that somebody changed.

    Yields
    ------
    FileDone
        After each result; "failed" where it cannot be done.
    """
    for path in results:
        start = time.monotonic()
        target = labels_path(path.parent, path)
        try:
            own = finished_note(path)
            if not overwrite:
                _refuse_changed(target, path, stored_labels(path))
            refine_result(path, chain)
            write_labels_tiff(path, target, pixel_nm=read_image(path).pixel_nm)
        except CellsegError as error:
            yield FileDone(path, "failed", str(error), time.monotonic() - start)
            continue
        if (path.parent / SUMMARY).exists():
            pixels = finished_note(path)["class_pixels"]
            Summary(path.parent / SUMMARY).update(stem(path), shares(pixels, own["classes"]["names"][1:]))
        yield FileDone(path, "done", "", time.monotonic() - start, (path, target))


def _refuse_changed(target: Path, result: Path, stored: list[zarr.Array[Any]]) -> None:
    """Raise an error if a label TIFF of a result holds none of what was stored."""
    if target.exists() and not any(holds(read_image(target), labels) for labels in stored):
        raise CellsegError(
            f"{target} does not hold the labels of {result.name}",
            "what segmenting wrote: somebody changed it",
            "move it away, or replace it with --overwrite",
        )


def result_path(out: Path, path: Path) -> Path:
    """Return where the OME-Zarr result of an image goes."""
    return out / f"{stem(path)}.ome.zarr"


def labels_path(out: Path, path: Path) -> Path:
    """Return where the labels TIFF of an image goes."""
    return out / f"{stem(path)}_labels.tif"


def instances_path(out: Path, path: Path) -> Path:
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
        _refuse_changed(labels, result, stored_labels(result))
        refine_result(result, post)
    if refined or not labels.exists():
        worked = True
        write_labels_tiff(result, labels, pixel_nm=image.pixel_nm)
    if finds_instances(finished_note(result)):
        outputs = (*outputs, instances)
        worked |= yield from _find_cells(result, instances, cells, image.pixel_nm)
    return FileDone(path, "done" if worked else "skipped", outputs=outputs)


def _find_cells(
    result: Path, target: Path, settings: InstanceSettings, pixel_nm: float | None
) -> Generator[CellsFound, None, bool]:
    """Yield the blocks in which cells are looked for; returns whether there was anything to do."""
    note = instances_note(finished_note(result))
    if note is None or note["settings"] != settings.model_dump(mode="json"):
        if note is not None:
            _refuse_changed(target, result, [stored_instances(result)])
        yield from store_instances(result, settings=settings, pixel_nm=pixel_nm)
    elif target.exists():
        return False
    write_instances_tiff(result, target, pixel_nm=pixel_nm)
    return True


def _row(outcome: FileDone, models: Sequence[Model], own: dict[str, Any] | None) -> dict[str, str]:
    """Return what the summary says about a file."""
    row = {"path": str(outcome.path), "status": outcome.status, "message": outcome.message}
    row |= {"seconds": f"{outcome.seconds:.2f}", "model": " + ".join(str(one.path or "") for one in models)}
    if outcome.status == "failed" or own is None:
        return row
    row |= shares(own["class_pixels"], own["classes"]["names"][1:])
    note = instances_note(own)
    return row if note is None else row | {"objects": str(note["objects"])}


def _check_stems(images: list[Path]) -> None:
    if not images:
        raise CellsegError("no images to segment", "at least one")
    seen: dict[str, Path] = {}
    for path in images:
        name = stem(path)
        if name in seen:
            raise CellsegError(
                f"{seen[name]} and {path} would both become '{name}.ome.zarr'",
                "images with different names",
                "rename one, or segment them into different folders",
            )
        seen[name] = path
