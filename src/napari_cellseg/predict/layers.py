"""What the layers of a trained network keep of real images: windows drawn for `nets.redundancy`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.normalise import intensity_figures
from napari_cellseg.predict.blocks import DEFAULTS, BlockPass
from napari_cellseg.predict.plan import grid_of
from napari_cellseg.predict.tiles import round_up
from napari_cellseg.predict.uncertainty import VIEWS

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model

WINDOWS, SIDE_PX = 64, 128


def sample_windows(
    images: Sequence[Image], model: Model, *, count: int = WINDOWS, side_px: int = SIDE_PX, seed: int = 0
) -> NDArray[np.float32]:
    """Return windows as the network is fed them, drawn evenly from all images.

    Of a network that sees whole images only, every image in its eight mirrored and turned views.

    Parameters
    ----------
    images : sequence of Image
    model : Model
    count : int
        Windows, as near as the same number from each image comes.
    side_px : int
        Side in working pixels, rounded up to the stride.
    seed : int

    Returns
    -------
    (n, c, y, x) float32
        Normalised.
    """
    rng = np.random.default_rng(seed)
    windows = []
    for image in images:
        grid = grid_of(image, model, DEFAULTS)
        source = BlockPass(image, model, grid, DEFAULTS, intensity_figures(image))
        working = grid.working or grid.shape
        if model.spec.input_px is not None:
            whole = source.read(*(slice(0, size) for size in working))
            windows += [view.of(whole) for view in VIEWS]
            continue
        side = round_up(side_px, grid.stride)
        for _ in range(max(1, round(count / len(images)))):
            starts = (int(rng.integers(max(1, size - side + 1))) for size in working)
            windows.append(source.read(*(slice(start, start + side) for start in starts)))
    return np.stack(windows)
