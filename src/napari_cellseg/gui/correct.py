"""Taking a prediction over into an annotation: all of it, a drawn region, or what is in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    from napari.layers import Labels, Layer, Shapes
    from numpy.typing import NDArray

    Region = tuple[slice, slice]

AREAS = ("rectangle", "ellipse", "polygon")


def pixel_map(source: Layer, target: Layer) -> NDArray[np.float64]:
    """Return the matrix (2, 3) that takes a pixel (row, col, 1) of `source` to one of `target`."""
    origin, down, right = (
        np.asarray(target.world_to_data(source.data_to_world((0.0,) * (source.ndim - 2) + point)))[-2:]
        for point in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    )
    return np.stack([down - origin, right - origin, origin], axis=1)


def field_in_sight(layer: Layer) -> Region:
    """Return the rows and columns of a layer's plane that the window shows.

    The whole plane where nothing is known about the window.
    """
    shape = layer.data[0].shape if layer.multiscale else layer.data.shape
    shape = shape[:2] if getattr(layer, "rgb", False) else shape[-2:]
    corners = np.asarray(layer.corner_pixels)[:, -2:].astype(float)
    if layer.multiscale:
        factors = np.asarray(layer.downsample_factors)[layer.data_level]
        factors = factors[:2] if getattr(layer, "rgb", False) else factors[-2:]
        corners = corners * factors
    low = np.clip(np.floor(corners[0]), 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil(corners[1]) + 1, low + 1, shape).astype(int)
    if not np.any(corners):
        return slice(0, shape[0]), slice(0, shape[1])
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def drawn_region(shapes: Shapes, target: Layer) -> tuple[Region, NDArray[np.bool_]]:
    """Return the rows and columns that drawn areas cover in a layer, and which pixels of them.

    The selected shapes count, or all if none is selected. Rectangles, ellipses, polygons and
    lassos have an area; lines and paths do not.

    Raises
    ------
    CellsegError
        If no area is drawn within the plane.
    """
    from skimage.draw import polygon2mask

    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    to_target = pixel_map(shapes, target)
    areas = []
    for i in chosen:
        if shapes.shape_type[i] in AREAS:
            outline = np.asarray(shapes.data[i])[:, -2:]
            outline = _ellipse(outline) if shapes.shape_type[i] == "ellipse" else outline
            areas.append(outline @ to_target[:, :2].T + to_target[:, 2])
    height, width = target.data.shape[-2:]
    if areas:
        every = np.concatenate(areas)
        low = np.clip(np.floor(every.min(axis=0)), 0, (height, width)).astype(int)
        high = np.clip(np.ceil(every.max(axis=0)) + 1, 0, (height, width)).astype(int)
        if np.all(high > low):
            mask = np.zeros(high - low, bool)
            for area in areas:
                mask |= polygon2mask(mask.shape, area - low)
            return (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))), mask
    raise CellsegError(
        f"no area is drawn in '{shapes.name}' over the image",
        "a rectangle, ellipse, polygon or lasso",
        "draw one, or take over what is in sight",
    )


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    center = corners.mean(axis=0)
    first, second = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)[:, None]
    return center + np.cos(angles) * first + np.sin(angles) * second


def take_over(
    annotation: Labels,
    prediction: Labels,
    region: Region | None = None,
    mask: NDArray[np.bool_] | None = None,
    *,
    replace: bool = False,
) -> int:
    """Copy predicted labels into an annotation in one step that Ctrl+Z takes back.

    Parameters
    ----------
    annotation : Labels
        Where to copy, single-scale.
    prediction : Labels
        Where from; may have other pixels: the nearest one is taken.
    region : (rows, cols), optional
        Part of the annotation, in its pixels; everything if not given.
    mask : (y, x) bool, optional
        Which pixels of the region.
    replace : bool
        Write over what is annotated already; else only what is not annotated is filled.

    Returns
    -------
    int
        Number of pixels that changed.
    """
    rows, cols = region or tuple(slice(0, side) for side in annotation.data.shape)
    predicted = _nearest(prediction, annotation, rows, cols)
    return fill(annotation, predicted, (rows, cols), mask, replace=replace)


def fill(
    annotation: Labels,
    labels: NDArray[np.integer],
    region: Region,
    mask: NDArray[np.bool_] | None = None,
    *,
    replace: bool = False,
) -> int:
    """Write labels (y, x), but their zeros, into a region of an annotation; else as `take_over`."""
    rows, cols = region
    present = np.asarray(annotation.data[rows, cols])
    wanted = (labels > 0) & (labels != present)
    if mask is not None:
        wanted &= mask
    if not replace:
        wanted &= present == 0
    row, col = np.nonzero(wanted)
    if not row.size:
        return 0
    # napari keeps these in its undo list for long: small integers weigh a quarter
    small = np.min_scalar_type(max(annotation.data.shape))
    indices = ((row + rows.start).astype(small), (col + cols.start).astype(small))
    annotation.data_setitem(indices, labels[wanted].astype(annotation.data.dtype))
    return int(row.size)


def _nearest(prediction: Labels, annotation: Labels, rows: slice, cols: slice) -> NDArray[np.integer]:
    """Return the prediction at the annotation's pixels, 0 where it does not reach."""
    plane = prediction.data[0] if prediction.multiscale else prediction.data
    to_source = pixel_map(annotation, prediction)
    if np.allclose(to_source, np.eye(2, 3)) and plane.shape == annotation.data.shape:
        return np.asarray(plane[rows, cols])
    row, col = np.mgrid[rows, cols].astype(np.float32)
    at = [np.rint(a * row + b * col + c).astype(np.int64) for a, b, c in to_source]
    inside = (at[0] >= 0) & (at[0] < plane.shape[0]) & (at[1] >= 0) & (at[1] < plane.shape[1])
    found = np.zeros(inside.shape, plane.dtype)
    found[inside] = np.asarray(plane)[at[0][inside], at[1][inside]]
    return found
