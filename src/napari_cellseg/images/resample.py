"""One plane on two pixel grids: reading an image at a model's working pixel size, and back.

Both grids cover the same extent. The weights of a target pixel depend on its place in the
whole plane only, never on the block it is computed in, so blocks fit without seams.
Reducing averages over the area a target pixel covers; enlarging interpolates linearly
between pixel centres.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

SAME_SCALE = 0.02
"""Pixel sizes that differ by less than this share count as equal."""


def working_shape(
    shape: tuple[int, int], pixel_nm: float | None, working_nm: float | None
) -> tuple[int, int]:
    """Return the size of a plane in working pixels.

    Parameters
    ----------
    shape : (y, x)
        Size in source pixels.
    pixel_nm, working_nm : float or None
        Pixel size of the image and of the model; unknown or nearly equal ones mean that
        the image's own pixels are used.

    Examples
    --------
    >>> working_shape((3710, 3838), 0.1, 0.6)
    (618, 640)
    """
    if pixel_nm is None or working_nm is None or abs(pixel_nm / working_nm - 1) < SAME_SCALE:
        return shape
    rows, cols = (max(1, round(side * pixel_nm / working_nm)) for side in shape)
    return rows, cols


def axis_weights(source: int, target: int, start: int, stop: int) -> tuple[slice, scipy.sparse.csr_array]:
    """Return what target samples ``start:stop`` of an axis are made of.

    Parameters
    ----------
    source, target : int
        Samples along the axis on either grid.
    start, stop : int
        Target samples wanted.

    Returns
    -------
    slice
        The source samples that are needed.
    csr_array (stop - start, needed source samples) float32
        Their weights; every row sums to 1.

    Examples
    --------
    >>> part, weights = axis_weights(6, 3, 1, 3)
    >>> part, weights.toarray().tolist()
    (slice(2, 6, None), [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]])
    """
    step = source / target
    places = np.arange(start, stop, dtype=np.float64)
    if step > 1:
        low, high = places * step, (places + 1) * step
        first, count = np.floor(low + 1e-9).astype(int), int(np.ceil(step)) + 1
        index = first[:, None] + np.arange(count)
        weights = np.minimum(index + 1, high[:, None]) - np.maximum(index, low[:, None])
        weights = np.clip(weights, 0, None)
    else:
        centre = np.clip((places + 0.5) * step - 0.5, 0, source - 1)
        first = np.minimum(centre.astype(int), max(source - 2, 0))
        index = first[:, None] + np.arange(2)
        share = (centre - first)[:, None]
        weights = np.concatenate([1 - share, share], 1)
    index = np.clip(index, 0, source - 1)
    weights /= weights.sum(1, keepdims=True)
    begin, end = int(index.min()), int(index.max()) + 1
    row = np.repeat(np.arange(len(places)), index.shape[1])
    entries = (weights.ravel().astype(np.float32), (row, index.ravel() - begin))
    return slice(begin, end), scipy.sparse.csr_array(
        scipy.sparse.coo_array(entries, (len(places), end - begin))
    )


def read_resampled(
    read: Callable[[slice, slice], NDArray[np.float32]],
    source: tuple[int, int],
    target: tuple[int, int],
    rows: slice,
    cols: slice,
) -> NDArray[np.float32]:
    """Return a region of a plane on another grid.

    Parameters
    ----------
    read : callable
        ``read(rows, cols) -> (c, y, x)`` float32 in source pixels.
    source, target : (y, x)
        Size of the whole plane on either grid.
    rows, cols : slice
        The region wanted, in target pixels, inside the plane.

    Returns
    -------
    (c, y, x) float32
    """
    if source == target:
        return read(rows, cols)
    from_rows, down = axis_weights(source[0], target[0], rows.start, rows.stop)
    from_cols, across = axis_weights(source[1], target[1], cols.start, cols.stop)
    planes = read(from_rows, from_cols)
    return np.stack([(across @ (down @ plane).T).T for plane in planes]).astype(np.float32, copy=False)
