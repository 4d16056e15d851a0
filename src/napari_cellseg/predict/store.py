"""The result of segmenting an image: an OME-Zarr 0.5 folder that grows block by block.

``probabilities/0..`` (k, y, x) uint8, 255 stands for 1; ``labels/segmentation/0..`` (y, x)
uint8 with the indices of an annotation. Levels are halved means; a label there is that of
the averaged probabilities. Where it was asked for there is ``uncertainty/0..`` (y, x) uint8, and
after `predict.refine` ``labels/refined/0..``. While it grows the folder is called
``NAME.ome.zarr.part`` and ``blocks.jsonl`` in it names the blocks that are whole; it gets its name
when all are.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import BACKGROUND, Classes
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.predict.labels import labels_from
from napari_cellseg.predict.pyramid import (
    WINDOW,
    array_in,
    chunk_shape,
    create_array,
    halved,
    image_label,
    level_shapes,
    multiscale,
    space_axes,
)
from napari_cellseg.predict.tiles import Grid

KEY = "napari_cellseg"
LOG = "blocks.jsonl"
UNCERTAINTY = "uncertainty"


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

    def write(self, rows: slice, cols: slice, planes: NDArray[np.uint8]) -> None:
        """Write a block on all levels; it counts once all of them are written.

        Parameters
        ----------
        rows, cols : slice
            Where it lies.
        planes : (k + 1, y, x) or (k + 2, y, x) uint8
            What `labels.Encode` makes of probabilities, and of their uncertainty where the result has a
            place for it.
        """
        group = zarr.open_group(self.path, mode="r+")
        classes = array_in(group, "probabilities/0").shape[0]
        planes, labels = planes[:-1], planes[-1]
        pixels = [int(np.count_nonzero(labels == value)) for value in range(1, classes + 1)]
        for level in range(len(level_shapes(self.grid))):
            if level:
                planes = halved(planes)
                labels = labels_from(planes[:classes], threshold=self.threshold)
            place = tuple(slice(side.start >> level, -(-side.stop >> level)) for side in (rows, cols))
            array_in(group, f"probabilities/{level}")[:, *place] = planes[:classes]
            array_in(group, f"labels/segmentation/{level}")[place] = labels
            if len(planes) > classes:
                array_in(group, f"{UNCERTAINTY}/{level}")[place] = planes[classes]
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
    uncertainty: str = "none",
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
    uncertainty : {"none", "entropy", "spread"}
        What is measured, if anything.
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
    levels = level_shapes(grid)
    spaces = space_axes(pixel_nm)
    axes = [{"name": "c", "type": "channel"}, *spaces]
    channels = [
        {"label": label, "color": color[1:7], "active": label != BACKGROUND, "window": WINDOW}
        for label, color in zip(classes.names[1:], classes.colors[1:], strict=True)
    ]
    whole, own_group = (
        {
            "version": "0.5",
            "multiscales": [multiscale(name, folder, len(levels), axes, pixel_nm)],
            "omero": {"channels": channels},
        }
        for folder in ("probabilities/", "")
    )
    root = zarr.create_group(path, zarr_format=3, attributes={"ome": whole, KEY: own})
    root.create_group("probabilities", attributes={"ome": own_group, KEY: {"probability": "value / 255"}})
    root.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["segmentation"]}})
    scales = {
        "version": "0.5",
        "multiscales": [multiscale("segmentation", "", len(levels), spaces, pixel_nm)],
    }
    ome = scales | {"image-label": image_label(classes)}
    root.create_group("labels/segmentation", attributes={"ome": ome})
    planes = ["labels/segmentation"]
    if uncertainty != "none":
        _add_uncertainty(root, uncertainty, multiscale(UNCERTAINTY, "", len(levels), spaces, pixel_nm))
        planes.append(UNCERTAINTY)
    for level, shape in enumerate(levels):
        chunks = chunk_shape(grid, shape)
        size = (len(classes) - 1, *shape)
        create_array(root, f"probabilities/{level}", size, (1, *chunks), ["c", "y", "x"])
        for folder in planes:
            create_array(root, f"{folder}/{level}", shape, chunks, ["y", "x"])
    (path / LOG).touch()
    return Result(path, grid, threshold, {})


def _add_uncertainty(root: zarr.Group, measure: str, scales: dict[str, Any]) -> None:
    channel = {"label": f"uncertainty ({measure})", "color": "FFFFFF", "active": True, "window": WINDOW}
    ome = {"version": "0.5", "multiscales": [scales], "omero": {"channels": [channel]}}
    own = {"measure": measure, "uncertainty": "value / 255"}
    root.create_group(UNCERTAINTY, attributes={"ome": ome, KEY: own})


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
