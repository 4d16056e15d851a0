"""Exports of IDEAS (Amnis ImageStream): one TIFF a cell and channel.

Names are ``<prefix>_<object>_Ch<N>.ome.tif``, without prefix, or with ``Ch04``. A cell is
known by folder, prefix and object; its channels are in order of their numbers.
"""

import html
import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.crops import Crops, LeftOut, natural, unique_ids
from napari_cellseg.images.crops.files import read_crop_file
from napari_cellseg.images.crops.listing import class_and_sample, walk
from napari_cellseg.images.crops.plain_tiff import description_of

NAME = re.compile(
    r"(?P<stem>(?:.*_)?[0-9]+)(?P<ending>_Ch0*(?P<number>[0-9]+)(?:\.ome)?\.tiff?)", re.IGNORECASE
)
_RIF = re.compile(rb"""([^\\/<>"'=]+)\.rif\b""", re.IGNORECASE)
LOOKED_AT = 8  # cells of a folder and prefix whose source is read before it is taken for the others


@dataclass(frozen=True, eq=False)
class Channels:
    """A cell's channels are files whose names differ in their endings alone.

    Parameters
    ----------
    paths : (n,) str
        File of the first channel.
    endings : tuple of str
        All endings that occur, ``_Ch4.ome.tif``.
    codes : (n, c) int
        Ending of each cell's channels.
    """

    paths: NDArray[np.str_]
    endings: tuple[str, ...]
    codes: NDArray[np.int16]

    def files(self, row: int) -> list[str]:
        """Return the files of a cell, one a channel."""
        first = str(self.paths[row])
        endings = [self.endings[code] for code in self.codes[row].tolist()]
        stem = first[: len(first) - len(endings[0])]
        return [stem + ending for ending in endings]

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(c, y, x)``."""
        planes: list[NDArray[Any]] = []
        for path in self.files(row):
            plane = read_crop_file(path)
            if len(plane) != 1 or plane.shape[1:] != (planes[0].shape if planes else plane.shape[1:]):
                found = f"{path}: an image of shape {plane.shape}"
                raise CellsegError(
                    found, "one plane, as large as the cell's other channels", "export it again"
                )
            planes.append(plane[0])
        return np.stack(planes)


def is_ideas_export(path: Path) -> bool:
    """Tell whether `path` is a file of an export or a folder with one somewhere in it."""
    if path.is_file():
        return NAME.fullmatch(path.name) is not None
    return any(NAME.fullmatch(name) for _, name in walk(path))


def open_ideas(path: Path, group: str = "", channels: tuple[str, ...] = ()) -> Crops:
    """Return the cells of an export; those that lack a channel are left out and listed.

    The sample is the .rif file that the export was made of, or the folders above the class.

    Parameters
    ----------
    path : Path
        A folder, or one file of one cell.
    group : str
        Regular expression for the sample instead.
    channels : tuple of str
        Channels to read, such as ``("Ch4", "Ch6")``; else those that at least half of the
        cells have.

    Raises
    ------
    CellsegError
        If there is no export, no such channel, or no cell has all channels.
    """
    root = path if path.is_dir() else path.parent
    cells, numbers, endings, table = _table(root, path)
    wanted, notices = _wanted(numbers, table, channels, path.name)
    whole = (table[:, wanted] >= 0).all(axis=1)
    names = tuple(f"Ch{numbers[k]}" for k in wanted)
    ids = unique_ids([stem for _, stem in cells], [inner for inner, _ in cells])
    # of a cell without the first channel wanted, any of its files stands for it
    endings_of = np.where(whole, table[:, wanted[0]], table.max(axis=1)).tolist()
    paths = np.array(
        [str(root / inner / stem) + endings[k] for (inner, stem), k in zip(cells, endings_of, strict=True)]
    )
    left_out = tuple(
        LeftOut(str(ids[i]), str(paths[i]), _lacking(names, table[i, wanted]))
        for i in np.flatnonzero(~whole).tolist()
    )
    if not whole.any():
        found = f"{path}: none of {len(cells):,} cells has {', '.join(names)}"
        raise CellsegError(found, "all channels of a cell", "name channels that the cells have")
    if left_out:
        notices.append(f"{len(left_out):,} of {len(cells):,} cells lack a channel and are left out")
    kept = [cells[i] for i in np.flatnonzero(whole).tolist()]
    source = Channels(paths[whole], endings, table[whole][:, wanted])
    said = [class_and_sample(inner) for inner, _ in kept]
    crops = Crops(
        name=path.absolute().name,
        ids=ids[whole],
        samples=_samples(kept, [sample for _, sample in said], source),
        labels=np.array([label for label, _ in said], np.str_),
        paths=source.paths,
        channels=names,
        source=source,
        left_out=left_out,
        notices=tuple(notices),
    )
    return crops.with_samples(group)


def _table(
    root: Path, path: Path
) -> tuple[list[tuple[str, str]], list[int], tuple[str, ...], NDArray[np.int16]]:
    """Return cells (folder, stem), channel numbers, endings, and (cell, channel) index of an ending or -1."""
    only = NAME.fullmatch(path.name) if path != root else None
    cells: dict[tuple[str, str], int] = {}
    codes: dict[str, int] = {}
    found = array("q")
    for inner, name in walk(root):
        match = NAME.fullmatch(name)
        if match is None or (only and (inner or match["stem"] != only["stem"])):
            continue
        cell = cells.setdefault((inner, match["stem"]), len(cells))
        code = codes.setdefault(match["ending"], len(codes))
        found.extend((cell, int(match["number"]), code))
    if not cells:
        raise CellsegError(
            f"{path}: no cells of an IDEAS export", "files such as 12_Ch4.ome.tif", "check the folder"
        )
    triples = np.frombuffer(found, np.int64).reshape(-1, 3)
    numbers, column = np.unique(triples[:, 1], return_inverse=True)
    table = np.full((len(cells), len(numbers)), -1, np.int16)
    table[triples[:, 0], column] = triples[:, 2]
    names = list(cells)
    order = sorted(range(len(names)), key=lambda i: (natural(names[i][0]), natural(names[i][1])))
    return [names[i] for i in order], numbers.tolist(), tuple(codes), table[order]


def _wanted(
    numbers: list[int], table: NDArray[np.int16], channels: tuple[str, ...], name: str
) -> tuple[list[int], list[str]]:
    """Return columns of the channels to read, and sentences about those that are not."""
    if not channels:
        share = (table >= 0).mean(axis=0)
        wanted = np.flatnonzero(share >= min(0.5, float(share.max()))).tolist()
        rare = [f"Ch{numbers[k]}" for k in range(len(numbers)) if k not in wanted]
        return wanted, [f"{', '.join(rare)}: fewer than half of the cells have it, not used"] * bool(rare)
    wanted = []
    for channel in channels:
        match = re.fullmatch(r"(?:ch)?0*([0-9]+)", channel, re.IGNORECASE)
        if match is None or int(match[1]) not in numbers:
            raise CellsegError(
                f"{name}: no channel {channel!r}", ", ".join(f"Ch{number}" for number in numbers)
            )
        wanted.append(numbers.index(int(match[1])))
    return wanted, []


def _lacking(names: tuple[str, ...], codes: NDArray[np.int16]) -> str:
    return "no " + ", ".join(name for name, code in zip(names, codes.tolist(), strict=True) if code < 0)


def _samples(cells: list[tuple[str, str]], above: list[str], source: Channels) -> NDArray[np.str_]:
    """Return (n,) names of the .rif files; one of several cells of a folder and prefix stands for all."""
    exports: dict[tuple[str, str], list[int]] = {}
    for row, (inner, stem) in enumerate(cells):
        exports.setdefault((inner, stem.rpartition("_")[0]), []).append(row)
    samples = list(above)
    for rows in exports.values():
        few = rows if len(rows) <= LOOKED_AT else rows[:: -(-len(rows) // LOOKED_AT)]
        named = {row: _rif_name(source.files(row)[0]) for row in few}
        if len(set(named.values())) > 1:
            named = {row: _rif_name(source.files(row)[0]) for row in rows}
        for row in rows:
            samples[row] = named.get(row, named[few[0]]) or samples[row]
    return np.array(samples, np.str_)


def _rif_name(path: str) -> str:
    """Return the base name of the .rif file in the OME-XML; the folders there name people."""
    try:
        match = _RIF.search(description_of(path))
    except OSError:
        return ""
    return html.unescape(match[1].decode("utf-8", "replace")).strip() if match else ""
