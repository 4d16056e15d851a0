"""Intensity normalisation with figures taken once per image, never per tile (that makes seams)."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isqrt, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_cellseg.images.micrographs import Image

WINDOW_PX = 1024  # side of the windows a sample is drawn from; a multiple of the usual file chunks
WINDOWS = 64  # most windows read: 67 Mpx, about a second of decoding
SAMPLE_PX = 1_000_000  # most pixels kept
PERCENTILES = (0.1, 99.9)
BAND_PX = 1 << 16  # pixels normalised at a time, so that the passes stay in the cache


@dataclass(frozen=True)
class Figures:
    """Intensity figures of an image, one value per channel.

    `low` and `high` bound what is taken seriously (0.1 and 99.9 percentile); `mean` and
    `std` are those of the values between them.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def apply(self, block: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the block clipped, centred and scaled; NaN becomes 0.

        Parameters
        ----------
        block : (c, y, x)
            Pixels of any real type; left as they are.

        Returns
        -------
        (c, y, x) float32

        Examples
        --------
        >>> figures = Figures(mean=(10.0,), std=(2.0,), low=(6.0,), high=(14.0,))
        >>> figures.apply(np.array([[[6, 10, 200]]], np.uint8))
        array([[[-2.,  0.,  2.]]], dtype=float32)
        """
        if block.ndim != 3 or len(block) != len(self.mean):
            raise ValueError(f"block of shape {block.shape} for figures of {len(self.mean)} channel(s)")
        out = np.empty(block.shape, np.float32)
        if out.size == 0:
            return out
        rows = max(1, BAND_PX // block.shape[2])
        for channel, figures in enumerate(zip(self.mean, self.std, self.low, self.high, strict=True)):
            for top in range(0, block.shape[1], rows):
                _normalise(block[channel, top : top + rows], *figures, out[channel, top : top + rows])
        return out


def _normalise(
    band: NDArray[np.generic], mean: float, std: float, low: float, high: float, out: NDArray[np.float32]
) -> None:
    # 32-bit integers and doubles do not fit float32: they are reduced before they are narrowed
    narrow = np.can_cast(band.dtype, np.float32)
    wide = out if narrow else band.astype(np.float64)
    if narrow:
        out[...] = band
    np.clip(wide, low, high, out=wide)
    wide -= mean
    wide *= 1 / std
    if not narrow:
        out[...] = wide
    # the sum is finite unless there is a NaN: three times cheaper than looking for one
    if band.dtype.kind == "f" and np.isnan(out.sum()):
        np.nan_to_num(out, copy=False, nan=0.0)


def intensity_figures(image: "Image") -> Figures:
    """Return the intensity figures of an image from a fixed sample of its pixels.

    The sample depends on the image's shape alone, not on how it is stored: every n-th
    pixel of all windows of 1024 x 1024 px, or of 64 windows spread evenly where there are
    more. NaN and infinite values are left out; a constant image gets `std` 1, an image
    without finite values zeros and `std` 1.

    Parameters
    ----------
    image : Image
        Any size; at most 67 Mpx of it are read.

    Examples
    --------
    >>> from napari_cellseg.images.micrographs import Image
    >>> intensity_figures(Image.from_array(np.full((4, 6), 7.0))).mean
    (7.0,)
    """
    rows_px, cols_px = image.shape
    windows = list(_windows(rows_px, cols_px))
    step = ceil(sqrt(max(1.0, sum(_area(*window) for window in windows) / SAMPLE_PX)))
    parts = [image.read(rows, cols)[:, ::step, ::step].reshape(image.channels, -1) for rows, cols in windows]
    figures = [_channel_figures(np.concatenate(planes)) for planes in zip(*parts, strict=True)]
    mean, std, low, high = zip(*figures, strict=True)
    return Figures(mean, std, low, high)


def _windows(rows_px: int, cols_px: int) -> Iterator[tuple[slice, slice]]:
    down, across = ceil(rows_px / WINDOW_PX), ceil(cols_px / WINDOW_PX)
    take_down = min(down, max(isqrt(WINDOWS), WINDOWS // across))
    take_across = min(across, WINDOWS // take_down)
    for row in _spread(down, take_down):
        for col in _spread(across, take_across):
            yield (
                slice(row * WINDOW_PX, min((row + 1) * WINDOW_PX, rows_px)),
                slice(col * WINDOW_PX, min((col + 1) * WINDOW_PX, cols_px)),
            )


def _spread(count: int, take: int) -> list[int]:
    return [(2 * index + 1) * count // (2 * take) for index in range(take)]


def _area(rows: slice, cols: slice) -> int:
    return int((rows.stop - rows.start) * (cols.stop - cols.start))


def _channel_figures(sample: NDArray[np.generic]) -> tuple[float, float, float, float]:
    values = sample.astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0, 0.0, 0.0
    low, high = np.percentile(values, PERCENTILES)
    if low == high:  # all but a few pixels are equal: those few are the picture
        low, high = values.min(), values.max()
    np.clip(values, low, high, out=values)
    # scaled, since the squares of wild values overflow
    span = max(abs(low), abs(high)) or 1.0
    mean, std = float((values / span).mean() * span), float((values / span).std() * span)
    floor = 1e-7 * span  # rounding, not a picture
    return mean, std if std > floor else 1.0, float(low), float(high)
