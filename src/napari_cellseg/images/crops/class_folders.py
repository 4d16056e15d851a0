"""A folder of images, one a cell: the folder an image lies in is its class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.crops import Crops, channel_names, natural, unique_ids
from napari_cellseg.images.crops.files import PICTURES, Files, common_channels
from napari_cellseg.images.crops.listing import class_and_sample, walk


def has_pictures(path: Path) -> bool:
    """Tell whether `path` is a picture or a folder with pictures somewhere in it."""
    if path.is_file():
        return path.name.lower().endswith(PICTURES)
    return any(name.lower().endswith(PICTURES) for _, name in walk(path))


def open_class_folders(path: Path, group: str = "", channels: tuple[str, ...] = ()) -> Crops:
    """Return the pictures below a folder, in natural order; folders above the class are the sample.

    Raises
    ------
    CellsegError
        If there is no picture, or none can be read.
    """
    if path.is_file():
        found = [("", path.name)]
        root = path.parent
    else:
        found = [entry for entry in walk(path) if entry[1].lower().endswith(PICTURES)]
        root = path
    if not found:
        raise CellsegError(f"{path}: no images in it", f"folders of {' '.join(PICTURES)} files")
    found.sort(key=lambda entry: (natural(entry[0]), natural(entry[1])))
    folders = [inner for inner, _ in found]
    said = {inner: class_and_sample(inner) for inner in set(folders)}
    paths = np.array([str(root / inner / name) for inner, name in found], np.str_)
    source = Files(paths, common_channels(paths, path.name))
    crops = Crops(
        path.stem if path.is_file() else path.absolute().name,
        _ids(found),
        np.array([said[inner][1] for inner in folders], np.str_),
        np.array([said[inner][0] for inner in folders], np.str_),
        paths,
        channel_names(source.channels),
        source,
    )
    return crops.with_samples(group).with_channels(channels)


def _ids(found: list[tuple[str, str]]) -> NDArray[np.str_]:
    folders = [inner for inner, _ in found]
    ids = unique_ids([name.rpartition(".")[0] for _, name in found], folders)
    if len(set(ids.tolist())) < len(ids):  # a.png beside a.tif
        ids = unique_ids([name for _, name in found], folders)
    return ids
