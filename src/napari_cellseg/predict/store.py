"""The result of segmenting an image: an OME-Zarr 0.5 folder that grows block by block.

``probabilities/0..`` (k, y, x) uint8, 255 stands for 1; ``labels/segmentation/0..`` (y, x)
uint8 with the indices of an annotation. Levels are halved means; a label there is that of
the averaged probabilities. While it grows the folder is called ``NAME.ome.zarr.part`` and
``blocks.jsonl`` in it names the blocks that are whole; it gets its name when all are.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import BACKGROUND, Classes
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.predict.segment import labels_from
from napari_cellseg.predict.tiles import Grid

KEY = "napari_cellseg"
LOG = "blocks.jsonl"
CHUNK_PX = 1024  # most along a side
COARSEST_PX = 512  # no level is made of one that fits into this
WINDOW = {"start": 0, "end": 255, "min": 0, "max": 255}


@dataclass(frozen=True)
class Result:
    """An OME-Zarr result, growing or finished.

    Attributes
    ----------
    path : Path
        The folder as it is called now.
    grid : Grid
        Its blocks.
    threshold : float or None
        See `labels_from`.
    finished : dict
        Pixels of each class, by the index of the block; all blocks that are whole.
    """

    path: Path
    grid: Grid
    threshold: float | None
    finished: dict[tuple[int, int], list[int]]

    def write(self, rows: slice, cols: slice, probabilities: NDArray[np.float32]) -> None:
        """Write a block (k, y, x) on all levels; it counts once all of them are written."""
        group = zarr.open_group(self.path, mode="r+")
        labels = labels_from(probabilities, threshold=self.threshold)
        pixels = np.bincount(labels.ravel(), minlength=len(probabilities) + 1)[1:].tolist()
        for level in range(len(_level_shapes(self.grid))):
            if level:
                probabilities = _halved(probabilities)
                labels = labels_from(probabilities, threshold=self.threshold)
            place = tuple(slice(side.start >> level, -(-side.stop >> level)) for side in (rows, cols))
            _array(group, f"probabilities/{level}")[:, *place] = _quantised(probabilities)
            _array(group, f"labels/segmentation/{level}")[place] = labels
        index = (rows.start // self.grid.block[0], cols.start // self.grid.block[1])
        with (self.path / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"block": index, "pixels": pixels}) + "\n")
        self.finished[index] = pixels

    def class_pixels(self) -> list[int]:
        """Return the pixels of each class so far, the background first."""
        return [sum(column) for column in zip(*self.finished.values(), strict=True)]

    def finish(self, out: Path) -> None:
        """Give the whole result its name, in place of whatever had it."""
        group = zarr.open_group(self.path, mode="r+")
        group.attrs[KEY] = {**_own(group), "complete": True, "class_pixels": self.class_pixels()}
        (self.path / LOG).unlink()
        with replace_whole(out) as part:
            os.replace(self.path, part)


def begin_result(
    out: Path,
    grid: Grid,
    *,
    classes: Classes,
    pixel_nm: float | None,
    identity: dict[str, Any],
    threshold: float | None,
) -> Result:
    """Return a new, empty result that will be called `out`.

    Parameters
    ----------
    out : Path
        ``NAME.ome.zarr``.
    grid : Grid
        Its blocks.
    classes : Classes
    pixel_nm : float or None
        Pixel size in nm; without one the axes have no unit.
    identity : dict
        What it is made of: image, model and settings. Going on asks for the same.
    threshold : float or None
        See `labels_from`.
    """
    path = part_path(out)
    if path.exists():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    own = {
        "identity": identity,
        "block": grid.block,
        "classes": classes.to_json(),
        "probability": "value / 255",
        "complete": False,
    }
    name = out.name.removesuffix(".zarr").removesuffix(".ome")
    levels = _level_shapes(grid)
    spaces = _axes(pixel_nm)
    axes = [{"name": "c", "type": "channel"}, *spaces]
    channels = [
        {"label": label, "color": color[1:7], "active": label != BACKGROUND, "window": WINDOW}
        for label, color in zip(classes.names[1:], classes.colors[1:], strict=True)
    ]
    both = {
        folder: {
            "version": "0.5",
            "multiscales": [_multiscale(name, folder, len(levels), axes, pixel_nm)],
            "omero": {"channels": channels},
        }
        for folder in ("probabilities/", "")
    }
    root = zarr.create_group(path, zarr_format=3, attributes={"ome": both["probabilities/"], KEY: own})
    root.create_group("probabilities", attributes={"ome": both[""], KEY: {"probability": "value / 255"}})
    root.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["segmentation"]}})
    ome = {
        "version": "0.5",
        "multiscales": [_multiscale("segmentation", "", len(levels), spaces, pixel_nm)],
        "image-label": _image_label(classes),
    }
    root.create_group("labels/segmentation", attributes={"ome": ome})
    outputs = len(classes) - 1
    for level, shape in enumerate(levels):
        _create(
            root, f"probabilities/{level}", (outputs, *shape), (1, *_chunks(grid, shape)), ["c", "y", "x"]
        )
        _create(root, f"labels/segmentation/{level}", shape, _chunks(grid, shape), ["y", "x"])
    (path / LOG).touch()
    return Result(path, grid, threshold, {})


def resume_result(
    out: Path, grid: Grid, *, identity: dict[str, Any], threshold: float | None
) -> Result | None:
    """Return the half-done or finished result of `out`, or None if there is neither.

    Its blocks are those it was begun with, whatever free memory suggests now.

    Raises
    ------
    CellsegError
        If it was made from another image, by another model or with other settings.
    """
    path = out if out.exists() else part_path(out)
    if not path.exists():
        return None
    own = read_own(path)
    if own is None:
        if path != out:  # killed before it had begun
            return None
        raise CellsegError(
            f"{out}: not a result of this program", "one to go on with", "use another folder or --overwrite"
        )
    differing = [key for key in identity if own["identity"].get(key) != identity[key]]
    if differing:
        names = {
            "image": "from another image",
            "model": "by another model",
            "settings": "with other settings",
        }
        raise CellsegError(
            f"{path}: made {' and '.join(names.get(key, key) for key in differing)}",
            "the same to go on with",
            "begin anew with --overwrite",
        )
    rows, cols = own["block"]
    grid = Grid(grid.shape, (rows, cols), grid.halo, grid.stride, grid.working)
    if own["complete"]:
        return Result(path, grid, threshold, {(0, 0): own["class_pixels"]})
    return Result(path, grid, threshold, _read_log(path / LOG))


def part_path(out: Path) -> Path:
    """Return where the result `out` lies while it grows."""
    return out.with_name(out.name + ".part")


def read_own(path: Path) -> dict[str, Any] | None:
    """Return what this program noted in a result; None if the folder holds no such note."""
    file = path / "zarr.json"
    try:
        own = json.loads(file.read_text(encoding="utf-8"))["attributes"][KEY]
    except (FileNotFoundError, NotADirectoryError, KeyError, json.JSONDecodeError):
        return None
    return own if isinstance(own, dict) and (own.get("complete") or (path / LOG).exists()) else None


def _read_log(file: Path) -> dict[tuple[int, int], list[int]]:
    finished = {}
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:  # killed in the middle of a line: that block is done again
        file.write_text(whole, encoding="utf-8")
    for line in whole.splitlines():
        entry = json.loads(line)
        finished[entry["block"][0], entry["block"][1]] = entry["pixels"]
    return finished


def _own(group: zarr.Group) -> dict[str, Any]:
    own = group.attrs[KEY]
    assert isinstance(own, dict)
    return own


def _array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    array = group[path]
    assert isinstance(array, zarr.Array)
    return array


def _create(
    group: zarr.Group, path: str, shape: tuple[int, ...], chunks: tuple[int, ...], names: list[str]
) -> None:
    group.create_array(
        path,
        shape=shape,
        chunks=chunks,
        dtype="uint8",
        fill_value=0,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle"),
        dimension_names=names,
    )


def _level_shapes(grid: Grid) -> list[tuple[int, int]]:
    """Return the (y, x) of all levels: as many as are needed and start on whole pixels in every block."""
    shapes = [grid.shape]
    step = gcd(*(block for block, count in zip(grid.block, grid.counts, strict=True) if count > 1), 1 << 16)
    while max(shapes[-1]) > COARSEST_PX and step >> len(shapes) << len(shapes) == step:
        rows, cols = shapes[-1]
        shapes.append(((rows + 1) // 2, (cols + 1) // 2))
    return shapes


def _chunks(grid: Grid, shape: tuple[int, int]) -> tuple[int, int]:
    """Return chunks of which a block holds a whole number."""
    sides = []
    for block, count, size in zip(grid.block, grid.counts, shape, strict=True):
        fitting = next(px for px in range(min(block, CHUNK_PX), 0, -1) if count == 1 or block % px == 0)
        sides.append(min(fitting, size))
    return sides[0], sides[1]


def _quantised(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    scaled = probabilities * np.float32(255)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)


def _halved(block: NDArray[np.float32]) -> NDArray[np.float32]:
    odd = [(0, side % 2) for side in block.shape[1:]]
    if any(after for _, after in odd):
        block = np.pad(block, [(0, 0), *odd], mode="edge")
    rows = block[:, ::2] + block[:, 1::2]
    mean: NDArray[np.float32] = (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)
    return mean


def _axes(pixel_nm: float | None) -> list[dict[str, str]]:
    unit = {} if pixel_nm is None else {"unit": "nanometer"}
    return [{"name": name, "type": "space", **unit} for name in "yx"]


def _multiscale(
    name: str, folder: str, levels: int, axes: list[dict[str, str]], pixel_nm: float | None
) -> dict[str, Any]:
    size = pixel_nm or 1.0
    leading = len(axes) - 2
    datasets = []
    for level in range(levels):
        scale, shift = size * 2**level, size * (2**level - 1) / 2  # a mean lies between its pixels
        transformations = [{"type": "scale", "scale": [1.0] * leading + [scale] * 2}]
        transformations.append({"type": "translation", "translation": [0.0] * leading + [shift] * 2})
        datasets.append({"path": f"{folder}{level}", "coordinateTransformations": transformations})
    return {"name": name, "axes": axes, "datasets": datasets, "type": "mean"}


def _image_label(classes: Classes) -> dict[str, Any]:
    colors, properties = [], []
    for value, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True)):
        rgba = bytes.fromhex(color[1:].ljust(8, "f"))
        colors.append({"label-value": value, "rgba": [*rgba[:3], 0 if value < 2 else rgba[3]]})
        properties.append({"label-value": value, "class": name})
    return {"colors": colors, "properties": properties, "source": {"image": "../../"}}
