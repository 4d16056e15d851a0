"""How a cell's channels become a picture on the screen. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.crops import Crops, LeftOut, channel_bounds, fit_crop, read_each
from napari_cellseg.images.crops.fit import border_level

LOOKED_AT = 200
"""Cells whose intensities set the contrast: enough for a picture, read in a blink."""

MERGE, EACH = "merge", "each channel"
GREY = np.float32(0.7)  # a brightfield channel lies under the colours
BRIGHT = 0.3  # of the bounds: the usual background of a brightfield channel is above, of fluorescence below


@dataclass(frozen=True)
class View:
    """What is shown of a cell.

    Attributes
    ----------
    bounds : tuple of (float, float)
        Intensities of each channel that are black and white; the same for all cells.
    mode : str
        Name of a channel, `MERGE` or `EACH`.
    channels : tuple of str
        All there are.
    merged : (int, int, int, int)
        Channels shown as grey, red, green and blue; -1 for none.
    low, high : float
        Part of the bounds that is stretched over the screen's range.
    side_px : int
        Side of a tile.
    """

    bounds: tuple[tuple[float, float], ...]
    mode: str
    channels: tuple[str, ...]
    merged: tuple[int, int, int, int]
    low: float = 0.0
    high: float = 1.0
    side_px: int = 80

    @property
    def width_px(self) -> int:
        """Width of a tile: the channels stand side by side where each is shown."""
        return self.side_px * (len(self.channels) if self.mode == EACH else 1)

    def draw(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return ``(y, x, 4)`` bytes as Qt takes them: blue, green, red and one to spare.

        Parameters
        ----------
        pixels : (c, y, x)
            As read.
        """
        planes = self._planes()
        used = [max(k, 0) for k in planes]
        side = self.side_px
        fitted = fit_crop(pixels[used], (side, side), [self.bounds[k] for k in used])
        fitted[[k < 0 for k in planes]] = 0
        width = max(self.high - self.low, 1e-3)
        scaled = np.clip((fitted - self.low) * (255 / width), 0, 255).astype(np.uint8)
        out = np.full((side, self.width_px, 4), 255, np.uint8)
        if self.mode == MERGE:
            colours = np.maximum(scaled[1:], (scaled[0] * GREY).astype(np.uint8))
            out[..., 2::-1] = colours.transpose(1, 2, 0)
        else:
            out[..., :3] = np.concatenate(list(scaled), axis=1)[..., None]
        return out

    def _planes(self) -> list[int]:
        if self.mode == MERGE:
            return list(self.merged)
        if self.mode == EACH:
            return list(range(len(self.channels)))
        return [self.channels.index(self.mode)]


def view_of(crops: Crops, *, side_px: int = 80) -> View:
    """Return a view to begin with: colours where the files are in colour, else the first channel."""
    some = np.unique(np.linspace(0, len(crops) - 1, min(LOOKED_AT, len(crops))).astype(int))
    bounds = channel_bounds(crops.take(some))
    limits = tuple((float(low), float(high if high > low else low + 1)) for low, high in bounds)
    in_colour = crops.channels == ("red", "green", "blue")
    if in_colour:  # one stretch for all three, or the colours would change
        limits = ((min(low for low, _ in limits), max(high for _, high in limits)),) * 3
    merged = (-1, 0, 1, 2) if in_colour else _merged(crops.take(some[:: max(1, len(some) // 8)]), limits)
    return View(limits, MERGE if in_colour else crops.channels[0], crops.channels, merged, side_px=side_px)


def _merged(few: Crops, limits: tuple[tuple[float, float], ...]) -> tuple[int, int, int, int]:
    """Return the first brightfield channel as grey, the first of the others in colours."""
    levels = [border_level(pixels) for pixels in read_each(few) if not isinstance(pixels, LeftOut)]
    if not levels:
        return (0, -1, -1, -1)
    low, high = np.transpose(limits)
    bright = ((np.median(levels, axis=0) - low) / (high - low) > BRIGHT).tolist()
    grey = bright.index(True) if True in bright else -1
    others = [k for k in range(len(bright)) if k != grey] + [-1] * 3
    return (grey, *others[:3])


def modes(view: View) -> list[str]:
    """Return the ways in which these channels can be shown."""
    several = len(view.channels) > 1
    return [*view.channels, *((MERGE, EACH) if several else ())]
