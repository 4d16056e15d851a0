"""A CSV table of crops: a path a row, with class, sample and id where there are such columns."""

from pathlib import Path

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.columns import column, read_columns, read_text
from napari_cellseg.images.crops.crops import Crops, LeftOut, channel_names, unique_ids
from napari_cellseg.images.crops.files import Files, common_channels

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
    class), group (or sample), id. Files that are missing or listed twice are left out.

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
    named = [name.replace("\\", "/") for name in named]
    files = [_found(path.parent, Path(name)) for name in named]
    ids = (
        column(table, ID)
        or unique_ids(
            [Path(name).stem for name in named], [Path(name).parent.as_posix() for name in named]
        ).tolist()
    )
    left_out, kept, seen = [], [], set()
    for row, file in enumerate(files):
        reason = "listed twice" if (ids[row] in seen) else "" if file.is_file() else "no such file"
        seen.add(ids[row])
        if reason:
            left_out.append(LeftOut(ids[row], str(file), reason))
        else:
            kept.append(row)
    if not kept:
        found = f"{path.name}: none of its {len(files):,} files is there, such as {files[0]}"
        raise CellsegError(found, "paths relative to the table", "keep the table beside the images")
    by_column = table.get(group) if group else column(table, GROUP)
    labels = column(table, LABEL) or [""] * len(files)
    paths = np.array([str(files[row]) for row in kept], np.str_)
    source = Files(paths, common_channels(paths, path.name))
    notice = (f"{len(left_out):,} of {len(files):,} crops are missing or listed twice",) * bool(left_out)
    crops = Crops(
        name=path.stem,
        ids=np.array([ids[row] for row in kept], np.str_),
        samples=np.array([by_column[row] if by_column else "" for row in kept], np.str_),
        labels=np.array(["" if labels[row] in NONE else labels[row] for row in kept], np.str_),
        paths=paths,
        channels=channel_names(source.channels),
        source=source,
        left_out=tuple(left_out),
        notices=notice,
    )
    return crops.with_samples("" if by_column else group).with_channels(channels)


def _found(folder: Path, path: Path) -> Path:
    """Return a file of the table: relative to it, or else to where the program runs."""
    return path if not (folder / path).is_file() and path.is_file() else folder / path
