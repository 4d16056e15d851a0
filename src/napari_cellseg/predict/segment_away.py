"""One file segmented whose image or whose results are in a store."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.remote import ROOT_NOTE, Place, Url, delete, fetch, is_there, send
from napari_cellseg.objects.instances import CellsFound
from napari_cellseg.predict.segment_file import (
    FileDone,
    SegmentFile,
    instances_path,
    labels_path,
    last,
    result_path,
)
from napari_cellseg.predict.staging import Stage, staged
from napari_cellseg.predict.stream import BlockDone


@dataclass(frozen=True)
class SegmentAway:
    """`SegmentFile` for files in a store: an image is fetched, segmented here, and the results are sent.

    Attributes
    ----------
    work : SegmentFile
        How; its `out` counts for nothing.
    out : Path or Url
    """

    work: SegmentFile
    out: Place

    def __call__(self, path: Place) -> FileDone:
        """Segment a file."""
        with staged() as stage:
            return last(self.steps(path, stage))

    def steps(self, path: Place, stage: Stage) -> Generator[BlockDone | CellsFound, None, FileDone]:
        """Yield the blocks of a file; returns its `FileDone`.

        Raises
        ------
        CellsegError
            If results cannot be written or sent: the next file would fail as well.
        """
        start = time.monotonic()
        work = replace(self.work, out=stage.near(self.out))
        try:
            near = stage.fetch(path)
            if work.resume and isinstance(self.out, Url):
                _fetch_result(self.out, work, near)
        except CellsegError as error:
            return FileDone(path, "failed", stage.told(str(error)), time.monotonic() - start)
        outcome = yield from work.steps(near)
        if isinstance(self.out, Url):
            if outcome.status == "done":
                _send_result(work.out, self.out, outcome)
            outcome = replace(outcome, outputs=tuple(self.out / one.name for one in outcome.outputs))
        message, seconds = stage.told(outcome.message), time.monotonic() - start
        return replace(outcome, path=path, message=message, seconds=seconds)


def _fetch_result(out: Url, work: SegmentFile, image: Path) -> None:
    """Fetch what tells whether a result is finished; all of it only if something is to be made of it."""
    result = result_path(out, image)
    if not is_there(result / ROOT_NOTE):  # nothing, or not sent to its end
        return
    fetch(result / ROOT_NOTE, work.out / result.name)
    for tiff in (labels_path(out, image), instances_path(out, image)):
        if is_there(tiff):
            fetch(tiff, work.out)
    if not work.is_settled(image):
        fetch(result, work.out)


def _send_result(near: Path, out: Url, outcome: FileDone) -> None:
    """Send the results of a file; until the first is whole there is none of the others."""
    for name in (labels_path, instances_path):
        delete(name(out, outcome.path))
    for output in outcome.outputs:
        send(near / output.name, out / output.name)
