"""The process that segments for the viewer: `python -m napari_cellseg.gui.prediction.block_process FOLDER`.

torch stays out of the viewer's process. Its import would hold up the window, and where
OpenGL is drawn in software it can end it: Mesa and triton each bring an LLVM, and the second
one to be loaded crashes. The folder holds `request.json`; `probabilities.npy`, `labels.npy` and,
if asked for, `uncertainty.npy` are made in it, and every block that is written there is told in
a line. Imports no napari.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.whole_files import write_errors
from napari_cellseg.settings import SegmentSettings

BLOCK_PX = 640  # in the viewer small blocks come first to the eye; alone, larger ones are cheaper


@dataclass(frozen=True)
class Request:
    """What to segment.

    Attributes
    ----------
    image : str
        An image file, or `image.npy` in the folder of the request.
    name : str
    pixel_nm : float or None
    models : list of str
        The model file, or several of which the mean counts.
    center : (row, col)
        Middle of what the user sees, in pixels of the image; blocks near it come first.
    settings : dict
        Of `SegmentSettings`.
    """

    image: str
    name: str
    pixel_nm: float | None
    models: list[str]
    center: tuple[float, float]
    settings: dict[str, object]


@dataclass(frozen=True)
class Loaded:
    """The model is in memory; blocks follow."""

    device: str
    classes: dict[str, list[str]]
    shape: tuple[int, int]
    blocks: int
    uncertainty: bool = False


@dataclass(frozen=True)
class BlockDone:
    """The pixels in `rows` and `cols` (from, to) are written; seconds at the pace so far."""

    rows: tuple[int, int]
    cols: tuple[int, int]
    done: int
    blocks: int
    seconds_left: float
    seconds_all: float


EVENTS: dict[str, type[Loaded] | type[BlockDone]] = {"loaded": Loaded, "block": BlockDone}


def to_line(record: Loaded | BlockDone) -> str:
    """Return a record as a line of JSON."""
    event = next(name for name, kind in EVENTS.items() if isinstance(record, kind))
    return json.dumps({"event": event, **asdict(record)})


def from_line(line: str) -> Loaded | BlockDone:
    """Return the record that `to_line` wrote.

    Raises
    ------
    ValueError
        If the line is none.

    Examples
    --------
    >>> from_line(to_line(BlockDone((0, 8), (8, 16), 1, 4, 3.0, 4.0))).cols
    (8, 16)
    """
    values = json.loads(line)
    kind = EVENTS.get(values.pop("event", "")) if isinstance(values, dict) else None
    if kind is None:
        raise ValueError(f"not a record of segmenting: {line[:80]!r}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def read_request(folder: Path) -> Request:
    """Return the request in a folder."""
    values = json.loads((folder / "request.json").read_text("utf-8"))
    return Request(**values | {"center": tuple(values["center"])})


def answer(folder: Path) -> Iterator[Loaded | BlockDone]:
    """Segment what the folder asks for, block by block, until a file `stop` appears in it.

    Raises
    ------
    CellsegError
        If the model or the image cannot be read or do not fit.
    """
    from napari_cellseg.images.micrographs import Image, read_image
    from napari_cellseg.nets.backends import run_device
    from napari_cellseg.nets.model import load_model
    from napari_cellseg.predict.labels import Encode
    from napari_cellseg.predict.plan import ensemble, label_threshold, plan_grid
    from napari_cellseg.predict.segment import blocks_by_distance, compute_blocks, segment_grid

    request = read_request(folder)
    if request.image.endswith("image.npy"):
        pixels = np.load(request.image, mmap_mode="r")
        image = Image.from_array(pixels, request.name, pixel_nm=request.pixel_nm)
    else:
        image = replace(read_image(request.image, pixel_nm=request.pixel_nm), name=request.name)
    settings = SegmentSettings.checked(dict(request.settings))
    if settings.block_px is None:
        settings = settings.model_copy(update={"block_px": BLOCK_PX})
    models = ensemble([load_model(path) for path in request.models])
    grid, threshold = plan_grid(image, models, settings=settings), label_threshold(models, settings)
    spec = models[0].spec
    lazy = segment_grid(image, models, grid, settings=settings, encode=Encode(spec.outputs, threshold))
    order = blocks_by_distance(lazy, request.center)

    def plane(name: str, *shape: int) -> np.ndarray:
        return new_plane(folder / f"{name}.npy", shape)

    probabilities = plane("probabilities", spec.outputs, *image.shape)
    labels, doubt = plane("labels", *image.shape), None
    if len(lazy) > spec.outputs + 1:
        doubt = plane("uncertainty", *image.shape)
    device = run_device(settings.backend, settings.device)
    yield Loaded(device, spec.classes.to_json(), image.shape, len(order), doubt is not None)
    started = time.monotonic()
    for done, (rows, cols, block) in enumerate(compute_blocks(lazy, order), start=1):
        probabilities[:, rows, cols] = block[: spec.outputs]
        labels[rows, cols] = block[-1]
        if doubt is not None:
            doubt[rows, cols] = block[-2]
        pace = (time.monotonic() - started) / done
        ends = (rows.start, rows.stop), (cols.start, cols.stop)
        yield BlockDone(*ends, done, len(order), pace * (len(order) - done), pace * len(order))
        if (folder / "stop").exists():
            return


def new_plane(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return zeros (uint8) of this shape that are a file; the disk has room for all of it.

    Raises
    ------
    CellsegError
        If it has not. Without asking first, the write that finds the disk full would end the process.
    """
    with write_errors(path):
        made = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return made


def classes_of(record: Loaded) -> Classes:
    """Return the classes of the model."""
    return Classes.from_json(record.classes)


def main(arguments: list[str]) -> int:
    """Answer the request in a folder; 2 and one line on stderr where it cannot be."""
    try:
        for record in answer(Path(arguments[0])):
            print(to_line(record), flush=True)  # noqa: T201 (the viewer reads it)
    except CellsegError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
