"""Segmenting many files: one bad file stops no other, and the summary is complete at any moment."""

from __future__ import annotations

import csv
import io
import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import read_image, stem
from napari_cellseg.images.whole_files import replace_whole, write_errors, write_whole
from napari_cellseg.predict.blocks import DEFAULTS
from napari_cellseg.predict.store import read_own
from napari_cellseg.predict.stream import BlockDone, refuse_existing, segment_to
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellseg.nets.model import Model

log = logging.getLogger(__name__)

SUMMARY = "summary.csv"
COLUMNS = ("path", "status", "message", "seconds", "pixels", "model")
TILE_PX = 512  # of the labels TIFF
BIG_BYTES = 2**32 - 2**25  # from here on a TIFF must be a BigTIFF


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
    model_path: Path | str,
    out: Path | str,
    *,
    settings: SegmentSettings = DEFAULTS,
    pixel_nm: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Generator[BlockDone | FileDone, None, None]:
    """Segment files into a folder: ``STEM.ome.zarr``, ``STEM_labels.tif`` and ``summary.csv``.

    Parameters
    ----------
    paths : sequence of Path
        Images with different stems.
    model_path : Path
    out : Path
        Folder; made if it is not there.
    settings : SegmentSettings
    pixel_nm : float, optional
        Pixel size of all images in nm, instead of what their files say.
    resume : bool
        Leave finished files alone and go on with half-done ones.
    overwrite : bool
        Replace results that are there.

    Yields
    ------
    BlockDone or FileDone
        A file that cannot be segmented ends with a `FileDone` of status "failed".

    Raises
    ------
    CellsegError
        Before anything is done: no images, two images with one stem, a result that is
        there already, a model that cannot be loaded. Later: a full disk or a folder that
        cannot be written.
    """
    from napari_cellseg.nets.model import load_model

    out = Path(out)
    images = [Path(path) for path in paths]
    _check_stems(images)
    if not resume and not overwrite:
        for path in images:
            refuse_existing(result_path(out, path))
            refuse_existing(labels_path(out, path))
    model = load_model(model_path)
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    summary = _Summary(out / SUMMARY, model)
    summary.write()
    for path in images:
        start = time.monotonic()
        try:
            outcome = yield from _segment_file(path, model, out, settings, pixel_nm, resume, overwrite)
        except CellsegError as error:
            written = (str(result_path(out, path)), str(labels_path(out, path)))
            if isinstance(error.__cause__, OSError) and error.found.startswith(written):
                raise  # the disk or the folder: the next file would fail as well
            outcome = FileDone(path, "failed", str(error))
        outcome = FileDone(path, outcome.status, outcome.message, time.monotonic() - start, outcome.outputs)
        summary.add(outcome, read_own(result_path(out, path)))
        yield outcome


def result_path(out: Path, path: Path) -> Path:
    """Return where the OME-Zarr result of an image goes."""
    return out / f"{stem(path)}.ome.zarr"


def labels_path(out: Path, path: Path) -> Path:
    """Return where the labels TIFF of an image goes."""
    return out / f"{stem(path)}_labels.tif"


def write_labels_tiff(result: Path, target: Path, *, pixel_nm: float | None = None) -> None:
    """Write the labels of an OME-Zarr result as a tiled TIFF, a row of tiles at a time.

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
    labels = zarr.open_array(result / "labels/segmentation/0", mode="r")
    density = None if pixel_nm is None else (1e7 / pixel_nm, 1e7 / pixel_nm)
    with replace_whole(target) as part:
        tifffile.imwrite(
            part,
            _tiles(labels),
            shape=labels.shape,
            dtype=np.uint8,
            tile=(TILE_PX, TILE_PX),
            photometric="minisblack",
            compression="deflate",
            bigtiff=labels.size > BIG_BYTES,
            resolution=density,
            resolutionunit=None if density is None else "CENTIMETER",
        )


def _tiles(labels: zarr.Array[Any]) -> Iterator[NDArray[np.uint8]]:
    height, width = labels.shape
    for top in range(0, height, TILE_PX):
        band = np.asarray(labels[top : top + TILE_PX])
        band = np.pad(band, [(0, TILE_PX - len(band)), (0, -width % TILE_PX)])
        for left in range(0, width, TILE_PX):
            yield np.ascontiguousarray(band[:, left : left + TILE_PX])


def _segment_file(
    path: Path,
    model: Model,
    out: Path,
    settings: SegmentSettings,
    pixel_nm: float | None,
    resume: bool,
    overwrite: bool,
) -> Generator[BlockDone, None, FileDone]:
    """Yield the blocks of a file; returns its `FileDone`."""
    image = read_image(path, pixel_nm=pixel_nm)
    result, labels = result_path(out, path), labels_path(out, path)
    worked = False
    with closing(
        segment_to(image, model, result, settings=settings, resume=resume, overwrite=overwrite)
    ) as blocks:
        for block in blocks:
            worked = True
            if block.done == block.total:  # what is there belongs to the result that is replaced now
                labels.unlink(missing_ok=True)
            yield block
    if not worked and labels.exists():
        return FileDone(path, "skipped", outputs=(result, labels))
    write_labels_tiff(result, labels, pixel_nm=image.pixel_nm)
    return FileDone(path, "done", outputs=(result, labels))


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


class _Summary:
    """The table of all files: rows of earlier runs stay unless their file is done again."""

    def __init__(self, path: Path, model: Model) -> None:
        self.path, self.model = path, model
        self.shares = [f"share_{name}" for name in model.spec.classes.names[1:]]
        self.rows: dict[str, dict[str, str]] = {}
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    self.rows[row.get("path", "")] = {key: value or "" for key, value in row.items() if key}

    def add(self, outcome: FileDone, own: dict[str, Any] | None) -> None:
        """Put in a file's row and write the table."""
        row = {"path": str(outcome.path), "status": outcome.status, "message": outcome.message}
        if outcome.status == "skipped" and self.rows.get(row["path"], {}).get("status") == "done":
            return
        row |= {"seconds": f"{outcome.seconds:.2f}", "model": str(self.model.path or "")}
        if outcome.status != "failed" and own is not None:
            pixels = own["class_pixels"]
            shares = (f"{count / sum(pixels):.6f}" for count in pixels)
            row |= {"pixels": str(sum(pixels))} | dict(zip(self.shares, shares, strict=True))
        self.rows[row["path"]] = row
        self.write()

    def write(self) -> None:
        """Write the table whole."""
        others = {key: None for row in self.rows.values() for key in row}
        columns = list(dict.fromkeys((*COLUMNS, *self.shares, *others)))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows.values())
        write_whole(self.path, text.getvalue())
