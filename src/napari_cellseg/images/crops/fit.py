"""Crops of any size brought to the one size a network takes, with one scale of intensity for all."""

from functools import lru_cache
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import ArrayLike, NDArray

from napari_cellseg.images.crops.crops import Crops, LeftOut, read_each

SAMPLED_CROPS = 4096
SAMPLED_PIXELS = 256  # of each: 4096 x 256 x 12 channels are 50 MB
PERCENTILES = (0.1, 99.9)


def fit_crop(
    pixels: NDArray[Any], size: tuple[int, int] = (64, 32), bounds: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Return a crop in another size, its proportions kept, in the middle of its own border level.

    Both sides are scaled by the same factor, with smoothing where that shrinks (Pillow's
    triangle filter). What is left over is filled, channel by channel, with the median of
    the crop's outermost pixels.

    Parameters
    ----------
    pixels : (c, y, x)
        Any type.
    size : (h, w)
        Rows and columns wanted.
    bounds : (c, 2), optional
        Per channel what becomes 0 and 1, see `channel_bounds`; values beyond stay beyond.

    Returns
    -------
    (c, h, w) float32

    Examples
    --------
    >>> fit_crop(np.full((1, 4, 8), 7, np.uint16), (4, 4), [[0, 14]])[0, :2]
    array([[0.5, 0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """
    count, rows, cols = pixels.shape
    scale = min(size[0] / rows, size[1] / cols)
    inner = (min(max(round(rows * scale), 1), size[0]), min(max(round(cols * scale), 1), size[1]))
    values = pixels.astype(np.float32)
    scaled: NDArray[Any] = _weights(rows, inner[0]) @ values @ _weights(cols, inner[1]).T
    if inner != tuple(size):
        out = np.empty((count, *size), np.float32)
        out[:] = border_level(values)[:, None, None]
        top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        out[:, top : top + inner[0], left : left + inner[1]] = scaled
        scaled = out
    if bounds is not None:
        low, high = np.asarray(bounds, np.float32).T
        width = np.where(high > low, high - low, 1).astype(np.float32)
        scaled -= low[:, None, None]
        scaled /= width[:, None, None]
    return scaled


@lru_cache(maxsize=1024)
def _weights(before: int, after: int) -> NDArray[np.float32]:
    """Return (after, before) shares of each old row in each new one.

    Pillow scales the unit matrix once for each pair of sizes; two products then scale a
    crop of three channels in 50 us, Pillow itself takes 100.
    """
    unit = PIL.Image.fromarray(np.eye(before, dtype=np.float32))
    weights = np.array(unit.resize((before, after), PIL.Image.Resampling.BILINEAR), np.float32)
    weights.setflags(write=False)
    return weights


def border_level(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (c,) medians (the lower of two middle values) of the outermost pixels.

    Examples
    --------
    >>> border_level(np.pad(np.full((1, 2, 2), 9), ((0, 0), (1, 1), (1, 1))))
    array([0])
    """
    edges = np.concatenate((pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]), axis=1)
    middle = (edges.shape[1] - 1) // 2
    level: NDArray[Any] = np.partition(edges, middle, axis=1)[:, middle]
    return level


def channel_bounds(
    crops: Crops, indices: ArrayLike | None = None, *, percentiles: tuple[float, float] = PERCENTILES
) -> NDArray[np.float32]:
    """Return (c, 2) low and high intensity of each channel, over many crops together.

    The same for all crops, so a dim cell stays dim; take them from the training part and
    keep them with the model. At most 4,096 crops spread evenly are read, 256 pixels of each.

    Parameters
    ----------
    crops : Crops
        What to look at.
    indices : (k,) int or (n,) bool, optional
        The training part; else all.
    percentiles : (low, high)
        Shares of the pixels below.

    Examples
    --------
    >>> channel_bounds(Crops.from_arrays([np.zeros((1, 3, 3)), np.ones((1, 3, 3))])).tolist()
    [[0.0, 1.0]]
    """
    part = crops if indices is None else crops.take(indices)
    if len(part) > SAMPLED_CROPS:
        part = part.take(np.linspace(0, len(part) - 1, SAMPLED_CROPS).astype(int))
    rng = np.random.default_rng(0)
    seen: list[NDArray[np.float32]] = []
    for pixels in read_each(part):
        if isinstance(pixels, LeftOut):
            continue
        flat = pixels.reshape(len(pixels), -1)
        # as many of each, whatever its size
        seen.append(flat[:, rng.integers(flat.shape[1], size=SAMPLED_PIXELS)].astype(np.float32))
    if not seen:
        return np.tile(np.array([0, 1], np.float32), (len(crops.channels), 1))
    values = np.concatenate(seen, axis=1)
    return np.asarray(np.percentile(values, percentiles, axis=1).T, np.float32)
