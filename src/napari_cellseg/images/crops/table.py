"""A CSV table of crops: a path a row, with class, sample and id where there are such columns."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.columns import column, read_columns, read_text
from napari_cellseg.images.crops.crops import Crops, LeftOut, channel_names, unique_ids
from napari_cellseg.images.crops.files import Files, common_channels
from napari_cellseg.images.crops.ideas import NAME, open_ideas

PATH = ("path", "file", "filename", "file_name", "image", "img_file_name")
LABEL = ("label", "class", "class_name", "category")
GROUP = ("group", "sample", "sample_id")
ID = ("id", "object_id", "object")
NONE = ("", "unclassified")


def is_table(path: Path) -> bool:
    """Tell whether `path` is a CSV or TSV file."""
    return path.is_file() and path.suffix.lower() in (".csv", ".tsv")


def names_paths(path: Path) -> bool:
    """Tell whether the first line of a table has a column of paths."""
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        head = stream.readline(10_000)
    try:
        return column(read_columns(head, path.name), PATH) is not None
    except CellsegError:
        return False


def open_table(path: Path, group: str = "", channels: tuple[str, ...] = ()) -> Crops:
    """Return the crops that a table lists, in its order; paths are relative to the table.

    Columns in any order: path (or file, filename, image), and if there are any, label (or
    class), group (or sample), id. Files that are missing or listed twice are left out. Of an
    IDEAS export a file of any channel stands for its cell.

    Raises
    ------
    CellsegError
        If there is no column of paths, no row, or none of the files is there.
    """
    table = read_columns(read_text(path), path.name)
    named = column(table, PATH)
    if named is None:
        raise CellsegError(f"{path.name}: no column of paths", f"one called {' or '.join(PATH)}")
    if not named:
        raise CellsegError(f"{path.name}: no rows", "one row a crop")
    files = [_found(path.parent, Path(name.replace("\\", "/"))) for name in named]
    if not any(file.is_file() for file in files):
        found = f"{path.name}: none of its {len(files):,} files is there, such as {files[0]}"
        raise CellsegError(found, "paths relative to the table", "keep the table beside the images")
    if all(NAME.fullmatch(file.name) for file in files):
        crops, rows = _cells(files, channels)
    else:
        crops, rows = _pictures(files)
        crops = crops.with_channels(channels)
    by_column = table.get(group) if group else column(table, GROUP)
    labels, ids = column(table, LABEL), column(table, ID)
    lacking = len(crops.left_out)
    crops = replace(
        crops,
        name=path.stem,
        ids=crops.ids if ids is None else np.array([ids[row] for row in rows], np.str_),
        samples=np.array([by_column[row] for row in rows], np.str_) if by_column else crops.samples,
        notices=(f"{lacking:,} crops of the table are missing or listed twice",) * bool(lacking),
    )
    if labels is not None:
        crops = crops.with_labels(["" if labels[row] in NONE else labels[row] for row in rows])
    return crops.with_samples("" if by_column else group)


def _pictures(files: list[Path]) -> tuple[Crops, list[int]]:
    """Return crops of one file each, and the row of each."""
    rows, left_out, seen = [], [], set()
    for row, file in enumerate(files):
        if file in seen or not file.is_file():
            reason = "listed twice" if file in seen else "no such file"
            left_out.append(LeftOut(file.stem, str(file), reason))
        else:
            rows.append(row)
        seen.add(file)
    kept = [files[row] for row in rows]
    paths = np.array([str(file) for file in kept], np.str_)
    source = Files(paths, common_channels(paths, "the table"))
    none = np.full(len(kept), "", np.str_)
    ids = unique_ids([file.stem for file in kept], _folders(kept))
    names = channel_names(source.channels)
    return Crops("", ids, none, none, paths, names, source, tuple(left_out)), rows


def _cells(files: list[Path], channels: tuple[str, ...]) -> tuple[Crops, list[int]]:
    """Return the cells of an IDEAS export that files belong to, and the row of each."""
    root = Path(os.path.commonpath([str(file.parent) for file in files]))
    export = open_ideas(root, "", channels)
    place = {_cell(Path(path)): index for index, path in enumerate(export.paths.tolist())}
    lacking = {_cell(Path(one.path)): one for one in export.left_out}
    rows, chosen, left_out, seen = [], [], [], set()
    for row, file in enumerate(files):
        cell = _cell(file)
        if cell in place and cell not in seen:
            rows.append(row)
            chosen.append(place[cell])
        elif cell not in place:
            left_out.append(lacking.get(cell) or LeftOut(file.stem, str(file), "no such file"))
        seen.add(cell)
    return replace(export.take(chosen), left_out=tuple(left_out)), rows


def _cell(file: Path) -> str:
    """Return the part of a path that all channels of a cell have in common."""
    match = NAME.fullmatch(file.name)
    return os.path.normpath(file.with_name(match["stem"] if match else file.name))


def _folders(files: list[Path]) -> list[str]:
    """Return the files' folders below the one they have in common."""
    root = os.path.commonpath([str(file.parent) for file in files])
    inner = [os.path.relpath(file.parent, root).replace(os.sep, "/") for file in files]
    return ["" if folder == "." else folder for folder in inner]


def _found(folder: Path, path: Path) -> Path:
    """Return a file of the table: relative to it, or else to where the program runs."""
    return path if not (folder / path).is_file() and path.is_file() else folder / path
