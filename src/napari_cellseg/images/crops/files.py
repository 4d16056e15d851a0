"""Crops that are files of their own: PNG, JPG or TIFF, one picture each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.plain_tiff import read_small_tiff
from napari_cellseg.images.readers.pictures import read_picture
from napari_cellseg.images.readers.pixels import DAMAGE, reason

TIFF = (".tif", ".tiff")
PICTURES = (".png", ".jpg", ".jpeg", *TIFF)
SAMPLED = 64  # files looked at to learn what the rest are like


@dataclass(frozen=True, eq=False)
class Files:
    """One file a crop; nothing stays open.

    Where a set holds grey and colour pictures, a grey one is given as three equal channels.
    """

    paths: NDArray[np.str_]
    channels: int

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(c, y, x)``."""
        pixels = read_crop_file(str(self.paths[row]))
        if len(pixels) == 1 and self.channels == 3:
            return np.repeat(pixels, 3, axis=0)
        if len(pixels) == 3 and self.channels == 1 and (pixels == pixels[0]).all():
            return pixels[:1]
        return pixels


def read_crop_file(path: str | Path) -> NDArray[Any]:
    """Return the pixels of one crop, ``(c, y, x)``; transparency is left out.

    Raises
    ------
    CellsegError
        If the file is missing, damaged or empty.
    """
    try:
        if str(path).lower().endswith(TIFF):
            pixels = read_small_tiff(path)
        else:
            pixels = read_picture(Path(path))
            pixels = (
                pixels[np.newaxis] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
            )
    except DAMAGE as error:
        raise unreadable(str(path), error) from error
    if 0 in pixels.shape:
        raise CellsegError(
            f"{path}: a crop of {pixels.shape[-2]} x {pixels.shape[-1]} pixels", "at least 1 x 1"
        )
    return pixels


def unreadable(path: str, error: BaseException) -> CellsegError:
    """Return what to tell about a file that a decoder gave up on."""
    if isinstance(error, FileNotFoundError):
        return CellsegError(f"{path}: no such file", "an image of one cell", "check the path")
    return CellsegError(f"{path}: cannot be read ({reason(error)})", "an undamaged image", "export it again")


def common_channels(paths: NDArray[np.str_], name: str) -> int:
    """Return how many channels the files have, by reading some: 3 if any is in colour, else the usual.

    Raises
    ------
    CellsegError
        If none of those can be read.
    """
    counts: list[int] = []
    first: CellsegError | None = None
    for row in np.unique(np.linspace(0, len(paths) - 1, SAMPLED).astype(int)).tolist():
        try:
            counts.append(len(read_crop_file(str(paths[row]))))
        except CellsegError as error:
            first = first or error
    if not counts:
        raise CellsegError(f"{name}: none of its images can be read ({first})", "images of single cells")
    usual = max(set(counts), key=counts.count)
    return 3 if usual == 1 and 3 in counts else usual
