"""Crops in: which reader takes a path, and the one function that reads them all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.class_folders import has_pictures, open_class_folders
from napari_cellseg.images.crops.crops import Crops
from napari_cellseg.images.crops.ecotaxa import is_ecotaxa, open_ecotaxa
from napari_cellseg.images.crops.flowcam import is_flowcam, open_flowcam
from napari_cellseg.images.crops.ideas import is_ideas_export, open_ideas
from napari_cellseg.images.crops.ifcb import is_ifcb, open_ifcb
from napari_cellseg.images.crops.listing import walk
from napari_cellseg.images.crops.table import is_table, names_paths, open_table
from napari_cellseg.images.readers.ome_zarr import is_zarr

RAW = (".cif", ".rif", ".daf")


@dataclass(frozen=True)
class CropReader:
    """One kind of crops: how it is known, how it is opened, what it is.

    `open` takes the path, the group (a column's name or a regular expression) and the
    channels wanted.
    """

    sniff: Callable[[Path], bool]
    open: Callable[[Path, str, tuple[str, ...]], Crops]
    description: str


# in the order they are asked: the most particular first
READERS: dict[str, CropReader] = {
    "ideas": CropReader(
        is_ideas_export, open_ideas, "IDEAS (ImageStream) export: files such as 12_Ch4.ome.tif, one a channel"
    ),
    "ifcb": CropReader(is_ifcb, open_ifcb, "bins of an Imaging FlowCytobot: .hdr, .adc and .roi"),
    "flowcam": CropReader(is_flowcam, open_flowcam, "runs of a FlowCam: .lst with collages as TIFF"),
    "ecotaxa": CropReader(is_ecotaxa, open_ecotaxa, "EcoTaxa archive: a zip of images and ecotaxa*.tsv"),
    "table": CropReader(
        is_table, open_table, "CSV table with a column path, and label, group and id if there are any"
    ),
    "class-folders": CropReader(
        has_pictures, open_class_folders, "PNG, JPG or TIFF images of single cells; each folder is a class"
    ),
}


def read_crops(
    path: str | Path, *, format: str | None = None, group: str = "", channels: Sequence[str] = ()
) -> Crops:
    """Return the crops in a folder or file, with no pixels held.

    Parameters
    ----------
    path : str or Path
        Anything that `READERS` lists.
    format : str, optional
        Name of a reader; else the first that knows the path is taken.
    group : str
        What groups the crops for splitting: the name of a column where there are columns,
        or a regular expression over the file name (its first pair of parentheses counts).
    channels : sequence of str
        Channels to read, in this order; all if empty.

    Raises
    ------
    CellsegError
        If there is nothing there, no reader knows it, or it holds no crop.

    Examples
    --------
    >>> read_crops("missing")
    Traceback (most recent call last):
    ...
    napari_cellseg.errors.CellsegError: missing: no such file or folder; expected images of single cells; ...
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise CellsegError(f"{path}: no such file or folder", "images of single cells", "check the path")
    format = format or crop_format(path)
    if format not in READERS:
        raise CellsegError(f"no reader {format!r} of crops", " or ".join(READERS))
    return READERS[format].open(path, group, tuple(channels))


def holds_crops(path: Path) -> bool:
    """Tell whether `path` is meant as crops: a folder, or a file that is nothing but them.

    A picture or a table may be something else; a table counts if it has a column of paths.
    """
    if path.is_dir():
        return not is_zarr(path)
    if not path.is_file():
        return False
    if is_table(path):
        return names_paths(path)
    names = (name for name in READERS if name not in ("table", "class-folders"))
    return path.name.lower().endswith(RAW) or any(READERS[name].sniff(path) for name in names)


def crop_format(path: Path) -> str:
    """Return the name of the reader that takes `path`, one of `READERS`.

    Raises
    ------
    CellsegError
        If none does; for a file of the instrument itself it says how to export it.
    """
    for name, reader in READERS.items():
        if reader.sniff(path):
            return name
    names = [path.name] if path.is_file() else [name for _, name in walk(path)]
    raw = next((name for name in names if name.lower().endswith(RAW)), "")
    if raw:
        raise CellsegError(
            f"{raw}: a file of the ImageStream itself, which only IDEAS reads",
            "its export as TIFF",
            "in IDEAS open the data file, select the population, choose Tools > Export .tif Images, "
            "all channels, 16-bit, and read that folder",
        )
    kinds = "; ".join(reader.description for reader in READERS.values())
    found = f"{path}: the folder is empty" if not names else f"{path}: no images of single cells known here"
    raise CellsegError(found, kinds, "check the path")
