"""Images in: files of any supported kind as lazy arrays with a pixel size."""

import glob
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.readers.mrc import open_mrc
from napari_cellseg.images.readers.ome_zarr import is_zarr, open_ome_zarr, smaller_ome_zarr
from napari_cellseg.images.readers.pictures import open_picture
from napari_cellseg.images.readers.pixels import DAMAGE, Decoded, Pixels, Source, reason
from napari_cellseg.images.readers.tiff import open_tiff, smaller_tiff
from napari_cellseg.images.remote import Place, Url, is_remote, list_images, placed


@dataclass(frozen=True, eq=False)
class Image:
    """A lazy image: pixels are read when they are asked for.

    Parameters
    ----------
    data : (y, x) or (c, y, x)
        Integer or float pixels.
    name : str
        The file's name without its suffixes.
    pixel_nm : float, optional
        Pixel size in nm; None where the file does not say.
    path : Path, optional
        Where it was read from.
    pixels : Pixels, optional
        The file behind `data`, which `read` asks without the detour through dask's graph.

    Raises
    ------
    CellsegError
        If the pixels are no plane or planes, or the pixel size is no length.
    """

    data: da.Array
    name: str
    pixel_nm: float | None = None
    path: Path | None = None
    pixels: Pixels | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.data.ndim not in (2, 3) or 0 in self.data.shape:
            raise CellsegError(f"{self.name}: an image of shape {self.data.shape}", "(y, x) or (c, y, x)")
        if self.pixel_nm is not None and not (math.isfinite(self.pixel_nm) and self.pixel_nm > 0):
            raise CellsegError(f"{self.name}: a pixel size of {self.pixel_nm} nm", "more than 0")

    @classmethod
    def from_array(cls, pixels: Any, name: str = "image", *, pixel_nm: float | None = None) -> Self:
        """Return an image of pixels that are already there.

        Examples
        --------
        >>> Image.from_array(np.zeros((3, 5, 7))).shape
        (5, 7)
        """
        if not isinstance(pixels, da.Array):
            pixels = da.from_array(np.asanyarray(pixels))  # type: ignore[no-untyped-call]
        return cls(pixels, name, pixel_nm)

    @property
    def shape(self) -> tuple[int, int]:
        """Size in pixels, (y, x)."""
        return int(self.data.shape[-2]), int(self.data.shape[-1])

    @property
    def channels(self) -> int:
        """Number of channels; 1 for a plane."""
        return int(self.data.shape[0]) if self.data.ndim == 3 else 1

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Return a region's pixels, reading only the chunks it touches.

        Parameters
        ----------
        rows, cols : slice
            As in numpy.

        Returns
        -------
        (c, y, x)
            In the file's own type, always with a channel axis.

        Raises
        ------
        CellsegError
            If the file is damaged there.

        Examples
        --------
        >>> Image.from_array(np.eye(4)).read(slice(0, 2), slice(0, 3)).shape
        (1, 2, 3)
        """
        region: NDArray[Any]
        if self.pixels is not None and self.pixels.dask_name == self.data.name:
            region = self.pixels[..., rows, cols]
        else:
            region = np.asarray(self.data[..., rows, cols].compute(scheduler="synchronous"))
        return region if region.ndim == 3 else region[np.newaxis]


@dataclass(frozen=True)
class Reader:
    """One kind of image file: its suffixes, how it is opened, what it is.

    `smaller`, where there is one, opens the smaller copies of the image in the file.
    """

    suffixes: tuple[str, ...]
    open: Callable[[Path], Source]
    description: str
    smaller: Callable[[Path], list[Source]] | None = None


READERS: dict[str, Reader] = {
    "tiff": Reader(
        (".tif", ".tiff", ".btf", ".tf8"),
        open_tiff,
        "TIFF: plain, tiled, BigTIFF, ImageJ, OME; one image a file",
        smaller_tiff,
    ),
    "mrc": Reader((".mrc", ".mrcs", ".map"), open_mrc, "MRC micrograph of one section"),
    "png/jpg": Reader((".png", ".jpg", ".jpeg"), open_picture, "PNG or JPG picture, grey or RGB"),
    "ome-zarr": Reader(
        (".zarr",),
        open_ome_zarr,
        "OME-Zarr 0.4 or 0.5, or a plain zarr array; full resolution",
        smaller_ome_zarr,
    ),
}


def read_image(path: str | Path, *, pixel_nm: float | None = None) -> Image:
    """Return the image in a file, with no pixels read yet.

    RGB comes as three channels, transparency is left out, truth values become 0 and 1.

    Parameters
    ----------
    path : str or Path
        A file of a kind listed in `READERS`, or an OME-Zarr folder.
    pixel_nm : float, optional
        Pixel size in nm, instead of what the file says.

    Raises
    ------
    CellsegError
        If there is no such file, or it is empty, damaged, a stack, or no image.

    Examples
    --------
    >>> read_image("missing.tif")
    Traceback (most recent call last):
    ...
    napari_cellseg.errors.CellsegError: missing.tif: no such file; expected an image; check the path
    """
    path = Path(path).expanduser()
    reader = _reader(path)
    try:
        source = reader.open(path)
        pixels = Pixels.of(path.absolute(), source)
    except DAMAGE as error:
        raise _unopened(path, reader, error) from error
    return Image(pixels.lazy(), stem(path), source.pixel_nm if pixel_nm is None else pixel_nm, path, pixels)


def _unopened(path: Path, reader: Reader, error: BaseException) -> CellsegError:
    found = f"{path.name}: cannot be opened ({reason(error)})"
    return CellsegError(found, reader.description, "copy or export it again")


def read_planes(path: str | Path) -> tuple[da.Array, float | None]:
    """Return all planes of a file as they are stored, lazily, and the pixel size in nm or None.

    For showing a stack, which `read_image` refuses.

    Parameters
    ----------
    path : str or Path
        A file of a kind listed in `READERS`.

    Returns
    -------
    (..., y, x) dask array
    float or None

    Raises
    ------
    CellsegError
        If the file is missing, empty or damaged.
    """
    path = Path(path).expanduser()
    reader = _reader(path)
    try:
        source = reader.open(path)
        array = source.open(path).array
        if isinstance(array, Decoded):
            array = array[...]
    except DAMAGE as error:
        raise _unopened(path, reader, error) from error
    if 0 in source.shape:
        raise CellsegError(f"{path.name}: an image without pixels, {source.shape}", "at least 1 x 1")
    chunks = (1,) * (len(source.axes) - 2)
    data: da.Array = da.from_array(array, chunks=(*chunks, -1, -1), name=False)  # type: ignore[no-untyped-call]
    return da.moveaxis(data, [source.axes.index(axis) for axis in "yx"], [-2, -1]), source.pixel_nm


def smaller_copies(image: Image) -> list[da.Array]:
    """Return the smaller copies of an image that its file holds, the largest first, none of it read.

    For showing a large image; a file without them, or pixels without a file, give none.

    Examples
    --------
    >>> smaller_copies(Image.from_array(np.eye(4)))
    []
    """
    if image.path is None or image.pixels is None:
        return []
    smaller = _reader(image.path).smaller
    try:
        sources = [] if smaller is None else smaller(image.path)
        found = [Pixels.of(image.path.absolute(), source) for source in sources]
    except (*DAMAGE, CellsegError):  # the image itself can be read without them
        return []
    channels = image.data.shape[:-2]
    return [pixels.lazy() for pixels in found if pixels.shape[:-2] == channels]


def _reader(path: Path) -> Reader:
    if not path.exists():
        raise CellsegError(f"{path}: no such file", "an image", "check the path")
    if path.is_dir():
        return READERS["ome-zarr"]
    for reader in READERS.values():
        if path.name.lower().endswith(reader.suffixes) and reader is not READERS["ome-zarr"]:
            if path.stat().st_size == 0:
                raise CellsegError(f"{path.name}: the file is empty", reader.description, "copy it again")
            return reader
    kinds = ", ".join(f"{name} ({' '.join(reader.suffixes)})" for name, reader in READERS.items())
    raise CellsegError(f"{path.name}: no image of a known kind", kinds, "convert it to one of them")


def find_images(
    pattern_or_paths: str | Path | Iterable[str | Path], *, suffixes: tuple[str, ...] = ()
) -> list[Path]:
    """Return the images that paths, folders and patterns name, in natural order, each once.

    A folder stands for the images directly in it; `**` in a pattern for any depth. OME-Zarr
    folders count as files. Patterns and folders leave out what is no image by its suffix
    and hidden files; a file named outright is kept whatever it is.

    Parameters
    ----------
    pattern_or_paths : str, Path or several of them
        Such as ``"data/**/*.mrc"``.
    suffixes : tuple of str
        What is taken of folders and patterns instead of images, such as ``(".csv",)``.

    Raises
    ------
    CellsegError
        If one of them names nothing.
    """
    several = [pattern_or_paths] if isinstance(pattern_or_paths, str | Path) else list(pattern_or_paths)
    if not several:
        raise CellsegError("no images named", "a path or a pattern such as 'data/*.mrc'")
    found: dict[Path, None] = {}
    for one in several:
        if is_remote(one):
            raise CellsegError(f"{one}: object storage", "files on this machine", "copy them here first")
        matches = _matches(Path(one).expanduser(), suffixes)
        if not matches:
            raise _nothing(one, suffixes)
        found.update(dict.fromkeys(matches))
    return sorted(found, key=_natural)


def find_places(named: Iterable[str | Path], *, suffixes: tuple[str, ...] = ()) -> list[Place]:
    """Return the images that paths, folders, patterns and addresses in object storage name.

    As `find_images`; in a store a folder is an image if it is called ``NAME.zarr``.

    Parameters
    ----------
    named : sequence of str or Path
        Such as ``"s3://bucket/data/**/*.mrc"``.
    suffixes : tuple of str
        As in `find_images`.

    Raises
    ------
    CellsegError
        If one of them names nothing, or its store cannot be asked.
    """
    found: dict[Place, None] = {}
    for one in map(placed, named):
        if isinstance(one, Url):
            matches: Iterable[Place] = list_images(one, suffixes or _file_suffixes())
        else:
            matches = find_images(one, suffixes=suffixes)
        here = dict.fromkeys(matches)
        if not here:
            raise _nothing(one, suffixes)
        found.update(here)
    return sorted(found, key=_natural)


def _nothing(one: str | Path, suffixes: tuple[str, ...]) -> CellsegError:
    kinds = " ".join(suffixes or (s for reader in READERS.values() for s in reader.suffixes))
    found = f"{one}: no {'such files' if suffixes else 'images'} there"
    return CellsegError(found, f"files ending in {kinds}", "check the path or pattern")


def _matches(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if path.is_dir() and not is_zarr(path):
        return [entry for entry in path.iterdir() if _is_image(entry, suffixes)]
    if path.exists():
        return [path]
    hits = (Path(hit) for hit in glob.iglob(str(path), recursive=True))
    return [
        hit for hit in hits if _is_image(hit, suffixes) and not any(is_zarr(parent) for parent in hit.parents)
    ]


def _is_image(path: Path, suffixes: tuple[str, ...]) -> bool:
    if path.name.startswith("."):
        return False
    if suffixes:
        return path.is_file() and path.name.lower().endswith(suffixes)
    if path.is_dir():
        return is_zarr(path)
    return path.name.lower().endswith(_file_suffixes())


def _file_suffixes() -> tuple[str, ...]:
    return tuple(
        suffix for name, reader in READERS.items() if name != "ome-zarr" for suffix in reader.suffixes
    )


def _natural(path: Place) -> tuple[list[str | int], str]:
    # the parts alternate between text and number, so like is compared with like
    parts = re.split(r"([0-9]+)", str(path).lower())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], str(path)


def stem(path: str | Path) -> str:
    """Return a file's name without the suffixes that say what kind of image it is.

    Examples
    --------
    >>> stem("data/mic_001.ome.tif"), stem("a.1.5um.mrc"), stem("x.tar.gz")
    ('mic_001', 'a.1.5um', 'x')
    """
    name = Path(path).name
    known = {suffix for reader in READERS.values() for suffix in reader.suffixes} | {".ome", ".tar", ".gz"}
    base, _, last = name.rpartition(".")
    while base and f".{last.lower()}" in known:
        name = base
        base, _, last = name.rpartition(".")
    return name
