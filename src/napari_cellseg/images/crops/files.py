"""Crops that are files of their own: PNG, JPG or TIFF, one picture each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.crops import CropSource
from napari_cellseg.images.crops.plain_tiff import decode_tiff
from napari_cellseg.images.readers.pictures import decode_picture
from napari_cellseg.images.readers.pixels import DAMAGE, reason

TIFF = (".tif", ".tiff")
PICTURES = (".png", ".jpg", ".jpeg", *TIFF)
SAMPLED, SAMPLED_BYTES = 64, 1 << 28  # files looked at to learn what the rest are like


@dataclass(frozen=True, eq=False)
class Files:
    """One file a crop; nothing stays open.

    Where a set holds grey and colour pictures, a grey one is given as three equal channels.
    """

    paths: NDArray[np.str_]
    channels: int

    def files(self, row: int) -> list[str]:
        """Return the file of one crop."""
        return [str(self.paths[row])]

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(c, y, x)``."""
        return equal_channels(read_crop_file(str(self.paths[row])), self.channels)


def equal_channels(pixels: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return a grey picture as three equal channels where 3 are wanted, and the other way round.

    Examples
    --------
    >>> equal_channels(np.ones((1, 2, 2)), 3).shape, equal_channels(np.ones((3, 2, 2)), 1).shape
    ((3, 2, 2), (1, 2, 2))
    """
    if len(pixels) == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=0)
    if len(pixels) == 3 and channels == 1 and (pixels == pixels[0]).all():
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
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise unreadable(str(path), error) from error
    return decode_crop(content, str(path))


def decode_crop(content: bytes, name: str) -> NDArray[Any]:
    """Return the pixels of one crop, ``(c, y, x)``, from the bytes of its file.

    Raises
    ------
    CellsegError
        If they are damaged or hold no pixel.
    """
    try:
        if name.lower().endswith(TIFF):
            pixels = decode_tiff(content, name)
        else:
            picture = np.atleast_3d(decode_picture(content, Path(name)))
            pixels = np.ascontiguousarray(picture.transpose(2, 0, 1))
    except DAMAGE as error:
        raise unreadable(name, error) from error
    if 0 in pixels.shape:
        found = f"{name}: a crop of {pixels.shape[-2]} x {pixels.shape[-1]} pixels"
        raise CellsegError(found, "at least 1 x 1")
    return pixels


def unreadable(path: str, error: BaseException) -> CellsegError:
    """Return what to tell about a file that a decoder gave up on."""
    if isinstance(error, FileNotFoundError):
        return CellsegError(f"{path}: no such file", "an image of one cell", "check the path")
    return CellsegError(f"{path}: cannot be read ({reason(error)})", "an undamaged image", "export it again")


def common_channels(paths: NDArray[np.str_], name: str) -> int:
    """Return how many channels the files have, by reading some; see `usual_channels`."""
    rows = np.linspace(0, len(paths) - 1, SAMPLED).astype(int)
    return usual_channels(Files(paths, 0), rows, name)


def usual_channels(source: CropSource, rows: NDArray[np.intp], name: str) -> int:
    """Return how many channels some crops have: 3 if any is in colour and the rest grey, else the usual.

    Raises
    ------
    CellsegError
        If none of them can be read.
    """
    counts: list[int] = []
    seen_bytes, first = 0, None
    for row in np.unique(rows).tolist():
        try:
            pixels = source.read(row)
        except CellsegError as error:
            first = first or error
            continue
        counts.append(len(pixels))
        seen_bytes += pixels.nbytes
        if seen_bytes > SAMPLED_BYTES:  # whole micrographs, most likely by mistake
            break
    if not counts:
        raise CellsegError(f"{name}: none of its images can be read ({first})", "images of single cells")
    usual = max(set(counts), key=counts.count)
    return 3 if usual == 1 and 3 in counts else usual
