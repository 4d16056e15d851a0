"""The images of a project: they stay where they are, and are found again when things move."""

import os
from dataclasses import dataclass
from pathlib import Path

from napari_cellseg.images.project_file import ImageRecord
from napari_cellseg.images.quick_hash import quick_hash


@dataclass(frozen=True)
class ProjectImage:
    """An image of a project: where it is, and how to know it again.

    Parameters
    ----------
    name : str
        Unique in the project: the stem of the file, ``stem-2`` for a second one.
    path : Path
        Where it was found now, or where it is missing.
    quick_hash : str
        See `quick_hash`; taken when the image was added.
    shape : (y, x)
        Size in pixels.
    pixel_nm : float, optional
        Pixel size in nm.
    """

    name: str
    path: Path
    quick_hash: str
    shape: tuple[int, int]
    pixel_nm: float | None

    @property
    def missing(self) -> bool:
        """Whether the file is not there; its labels are kept."""
        return not self.path.exists()

    def complaint(self) -> str:
        """Return what is wrong with the file, as a sentence; nothing if it is as it was."""
        if self.missing:
            return f"'{self.name}' is missing: {self.path}"
        changed = quick_hash(self.path) != self.quick_hash
        return f"'{self.name}' has changed since it was added: {self.path}" if changed else ""


def find_image(record: ImageRecord, project: Path) -> ProjectImage:
    """Return the image of a record: beside the project as it was, else where it was on the disk.

    Where there are files at both places, the one with the recorded content is taken.
    """
    near, far = Path(os.path.abspath(project / record.path)), Path(record.absolute)
    here = [path for path in (near, far) if path.exists()]
    if len(here) == 2 and near != far:
        here.sort(key=lambda path: quick_hash(path) != record.quick_hash)
    path = here[0] if here else far
    return ProjectImage(record.name, path, record.quick_hash, record.shape, record.pixel_nm)


def relative_to(folder: Path, path: Path) -> str:
    """Return `path` as seen from `folder`, with ``..`` and ``/``; as it is on another drive."""
    try:
        return Path(os.path.relpath(path, os.path.abspath(folder))).as_posix()
    except ValueError:
        return str(path)
