"""Segmenting an image into a file, block by block, and going on where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.normalise import Figures, intensity_figures
from napari_cellseg.images.whole_files import write_errors
from napari_cellseg.predict.blocks import DEFAULTS
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.plan import ensemble, label_threshold, plan_grid
from napari_cellseg.predict.segment import compute_blocks, segment_grid
from napari_cellseg.predict.store import begin_result, part_path, resume_result
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model
    from napari_cellseg.predict.plan import Models


@dataclass(frozen=True)
class BlockDone:
    """A block is segmented and written.

    Attributes
    ----------
    done, total : int
        Blocks of this image.
    seconds_left : float
        As long as the blocks of this run took, but for the first.
    rows, cols : slice
        Source pixels of the block.
    """

    done: int
    total: int
    seconds_left: float
    rows: slice
    cols: slice


def segment_to(
    image: Image,
    model: Models,
    out: Path,
    *,
    settings: SegmentSettings = DEFAULTS,
    resume: bool = False,
    overwrite: bool = False,
) -> Generator[BlockDone, None, None]:
    """Segment an image into an OME-Zarr folder, block by block.

    Until all blocks are written it is called ``OUT.part``; stopping, or a kill, leaves
    that to go on with.

    Parameters
    ----------
    image : Image
    model : Model or sequence of Model
        As in `segment`.
    out : Path
        ``NAME.ome.zarr``; see `predict.store` for what is in it.
    settings : SegmentSettings
    resume : bool
        Go on with what is there; nothing is done if it is finished.
    overwrite : bool
        Replace what is there, once the new one is whole.

    Yields
    ------
    BlockDone
        After each block; it is on the disk by then.

    Raises
    ------
    CellsegError
        If a result is there and neither `resume` nor `overwrite` is given, if it was made
        of something else, if the disk is full, or as `segment`.
    """
    out = Path(out)
    if not resume and not overwrite:
        refuse_existing(out)
    threshold = label_threshold(model, settings)
    grid = plan_grid(image, model, settings=settings)
    figures = intensity_figures(image)
    identity = _identity(image, model, settings, figures)
    with write_errors(out):
        result = resume_result(out, grid, identity=identity, threshold=threshold) if resume else None
        if result is None:
            result = begin_result(
                out,
                grid,
                classes=ensemble(model)[0].spec.classes,
                pixel_nm=image.pixel_nm,
                identity=identity,
                threshold=threshold,
                uncertainty=settings.uncertainty,
            )
    if result.path == out:
        return
    encode = Encode(ensemble(model)[0].spec.outputs, threshold)
    lazy = segment_grid(image, model, result.grid, settings=settings, figures=figures, encode=encode)
    down, across = result.grid.counts
    total = down * across
    order = [(row, col) for row in range(down) for col in range(across) if (row, col) not in result.finished]
    start = first = time.monotonic()
    with closing(compute_blocks(lazy, order)) as blocks:
        for new, (rows, cols, block) in enumerate(blocks, start=1):
            with write_errors(out):
                result.write(rows, cols, block)
            now, done = time.monotonic(), len(result.finished)
            first = now if new == 1 else first
            # the first one may have had to wait for another image
            pace = now - start if new == 1 else (now - first) / (new - 1)
            yield BlockDone(done, total, pace * (total - done), rows, cols)
    with write_errors(out):
        result.finish(out)


def refuse_existing(out: Path) -> None:
    """Raise an error if there is a result at `out`, whole or half-done.

    Raises
    ------
    CellsegError
        If there is one.
    """
    for path, state in ((out, "exists"), (part_path(out), "is an unfinished result")):
        if path.exists():
            raise CellsegError(
                f"{path} {state}",
                "no result of that name",
                "go on with --resume or replace it with --overwrite",
            )


def _identity(image: Image, model: Models, settings: SegmentSettings, figures: Figures) -> dict[str, Any]:
    # The figures come from pixels all over the image and are needed anyway; a hash would read it twice.
    content = [image.shape, image.channels, str(image.data.dtype), image.pixel_nm, repr(figures)]
    return {
        "image": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        "model": "+".join(one.sha256 or _weights_sha256(one) for one in ensemble(model)),
        "settings": settings.model_dump(mode="json", exclude={"device"}),
    }


def _weights_sha256(model: Model) -> str:
    digest = hashlib.sha256(json.dumps(model.spec.to_json(), sort_keys=True).encode())
    for name, tensor in sorted(model.net.state_dict().items()):
        digest.update(name.encode() + np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()
