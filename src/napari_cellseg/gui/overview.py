"""The small copy of a large image whose file has none: filled in beside the window, from the top."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.utils import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import dask.array as da
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_cellseg.gui.job import StepsWorker

OVERVIEW = "napari-cellseg overview"  # where a layer's metadata holds it
BANDS = 100  # a part is shown when a hundredth of the rows is read
REFRESH_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Overview:
    """Every n-th pixel of an image, zero until it is filled in.

    Parameters
    ----------
    source : (..., y, x) or (y, x, c) dask array
    step : int
        n.
    rows_axis : int
        0 for colours, else -2.

    Examples
    --------
    >>> import dask.array as da
    >>> overview = Overview(da.from_array(np.arange(12).reshape(4, 3)), 2)
    >>> _ = list(overview.fill())
    >>> overview.pixels.tolist()
    [[0, 2], [6, 8]]
    """

    source: da.Array
    step: int
    rows_axis: int = -2
    pixels: NDArray[Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = list(self.source.shape)
        for axis in (self.rows_axis, self.rows_axis + 1):
            shape[axis] = -(-shape[axis] // self.step)
        object.__setattr__(self, "pixels", np.zeros(shape, self.source.dtype))

    def __deepcopy__(self, memo: dict[int, Any]) -> Overview:
        return self  # a duplicated layer shares its pixels

    def fill(self) -> Iterator[int]:
        """Fill the pixels in, some rows at a time; yield how many of them are there."""
        rows = self.pixels.shape[self.rows_axis]
        height = -(-rows // BANDS)
        for top in range(0, rows, height):
            bottom = min(top + height, rows)
            there = slice(top * self.step, bottom * self.step, self.step)
            band = self.source[self._index(there, slice(None, None, self.step))]
            self.pixels[self._index(slice(top, bottom), slice(None))] = band.compute(scheduler="synchronous")
            yield bottom

    def _index(self, rows: slice, cols: slice) -> tuple[Any, ...]:
        return (rows, cols) if self.rows_axis == 0 else (Ellipsis, rows, cols)


def start_filling(metadata: Mapping[str, Any]) -> StepsWorker | None:
    """Fill in the overview of a layer that is shown or about to be; removing the layer ends it.

    Parameters
    ----------
    metadata : mapping
        Of the layer; nothing happens if it holds no overview.
    """
    overview = metadata.get(OVERVIEW)
    if overview is None:
        return None
    if napari.current_viewer() is None:  # no window that could wait
        for _ in overview.fill():
            continue
        return None
    from napari_cellseg.gui.job import start_job  # with Qt, which reading a file does not need

    bar = progress(total=overview.pixels.shape[overview.rows_axis], desc="overview of a large image")
    seen, shown_at = False, time.monotonic()

    def show(rows: int) -> None:
        nonlocal seen, shown_at
        layer = _layer_of(overview)
        if seen and layer is None:
            worker.quit()
        if layer is None or time.monotonic() - shown_at < REFRESH_SECONDS:
            return
        seen, shown_at = True, time.monotonic()
        bar.update(rows - bar.n)
        if layer.data_level == len(layer.data) - 1:  # else it is not what the window shows
            layer.refresh(extent=False, thumbnail=False)

    def end() -> None:
        bar.close()
        layer = _layer_of(overview)
        if layer is not None:
            layer.refresh(extent=False)

    worker = start_job(overview.fill(), on_record=show, on_end=end)
    return worker


def _layer_of(overview: Overview) -> Layer | None:
    viewer = napari.current_viewer()
    layers = () if viewer is None else viewer.layers
    return next((layer for layer in layers if layer.metadata.get(OVERVIEW) is overview), None)
