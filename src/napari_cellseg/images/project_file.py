"""`project.json`: what a project folder says about itself, with its former version beside it."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import write_whole

VERSION = 1
FILE, BACKUP = "project.json", "project.json.bak"


class ImageRecord(BaseModel):
    """One image as `project.json` lists it.

    `path` is relative to the project folder, so both can move together; `absolute` finds the
    image when the project alone has moved.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    absolute: str
    quick_hash: str
    shape: tuple[int, int]
    pixel_nm: float | None = None


class ProjectRecord(BaseModel):
    """All that `project.json` holds."""

    model_config = ConfigDict(frozen=True)

    version: int = VERSION
    classes: dict[str, Any]
    images: tuple[ImageRecord, ...] = ()


def read_record(folder: Path) -> ProjectRecord:
    """Return what the project file in `folder` says.

    Raises
    ------
    CellsegError
        If it is missing, damaged or of a later version; a whole backup is pointed out.
    """
    if not folder.is_dir():
        raise CellsegError(f"{folder}: no such project folder", "a NAME.cellseg folder")
    file, backup = folder / FILE, folder / BACKUP
    if not file.is_file() and not backup.is_file():
        raise CellsegError(f"{folder}: not a project, it has no {FILE}", "a NAME.cellseg folder")
    reason, record = _parsed(file)
    if record is not None:
        return record
    whole = _parsed(backup)[1] is not None
    remedy = f"its former version is whole: rename {BACKUP} to {FILE}" if whole else "restore it"
    raise CellsegError(f"{file}: {reason}", remedy=f"{remedy}; the labels are untouched")


def write_record(folder: Path, record: ProjectRecord) -> None:
    """Write the project file; what it said so far becomes the backup.

    Raises
    ------
    CellsegError
        If the disk does not take it.
    """
    file = folder / FILE
    if _parsed(file)[1] is not None:
        write_whole(folder / BACKUP, file.read_bytes())
    write_whole(file, record.model_dump_json(indent=2) + "\n")


def restore_backup(folder: Path) -> None:
    """Put the backup in the place of a damaged project file, which is kept as ``project.json.damaged``.

    Raises
    ------
    CellsegError
        If the backup is not whole.
    """
    reason, record = _parsed(folder / BACKUP)
    if record is None:
        raise CellsegError(f"{folder / BACKUP}: {reason}", "a whole backup")
    file = folder / FILE
    if file.exists():
        if _parsed(file)[1] is not None:
            return
        number = 1
        while (kept := folder / f"{FILE}.damaged{number if number > 1 else ''}").exists():
            number += 1
        os.replace(file, kept)
    write_whole(file, (folder / BACKUP).read_bytes())


def _parsed(file: Path) -> tuple[str, ProjectRecord | None]:
    """Return what is wrong with a project file, or its record."""
    try:
        values = json.loads(file.read_bytes())
        version = values["version"]
        if isinstance(version, int) and version > VERSION:
            raise CellsegError(
                f"{file}: of version {version}", f"{VERSION} or less", "update napari-cellseg to open it"
            )
        return "", ProjectRecord.model_validate(values)
    except FileNotFoundError:
        return "missing", None
    except ValidationError as error:
        first = error.errors()[0]
        return f"damaged ({'.'.join(map(str, first['loc']))}: {first['msg']})", None
    except (ValueError, KeyError, TypeError) as error:
        return f"damaged ({type(error).__name__}: {error})", None
