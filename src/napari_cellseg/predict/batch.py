"""Many files: one bad file stops no other, and the summary is complete at any moment."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.instance_rings import are_rings
from napari_cellseg.images.micrographs import read_image, stem
from napari_cellseg.images.remote import Place, Url, is_remote, names_in, placed
from napari_cellseg.nets.machine import accelerators
from napari_cellseg.objects.instances import CellsFound
from napari_cellseg.predict.blocks import DEFAULTS
from napari_cellseg.predict.chain import Chain
from napari_cellseg.predict.instances import instances_note
from napari_cellseg.predict.network import TURN
from napari_cellseg.predict.refine import finished_note, refine_result, stored_labels
from napari_cellseg.predict.scheduler import check_scheduler, processors, run_files
from napari_cellseg.predict.segment_away import SegmentAway
from napari_cellseg.predict.segment_file import (
    CELLS,
    FileDone,
    SegmentFile,
    instances_path,
    labels_path,
    loaded,
    refuse_changed,
    result_path,
    write_labels_tiff,
)
from napari_cellseg.predict.staging import SUMMARY, staged_ahead, summary_in
from napari_cellseg.predict.stream import BlockDone, refuse_existing
from napari_cellseg.predict.summary import Summary, shares
from napari_cellseg.settings import InstanceSettings, SegmentSettings

Record: TypeAlias = BlockDone | CellsFound | FileDone
Records: TypeAlias = "SimpleQueue[Record | None]"

CPU_FILES, CARD_FILES = 2, 8
"""Files worked on at a time; on a card reading and writing take longer than the network."""


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
    scheduler: str = "",
) -> Generator[Record, None, None]:
    """Segment files into a folder: ``STEM.ome.zarr``, ``STEM_labels.tif`` and ``summary.csv``.

    A model that finds single cells also writes ``STEM_instances.tif``.

    Parameters
    ----------
    paths : sequence of Path or str
        Images with different stems; files here, or addresses such as ``s3://BUCKET/KEY``.
    model_path : Path or sequence of Path
        Of several models with the same classes the mean counts.
    out : Path or str
        Folder, here or in a store; made if it is not there.
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
    scheduler : str
        Who does it, see `predict.scheduler`; empty = this process, the results in the order of the files.

    Yields
    ------
    BlockDone, CellsFound or FileDone
        A file that cannot be segmented ends with a `FileDone` of status "failed". With a scheduler
        files come in the order they are through, without blocks.

    Raises
    ------
    CellsegError
        Before anything is done: no images, two images with one stem, a result that is
        there already, a model that cannot be loaded, settings of cells for one that finds none, a
        scheduler that is not there.
        Later: a full disk or a folder that cannot be written.
    """
    out, images = placed(out), [placed(path) for path in paths]
    if scheduler:  # workers may be in another folder
        check_scheduler(scheduler)
        out, images = out.absolute(), [path.absolute() for path in images]
    _check_stems(images)
    if not resume and not overwrite:
        _refuse_results(images, out)
    named = [model_path] if isinstance(model_path, (str, Path)) else model_path
    work = SegmentFile(
        _on_this_machine(named, absolute=bool(scheduler)),
        out if isinstance(out, Path) else Path(),
        settings,
        post,
        cells,
        pixel_nm,
        resume,
        overwrite,
    )
    models = loaded(work.models)
    if cells.model_fields_set and not are_rings(models[0].spec.classes):
        raise CellsegError(
            f"settings of single cells for a model that finds {', '.join(models[0].spec.classes.targets)}",
            "one that was trained with --polarity instances",
            "leave them out",
        )
    away = any(isinstance(place, Url) for place in (out, *images))
    how, on_gpu = SegmentAway(work, out) if away else work, settings.device != "cpu"
    with (
        summary_in(out) as summary,
        closing(_outcomes(images, how, scheduler, on_gpu=on_gpu)) as records,
    ):
        for record in records:
            if isinstance(record, FileDone):
                summary.add(_row(record, work.models))
            yield record


def _outcomes(
    images: list[Place], work: SegmentFile | SegmentAway, scheduler: str, *, on_gpu: bool
) -> Generator[Record, None, None]:
    if scheduler:
        yield from _elsewhere(images, work, scheduler, on_gpu=on_gpu)
    elif isinstance(work, SegmentAway):
        with closing(staged_ahead(images)) as stages:
            for path, stage in stages:
                yield (yield from work.steps(path, stage))
    else:
        yield from _overlapped(images, work)


def _overlapped(images: Sequence[Place], work: SegmentFile) -> Generator[Record, None, None]:
    """Yield what becomes of files in their order; one is read and another written while one is computed."""
    stopped, waiting, end = threading.Event(), enumerate(images), time.monotonic()
    at_work: deque[tuple[Records, Future[None]]] = deque()
    ahead = _at_a_time(work.settings)

    def follow(number: int, path: Path, records: Records) -> None:
        TURN.set(number)
        try:
            with closing(_with_outcome(work.steps(path))) as steps:
                for step in steps:
                    records.put(step)
                    if stopped.is_set():
                        return
        finally:
            records.put(None)

    with ThreadPoolExecutor(ahead, thread_name_prefix="cellseg-file") as pool:

        def begin() -> None:
            for number, path in waiting:
                assert isinstance(path, Path)
                records: Records = SimpleQueue()
                at_work.append((records, pool.submit(follow, number, path, records)))
                return

        try:
            for _ in range(ahead):
                begin()
            while at_work:
                records, outcome = at_work.popleft()
                while (record := records.get()) is not None:
                    if isinstance(record, FileDone):  # its own time, without that of waiting for the former
                        seconds, end = min(record.seconds, time.monotonic() - end), time.monotonic()
                        record = replace(record, seconds=seconds)
                    yield record
                outcome.result()
                begin()
        finally:
            stopped.set()


def _with_outcome(steps: Generator[BlockDone | CellsFound, None, FileDone]) -> Generator[Record, None, None]:
    yield (yield from steps)


def _at_a_time(settings: SegmentSettings) -> int:
    """Return how many files are worked on at a time; only the network takes them one by one."""
    on_card = settings.device != "cpu" and bool(accelerators())
    return min(CARD_FILES, processors()) if on_card else CPU_FILES


def _elsewhere(
    images: list[Place], work: Callable[[Any], FileDone], scheduler: str, *, on_gpu: bool
) -> Generator[FileDone, None, None]:
    def lost(path: Place, why: str) -> FileDone:
        return FileDone(path, "failed", f"{path}: {why}")

    with closing(run_files(images, work, scheduler=scheduler, lost=lost, on_gpu=on_gpu)) as outcomes:
        for outcome, progress in outcomes:
            yield replace(outcome, seconds_left=progress.seconds_left)


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
                refuse_changed(target, path, stored_labels(path))
            refine_result(path, chain)
            write_labels_tiff(path, target, pixel_nm=read_image(path).pixel_nm)
        except CellsegError as error:
            yield FileDone(path, "failed", str(error), time.monotonic() - start)
            continue
        if (path.parent / SUMMARY).exists():
            pixels = finished_note(path)["class_pixels"]
            Summary(path.parent / SUMMARY).update(stem(path), shares(pixels, own["classes"]["names"][1:]))
        yield FileDone(path, "done", "", time.monotonic() - start, (path, target))


def _row(outcome: FileDone, models: Sequence[Path]) -> dict[str, str]:
    """Return what the summary says about a file."""
    own = outcome.note
    row = {"path": str(outcome.path), "status": outcome.status, "message": outcome.message}
    row |= {"seconds": f"{outcome.seconds:.2f}", "model": " + ".join(map(str, models))}
    if outcome.status == "failed" or own is None:
        return row
    row |= shares(own["class_pixels"], own["classes"]["names"][1:])
    note = instances_note(own)
    return row if note is None else row | {"objects": str(note["objects"])}


def _refuse_results(images: list[Place], out: Place) -> None:
    """Raise an error if there is a result of one of the images already."""
    if isinstance(out, Path):
        for path in images:
            for output in (result_path, labels_path, instances_path):
                refuse_existing(output(out, path))
        return
    there = names_in(out)  # asked once: a store takes its time
    for path in images:
        for output in (result_path, labels_path, instances_path):
            if output(out, path).name in there:
                raise CellsegError(
                    f"{output(out, path)} exists",
                    "no result of that name",
                    "go on with --resume or replace it with --overwrite",
                )


def _on_this_machine(models: Sequence[Path | str], *, absolute: bool) -> tuple[Path, ...]:
    """Return the model files."""
    for path in models:
        if is_remote(path):
            raise CellsegError(f"{path}: a model in a store", "a file on this machine", "copy it here first")
    return tuple(Path(path).absolute() if absolute else Path(path) for path in models)


def _check_stems(images: list[Place]) -> None:
    if not images:
        raise CellsegError("no images to segment", "at least one")
    seen: dict[str, Place] = {}
    for path in images:
        name = stem(path)
        if name in seen:
            raise CellsegError(
                f"{seen[name]} and {path} would both become '{name}.ome.zarr'",
                "images with different names",
                "rename one, or segment them into different folders",
            )
        seen[name] = path
