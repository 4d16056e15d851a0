"""Archives of EcoTaxa: a zip with images and tables ``ecotaxa*.tsv``.

Nothing is unpacked: members are read by the names the zip itself lists, so no name in it can
reach a file outside, and none larger than a picture of a cell can be is decompressed.
"""

import os
import posixpath
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.columns import Table, read_columns
from napari_cellseg.images.crops.crops import Crops, LeftOut, channel_names
from napari_cellseg.images.crops.files import SAMPLED, Files, decode_crop, equal_channels, usual_channels
from napari_cellseg.images.crops.listing import walk

MOST_BYTES = {"image": 1 << 27, "table": 1 << 30}
SAMPLE = ("sample_id", "acq_id")


@dataclass(frozen=True, eq=False)
class Members:
    """Images in a zip, decompressed one at a time."""

    path: str
    names: NDArray[np.str_]
    channels: int

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(c, y, x)``."""
        name = str(self.names[row])
        return equal_channels(decode_crop(_member(self.path, name, "image"), name), self.channels)


def is_ecotaxa(path: Path) -> bool:
    """Tell whether `path` is a zip, a table of EcoTaxa, or a folder with one somewhere in it."""
    if path.is_file():
        return zipfile.is_zipfile(path) or _is_table(path.name)
    return any(_is_table(name) for _, name in walk(path))


def open_ecotaxa(path: Path, group: str = "", channels: tuple[str, ...] = ()) -> Crops:
    """Return the objects of an archive, zipped or unpacked, with their categories.

    Of an object with several images the first counts. The sample is ``sample_id``.

    Raises
    ------
    CellsegError
        If there is no table, it lacks a column, or none of its images is there.
    """
    table = read_ecotaxa_columns(path)
    zipped = zipfile.is_zipfile(path) if path.is_file() else False
    there = set(_zip(str(path)).namelist()) if zipped else None
    base = path if path.is_dir() else path.parent
    kept, left_out, seen = [], [], set()
    for row, (identity, name) in enumerate(zip(table["object_id"], table["img_file_name"], strict=True)):
        if identity in seen:
            continue
        seen.add(identity)
        inside = not (name.startswith(("/", "../")) or "/../" in name or ":" in name)
        found = name in there if there is not None else inside and (base / name).is_file()
        if found and inside:
            kept.append(row)
        else:
            left_out.append(LeftOut(identity, name, "its image is not in the archive"))
    if not kept:
        raise CellsegError(
            f"{path}: none of its images is there", "images beside the table, as it names them"
        )
    by_column = table.get(group) or next((table[name] for name in SAMPLE if name in table), None)
    labels = table.get("object_annotation_category", [""] * len(table["object_id"]))
    names = np.array([table["img_file_name"][row] for row in kept], np.str_)
    source = _source(path, base, names, zipped)
    notice = (f"{len(left_out):,} objects have no image in the archive",) * bool(left_out)
    crops = Crops(
        name=path.stem if path.is_file() else path.absolute().name,
        ids=np.array([table["object_id"][row] for row in kept], np.str_),
        samples=np.array([by_column[row] if by_column else "" for row in kept], np.str_),
        labels=np.array([labels[row] for row in kept], np.str_),
        paths=names if zipped else np.array([str(base / name) for name in names.tolist()], np.str_),
        channels=channel_names(source.channels),
        source=source,
        left_out=tuple(left_out),
        notices=notice,
    )
    return crops.with_samples("" if group in table else group).with_channels(channels)


def read_ecotaxa_columns(path: Path) -> Table:
    """Return the columns of all tables of an archive below each other, the line of types dropped.

    Image names are relative to the archive's root, with ``/``.

    Raises
    ------
    CellsegError
        If there is no table or it lacks ``object_id`` or ``img_file_name``.
    """
    whole: Table = {}
    for name, content in _tables(path):
        try:
            table = read_columns(content.decode("utf-8-sig"), name, separators="\t")
        except UnicodeDecodeError:
            raise CellsegError(f"{path}: {name} is not in UTF-8", "a table in UTF-8") from None
        for needed in ("object_id", "img_file_name"):
            if needed not in table:
                raise CellsegError(f"{path}: {name} has no column {needed}", "object_id and img_file_name")
        if all(cells and cells[0] in ("[t]", "[f]") for cells in table.values()):
            table = {key: cells[1:] for key, cells in table.items()}
        folder = posixpath.dirname(name)
        table["img_file_name"] = [posixpath.join(folder, image) for image in table["img_file_name"]]
        before, added = len(whole.get("object_id", [])), len(table["object_id"])
        for key in dict.fromkeys((*whole, *table)):
            whole[key] = whole.get(key, [""] * before) + table.get(key, [""] * added)
    if not whole:
        raise CellsegError(f"{path}: no table in it", "a file called ecotaxa_<name>.tsv", "export it again")
    return whole


def _tables(path: Path) -> list[tuple[str, bytes]]:
    if path.is_file() and not _is_table(path.name):
        names = sorted(name for name in _zip(str(path)).namelist() if _is_table(name))
        return [(name, _member(str(path), name, "table")) for name in names]
    if path.is_file():
        return [(path.name, path.read_bytes())]
    found = [posixpath.join(inner, name) for inner, name in walk(path) if _is_table(name)]
    return [(name, (path / name).read_bytes()) for name in found]


def _is_table(name: str) -> bool:
    name = posixpath.basename(name).lower()
    return name.startswith("ecotaxa") and name.endswith((".tsv", ".txt"))


def _source(path: Path, base: Path, names: NDArray[np.str_], zipped: bool) -> Members | Files:
    """Return what reads the images, having looked at some of them for their channels."""
    paths = names if zipped else np.array([str(base / name) for name in names.tolist()], np.str_)
    plain: Members | Files = Members(str(path), paths, 0) if zipped else Files(paths, 0)
    count = usual_channels(plain, np.linspace(0, len(paths) - 1, SAMPLED).astype(int), path.name)
    return Members(str(path), paths, count) if zipped else Files(paths, count)


def _zip(path: str) -> zipfile.ZipFile:
    try:
        about = os.stat(path)
        return _opened(path, os.getpid(), about.st_mtime_ns, about.st_size)
    except (OSError, zipfile.BadZipFile) as error:
        found = f"{path}: no zip file ({error})"
        raise CellsegError(found, "an archive of EcoTaxa", "export it again") from None


@lru_cache(maxsize=8)
def _opened(path: str, _process: int, _changed_ns: int, _size: int) -> zipfile.ZipFile:
    # one handle a process: a forked loader's worker would share the place in the file
    return zipfile.ZipFile(path)


def _member(path: str, name: str, kind: str) -> bytes:
    """Return the bytes of a member, never more than a picture or a table may have."""
    try:
        info = _zip(path).getinfo(name)
        if info.file_size > MOST_BYTES[kind]:
            found = f"{path}: {name} would take {info.file_size:,} bytes"
            raise CellsegError(found, f"at most {MOST_BYTES[kind]:,} for one {kind}")
        with _zip(path).open(info) as stream:
            content = stream.read(MOST_BYTES[kind] + 1)
    except (OSError, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CellsegError(f"{path}: {name} cannot be read ({error})", "an undamaged zip") from error
    if len(content) > MOST_BYTES[kind]:
        raise CellsegError(f"{path}: {name} is larger than it says", f"at most {MOST_BYTES[kind]:,} bytes")
    return content
