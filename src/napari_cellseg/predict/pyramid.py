"""The parts of an OME-Zarr 0.5 pyramid: levels, chunks, halving, and what its metadata say."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from napari_cellseg.images.annotation import Classes
from napari_cellseg.predict.tiles import Grid

CHUNK_PX = 1024  # most along a side
COARSEST_PX = 512  # no level is made of one that fits into this
WINDOW = {"start": 0, "end": 255, "min": 0, "max": 255}


def array_in(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """Return the array at a path of a group.

    Chunks are written without asking whether they are empty: that takes half as long as writing them.
    """
    array = group[path]
    assert isinstance(array, zarr.Array)
    return array.with_config({"write_empty_chunks": True})


def create_array(
    group: zarr.Group,
    path: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    names: list[str],
    *,
    dtype: str = "uint8",
) -> None:
    """Make an empty array, of bytes as a rule; label planes and smooth probabilities shrink well in it."""
    group.create_array(
        path,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=0,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle"),
        dimension_names=names,
    )


def level_shapes(grid: Grid) -> list[tuple[int, int]]:
    """Return the (y, x) of all levels: as many as are needed and start on whole pixels in every block."""
    shapes = [grid.shape]
    step = gcd(*(block for block, count in zip(grid.block, grid.counts, strict=True) if count > 1), 1 << 16)
    while max(shapes[-1]) > COARSEST_PX and step >> len(shapes) << len(shapes) == step:
        rows, cols = shapes[-1]
        shapes.append(((rows + 1) // 2, (cols + 1) // 2))
    return shapes


def chunk_shape(grid: Grid, shape: tuple[int, int]) -> tuple[int, int]:
    """Return chunks of which a block holds a whole number."""
    sides = []
    for block, count, size in zip(grid.block, grid.counts, shape, strict=True):
        fitting = next(px for px in range(min(block, CHUNK_PX), 0, -1) if count == 1 or block % px == 0)
        sides.append(min(fitting, size))
    return sides[0], sides[1]


def halved(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the rounded means of 2 x 2 pixels of planes (k, y, x); an odd last row or column counts twice.

    Examples
    --------
    >>> halved(np.array([[[0, 2, 4], [2, 4, 6]]], np.uint8))
    array([[[2, 5]]], dtype=uint8)
    """
    odd = [(0, side % 2) for side in block.shape[1:]]
    if any(after for _, after in odd):
        block = np.pad(block, [(0, 0), *odd], mode="edge")
    total = np.add(block[:, ::2], block[:, 1::2], dtype=np.uint16)
    total = total[..., ::2] + total[..., 1::2]
    total += 2
    total >>= 2
    return total.astype(np.uint8)


def space_axes(pixel_nm: float | None) -> list[dict[str, str]]:
    """Return the axes y and x as OME-Zarr describes them; without a pixel size they have no unit."""
    unit = {} if pixel_nm is None else {"unit": "nanometer"}
    return [{"name": name, "type": "space", **unit} for name in "yx"]


def multiscale(
    name: str, folder: str, levels: int, axes: list[dict[str, str]], pixel_nm: float | None
) -> dict[str, Any]:
    """Return the description of a pyramid of halved means whose levels are ``FOLDER0``, ``FOLDER1`` ..."""
    size = pixel_nm or 1.0
    leading = len(axes) - 2
    datasets = []
    for level in range(levels):
        scale, shift = size * 2**level, size * (2**level - 1) / 2  # a mean lies between its pixels
        transformations = [{"type": "scale", "scale": [1.0] * leading + [scale] * 2}]
        transformations.append({"type": "translation", "translation": [0.0] * leading + [shift] * 2})
        datasets.append({"path": f"{folder}{level}", "coordinateTransformations": transformations})
    return {"name": name, "axes": axes, "datasets": datasets, "type": "mean"}


def image_label(classes: Classes) -> dict[str, Any]:
    """Return the names and colours of the classes as OME-Zarr describes label values."""
    colors, properties = [], []
    for value, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True)):
        rgba = bytes.fromhex(color[1:].ljust(8, "f"))
        colors.append({"label-value": value, "rgba": [*rgba[:3], 0 if value < 2 else rgba[3]]})
        properties.append({"label-value": value, "class": name})
    return {"colors": colors, "properties": properties, "source": {"image": "../../"}}
