"""PNG and JPG pictures: the size from the header, the pixels decoded when first read."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.readers.pixels import Decoded, Handle, Source

PLAIN_MODES = {"1": "?", "L": "u1", "I;16": "u2", "I;16L": "u2", "I;16B": "u2", "I": "i4", "F": "f4"}


def open_picture(path: Path) -> Source:
    """Return what a PNG or JPG file holds; palettes become RGB, transparency is left out.

    Raises
    ------
    CellsegError
        If decoding it would take more than 178 million pixels.
    """
    with _opened(path) as picture, path.open("rb") as file:
        width, height = picture.size
        mode = "RGB16" if _has_16_bit_colours(file.read(26)) else _target_mode(picture.mode)
    if mode in PLAIN_MODES:
        return Source(_open_decoded, "yx", (height, width), np.dtype(PLAIN_MODES[mode]), (height, width))
    dtype = np.dtype("u2" if mode == "RGB16" else "u1")
    return Source(_open_decoded, "yxs", (height, width, 3), dtype, (height, width))


def palette_indices(path: Path) -> NDArray[np.uint8] | None:
    """Return a palette PNG's indices ``(y, x)`` instead of its colours; None for any other file."""
    if path.suffix.lower() != ".png":
        return None
    with _opened(path) as picture:
        return np.array(picture, np.uint8) if picture.mode == "P" else None


def _opened(path: Path, content: bytes | None = None) -> PIL.Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        try:
            return PIL.Image.open(path if content is None else io.BytesIO(content), formats=("PNG", "JPEG"))
        except PIL.Image.DecompressionBombError as error:
            raise CellsegError(
                f"{path.name}: {error}".rstrip("."),
                "a picture of at most 178 million pixels",
                "save it as a tiled TIFF or OME-Zarr",
            ) from None


def _target_mode(mode: str) -> str:
    if mode in PLAIN_MODES:
        return mode
    return "L" if mode in ("LA", "La") else "RGB"


def _has_16_bit_colours(head: bytes) -> bool:
    # pillow would cut them to 8 bits without a word
    head = head[:26]
    return head.startswith(b"\x89PNG") and len(head) == 26 and head[24] == 16 and head[25] in (2, 6)


def _open_decoded(path: Path) -> Handle:
    return Handle(Decoded(path, read_picture))


def read_picture(path: Path) -> NDArray[Any]:
    """Return the pixels of a PNG or JPG file, ``(y, x)`` or ``(y, x, 3)``."""
    return decode_picture(path.read_bytes(), path)


def decode_picture(content: bytes, path: Path) -> NDArray[Any]:
    """Return the pixels of a PNG or JPG that was read already; `path` names it in messages."""
    if _has_16_bit_colours(content):
        import imagecodecs

        pixels: NDArray[Any] = imagecodecs.png_decode(content)
        return pixels[..., :3]
    with _opened(path, content) as picture:
        mode = _target_mode(picture.mode)
        return np.asarray(picture if mode == picture.mode else picture.convert(mode))
