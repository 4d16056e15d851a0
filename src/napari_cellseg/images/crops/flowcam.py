"""Runs of a FlowCam: a .lst table and collages of images as TIFF, with masks beside them."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.crops import Crops, LeftOut, channel_names, natural
from napari_cellseg.images.crops.files import read_crop_file, unreadable
from napari_cellseg.images.crops.listing import walk

COLUMNS = ("id", "collage_file", "image_x", "image_y", "image_w", "image_h")


@dataclass(frozen=True, eq=False)
class Collages:
    """Rectangles in collages; the last few collages stay decoded.

    Parameters
    ----------
    files : tuple of str
        The collages.
    places : (n, 5) int
        Collage, row, column, height, width.
    """

    files: tuple[str, ...]
    places: NDArray[np.int64]

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(c, y, x)``."""
        return self._cut(self.files[self.places[row, 0]], row).copy()

    def mask(self, row: int) -> NDArray[np.bool_] | None:
        """Return what the FlowCam took for the particle, ``(y, x)``; None without a ``_bin`` file."""
        path = Path(self.files[self.places[row, 0]])
        path = path.with_name(f"{path.stem}_bin{path.suffix}")
        return np.asarray(self._cut(str(path), row).max(axis=0) > 0) if path.is_file() else None

    def _cut(self, path: str, row: int) -> NDArray[Any]:
        _, top, left, height, width = self.places[row].tolist()
        collage = _collage(path, _changed_ns(path))
        if top < 0 or left < 0 or top + height > collage.shape[1] or left + width > collage.shape[2]:
            found = f"{path}: {collage.shape[1]} x {collage.shape[2]} pixels, too small for an image in it"
            raise CellsegError(found, f"at least {top + height} x {left + width}", "copy the run again")
        cut: NDArray[Any] = collage[:, top : top + height, left : left + width]
        return cut


@lru_cache(maxsize=4)
def _collage(path: str, _changed_ns: int) -> NDArray[Any]:
    return read_crop_file(path)


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError as error:
        raise unreadable(path, error) from error


def is_flowcam(path: Path) -> bool:
    """Tell whether `path` is a .lst table or a folder with one somewhere in it."""
    if path.is_file():
        return path.suffix.lower() == ".lst"
    return any(name.lower().endswith(".lst") for _, name in walk(path))


def open_flowcam(path: Path, group: str = "", channels: tuple[str, ...] = ()) -> Crops:
    """Return the images of one run, or of all runs below a folder; the run is the sample.

    Raises
    ------
    CellsegError
        If a table cannot be understood or there is no image.
    """
    if path.is_dir():
        tables = [path / inner / name for inner, name in walk(path) if name.lower().endswith(".lst")]
    else:
        tables = [path]
    tables.sort(key=lambda table: natural(str(table)))
    names = _run_names(tables)
    files: dict[str, int] = {}
    ids: list[str] = []
    samples: list[str] = []
    places: list[list[int]] = []
    left_out: list[LeftOut] = []
    for table, run in zip(tables, names, strict=True):
        for row in _rows(table):
            collage = str(table.parent / row["collage_file"])
            place = [int(float(row[f"image_{key}"])) for key in "yxhw"]
            if min(place[2:]) <= 0:
                left_out.append(LeftOut(f"{run}_{row['id']}", collage, "its size is zero"))
                continue
            ids.append(f"{run}_{row['id']}")
            samples.append(run)
            places.append([files.setdefault(collage, len(files)), *place])
    if not ids:
        raise CellsegError(f"{path}: no images in it", "a FlowCam run with at least one image")
    source = Collages(tuple(files), np.array(places, np.int64))
    crops = Crops(
        name=path.stem if path.is_file() else path.absolute().name,
        ids=np.array(ids, np.str_),
        samples=np.array(samples, np.str_),
        labels=np.full(len(ids), "", np.str_),
        paths=np.array(list(files), np.str_)[source.places[:, 0]],
        channels=channel_names(len(source.read(0))),
        source=source,
        left_out=tuple(left_out),
    )
    return crops.with_samples(group).with_channels(channels)


def _run_names(tables: list[Path]) -> list[str]:
    """Return the tables' names, with their folders where two are alike."""
    stems = [table.stem for table in tables]
    return [
        stem if stems.count(stem) == 1 else f"{table.parent.name}/{stem}"
        for stem, table in zip(stems, tables, strict=True)
    ]


def _rows(table: Path) -> list[dict[str, str]]:
    """Return the rows of a .lst table: a version, the number of fields, their names and types, then rows."""
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    head = lines[1].partition("|") if len(lines) > 1 else ("", "", "")
    if head[0].strip() != "num-fields" or not head[2].strip().isdigit():
        raise CellsegError(
            f"{table}: a table of a kind not known here",
            "a .lst file whose second line begins with num-fields",
            "export the images from VisualSpreadsheet and read that folder",
        )
    count = int(head[2])
    fields = [line.partition("|")[0].strip() for line in lines[2 : 2 + count]]
    missing = [column for column in COLUMNS if column not in fields]
    if missing:
        raise CellsegError(f"{table}: no field {missing[0]!r}", ", ".join(COLUMNS))
    rows = []
    for number, line in enumerate(lines[2 + count :], start=3 + count):
        if not line.strip():
            continue
        row = dict(zip(fields, line.split("|"), strict=False))
        if not all(_is_number(row.get(f"image_{key}", "")) for key in "xywh"):
            raise CellsegError(f"{table}: line {number} does not say where its image is", ", ".join(COLUMNS))
        # the collage lies beside the table, whatever folder the table names
        rows.append(row | {"collage_file": row["collage_file"].replace("\\", "/").rpartition("/")[2]})
    return rows


def _is_number(text: str) -> bool:
    return text.strip().removeprefix("-").replace(".", "", 1).isdigit()
