"""Why a network says what it says, at a place or of a class.

What is explained is the log-odds of a class, log(p / (1 - p)). Positive values in a map
speak for the class, negative ones against it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.normalise import intensity_figures
from napari_cellseg.images.resample import read_resampled
from napari_cellseg.predict.blocks import DEFAULTS, BlockPass
from napari_cellseg.predict.explainers import EXPLAINERS, Explainer, Heat
from napari_cellseg.predict.plan import grid_of
from napari_cellseg.predict.tiles import Grid, round_up

if TYPE_CHECKING:
    import torch

    from napari_cellseg.nets.model import Model
    from napari_cellseg.predict.explainers import Odds

LEAST_PX, MOST_PX = 128, 512  # of an automatic window


@dataclass(frozen=True)
class Explanation:
    """What spoke for a class, and where.

    Attributes
    ----------
    heat : (y, x) float32
        In source pixels of `rows` and `cols`; positive speaks for the class.
    rows, cols : slice
        The part of the image that the network was shown.
    class_name : str
        The class that is explained.
    odds : float
        Its log-odds there: what the map is about.
    """

    heat: Heat
    rows: slice
    cols: slice
    class_name: str
    odds: float


def explain(
    image: Image,
    model: Model,
    at: tuple[float, float] | None = None,
    *,
    class_name: str = "",
    method: str = "occlusion",
    window_px: int | None = None,
    device: str = "auto",
) -> Explanation:
    """Return what in the surroundings made the network decide as it did.

    Parameters
    ----------
    image : Image
    model : Model
    at : (row, col), optional
        The place to explain, in source pixels. Without one: all pixels of the class in a
        window in the middle of the image (Vinogradova et al. 2020).
    class_name : str
        The class to explain; empty = the one predicted at the place.
    method : str
        Key of `EXPLAINERS`.
    window_px : int, optional
        Side of the window the network is shown, in working pixels; if none is given it
        reaches as far around the place as the network looks.
    device : str
        As in `SegmentSettings`.

    Raises
    ------
    CellsegError
        If captum is missing, the method or class is unknown, the place lies outside, or
        the class is nowhere in the middle of the image.
    """
    explainer, asked = _explainer(method), _asked_class(model, at, class_name)
    _check_place(image, at)
    import torch

    from napari_cellseg.nets.backends import pick_device

    where, grid = pick_device(device), grid_of(image, model, DEFAULTS)
    rows, cols = _window(grid, model, at, window_px)
    source = BlockPass(image, model, grid, DEFAULTS, intensity_figures(image))
    window = torch.from_numpy(np.ascontiguousarray(source.read(rows, cols)))[None].to(where)
    net = _plain_copy(model.net).to(where)
    with torch.no_grad():
        labels = net(window)[0].argmax(0)
    if at is None:
        index, mask = asked or 0, labels == asked
        if not mask.any():
            raise CellsegError(
                f"no {class_name} is found in the middle of {image.name}",
                "a place where there is some",
                "give one with --at ROW,COL",
            )
    else:
        row, col = _working_place(grid, at)
        mask = torch.zeros_like(labels, dtype=torch.bool)
        mask[row - rows.start, col - cols.start] = True
        index = int(labels[mask][0]) if asked is None else asked
    odds = _log_odds(net, index, mask)
    heat = explainer.heat(odds, net, window)
    with torch.no_grad():
        value = float(odds(window.detach()))
    return _in_source(heat, grid, rows, cols, model.spec.classes.names[index + 1], value)


def _asked_class(model: Model, at: tuple[float, float] | None, class_name: str) -> int | None:
    """Return the channel of the class asked for; None if it is the one at the place."""
    if class_name:
        index = model.spec.classes.index(class_name) - 1
        if index < 0:
            raise CellsegError(f"class '{class_name}'", f"one of {', '.join(model.spec.classes.names[1:])}")
        return index
    if at is None:
        raise CellsegError("neither a place nor a class to explain", "one of them", "give --at or --class")
    return None


def _check_place(image: Image, at: tuple[float, float] | None) -> None:
    if at is not None and not all(0 <= place < side for place, side in zip(at, image.shape, strict=True)):
        raise CellsegError(
            f"place {at[0]:g}, {at[1]:g} outside the image",
            f"row 0 to {image.shape[0] - 1}, column 0 to {image.shape[1] - 1}",
        )


def _explainer(method: str) -> Explainer:
    if method not in EXPLAINERS:
        raise CellsegError(f"unknown method {method!r}", f"one of {', '.join(EXPLAINERS)}")
    if EXPLAINERS[method].missing():
        raise CellsegError(
            "captum is not installed", "it for explanations", "run: pip install 'napari-cellseg[explain]'"
        )
    return EXPLAINERS[method]


def _log_odds(net: torch.nn.Module, index: int, mask: torch.Tensor) -> Odds:
    import torch

    def odds(windows: torch.Tensor) -> torch.Tensor:
        logits = net(windows)
        others = [channel for channel in range(logits.shape[1]) if channel != index]
        difference: torch.Tensor = logits[:, index] - torch.logsumexp(logits[:, others], 1)
        return difference[:, mask].mean(1)

    return odds


def _plain_copy(net: torch.nn.Module) -> torch.nn.Module:
    """Return a copy whose layers overwrite nothing: gradients are taken at them."""
    plain = copy.deepcopy(net).eval().requires_grad_(False)
    for layer in plain.modules():
        if getattr(layer, "inplace", False):
            setattr(layer, "inplace", False)  # noqa: B010 (modules take tensors only, says torch)
    return plain


def _working_place(grid: Grid, at: tuple[float, float]) -> tuple[int, int]:
    sides = zip(at, grid.shape, grid.working or grid.shape, strict=True)
    row, col = (min(int((place + 0.5) * size / side), size - 1) for place, side, size in sides)
    return row, col


def _window(
    grid: Grid, model: Model, at: tuple[float, float] | None, window_px: int | None
) -> tuple[slice, slice]:
    """Return rows and columns in working pixels, on multiples of the stride as in segmenting."""
    stride, working = grid.stride, grid.working or grid.shape
    if model.spec.input_px is not None:  # a network that is shown whole images only
        return slice(0, working[0]), slice(0, working[1])
    side = min(max(2 * grid.halo, LEAST_PX), MOST_PX) if window_px is None else window_px
    side = round_up(max(side, 4 * stride), stride)
    center = (working[0] // 2, working[1] // 2) if at is None else _working_place(grid, at)
    starts = [(place - side // 2 + stride // 2) // stride * stride for place in center]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _in_source(heat: Heat, grid: Grid, rows: slice, cols: slice, class_name: str, odds: float) -> Explanation:
    """Return a map in working pixels as an explanation in source pixels, without mirrored parts."""
    working = grid.working or grid.shape
    spans = []
    for span, side, size in zip((rows, cols), grid.shape, working, strict=True):
        low, high = round(max(span.start, 0) * side / size), round(min(span.stop, size) * side / size)
        spans.append(slice(min(low, side - 1), max(high, low + 1)))

    def part(wanted_rows: slice, wanted_cols: slice) -> Heat:
        down, across = (
            np.clip(np.arange(wanted.start, wanted.stop) - span.start, 0, len(axis) - 1)
            for wanted, span, axis in ((wanted_rows, rows, heat), (wanted_cols, cols, heat.T))
        )
        return heat[np.newaxis, down[:, None], across]

    found = read_resampled(part, working, grid.shape, spans[0], spans[1])[0]
    return Explanation(found.astype(np.float32), spans[0], spans[1], class_name, odds)
