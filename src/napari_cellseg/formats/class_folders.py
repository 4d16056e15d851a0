"""Cells sorted into a folder for each class."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tifffile
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import ClassTable
from napari_cellseg.images.crops import Crops, LeftOut
from napari_cellseg.images.whole_files import replace_whole, write_errors

_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK}


def write_class_folders(
    folder: str | Path, table: ClassTable, crops: Crops, *, link: bool = False
) -> tuple[LeftOut, ...]:
    """Put each crop into a folder of its class; nothing that is there is replaced.

    A crop that is a file (or one a channel) keeps its name and its bytes. One that is part
    of a larger file is written as PNG, or as TIFF where PNG cannot hold it. Characters
    that no file name may have become ``_``.

    Parameters
    ----------
    folder : str or Path
        Made if missing.
    table : ClassTable
        Of these crops.
    crops : Crops
    link : bool
        Make hard links instead of copies, where the disk can: no space is taken, and a
        change of one is a change of the other.

    Returns
    -------
    tuple of LeftOut
        Crops that could not be read.

    Raises
    ------
    CellsegError
        If table and crops are not of the same cells, a file is there already, or two
        classes or two cells would have the same name.
    """
    folder = Path(folder)
    if table.ids.tolist() != crops.ids.tolist():
        raise CellsegError(
            f"{folder}: a table of other cells than the crops", "the same ids in the same order"
        )
    names = _folder_names(sorted(set(table.labels.tolist())))
    planned = [list(_planned(folder / names[str(table.labels[k])], crops, k)) for k in range(len(crops))]
    _check_free([target for targets in planned for _, target in targets])
    left_out: list[LeftOut] = []
    for index, targets in enumerate(planned):
        for source, target in targets:
            with write_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if source:
                    _place(Path(source), target, link)
                else:
                    _write(target, crops.read(index))
            except (CellsegError, FileNotFoundError) as error:
                left_out.append(LeftOut(str(crops.ids[index]), str(crops.paths[index]), str(error)))
                break
    return tuple(left_out)


def _folder_names(labels: list[str]) -> dict[str, str]:
    """Return a folder's name for each class."""
    names = {label: _safe(label) for label in labels}
    taken: dict[str, str] = {}
    for label, name in names.items():
        other = taken.setdefault(name.casefold(), label)
        if other != label:
            found = f"classes {other!r} and {label!r} would be in one folder, {name!r}"
            raise CellsegError(found, "class names that differ as names of folders", "rename one of them")
    return names


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name).strip(". ") or "_"


def _planned(folder: Path, crops: Crops, index: int) -> Iterator[tuple[str, Path]]:
    """Yield a file of the crop ("" for none) and where it goes."""
    files = crops.files(index)
    for file in files:
        # ids that had to be told apart by folder say so in the name
        above = str(crops.ids[index]).rpartition("/")[0]
        yield file, folder / (_safe(f"{above}_{Path(file).name}") if above else Path(file).name)
    if not files:
        yield "", folder / f"{_safe(str(crops.ids[index]))}{_ending(crops)}"


def _ending(crops: Crops) -> str:
    return ".png" if len(crops.channels) in (1, 3) else ".tif"


def _check_free(targets: list[Path]) -> None:
    seen: set[Path] = set()
    for target in targets:
        if target.exists() or target in seen:
            what = "two cells of that name" if target in seen else "exists already"
            raise CellsegError(f"{target}: {what}", "a name that is free", "choose another folder")
        seen.add(target)


def _place(source: Path, target: Path, link: bool) -> None:
    if link:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return
    with replace_whole(target) as part:
        shutil.copyfile(source, part)


def _write(target: Path, pixels: NDArray[Any]) -> None:
    """Write ``(c, y, x)`` as a picture; 8 bit colours and up to 16 bit grey fit a PNG."""
    png = pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and len(pixels) == 1)
    if target.suffix == ".png" and png:
        picture = PIL.Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
        with replace_whole(target) as part:
            picture.save(part, "PNG")
        return
    target = target.with_suffix(".tif")
    if target.exists():
        raise CellsegError(f"{target}: exists already")
    with replace_whole(target) as part:
        tifffile.imwrite(part, pixels, photometric="minisblack", metadata={"axes": "CYX"})
