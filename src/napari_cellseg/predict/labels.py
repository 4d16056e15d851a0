"""What is kept of probabilities: the label of each pixel, and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError

BAND_PX = 1 << 15
"""Pixels encoded at a time, so that the passes stay in the cache."""


def labels_from(probabilities: Any, *, threshold: float | None = None) -> Any:
    """Return the label of the likeliest class at each pixel: its channel + 1.

    Parameters
    ----------
    probabilities : (k, y, x)
        numpy or dask; floats from 0 to 1, or uint8 where 255 stands for 1.
    threshold : float, optional
        For two classes: probability from which a pixel is the second one.

    Returns
    -------
    (y, x) uint8
        Indices as in an annotation, 1 = background; numpy or dask as what came in.

    Raises
    ------
    CellsegError
        If there is a threshold and there are more than two classes.

    Examples
    --------
    >>> labels_from(np.array([[[0.9, 0.4]], [[0.1, 0.6]]]))
    array([[1, 2]], dtype=uint8)
    """
    if threshold is not None and len(probabilities) != 2:
        raise CellsegError(
            f"a threshold for {len(probabilities)} classes", "one for two classes only", "leave it out"
        )
    if isinstance(probabilities, da.Array):
        whole = probabilities.rechunk({0: -1})  # type: ignore[no-untyped-call]
        return whole.map_blocks(labels_from, threshold=threshold, drop_axis=0, dtype=np.uint8)
    if threshold is not None:
        above = threshold * 255 if probabilities.dtype == np.uint8 else threshold
        return (probabilities[1] >= above).astype(np.uint8) + np.uint8(1)
    labels = np.ones(probabilities.shape[1:], np.uint8)
    best = probabilities[0]
    for channel, plane in enumerate(probabilities[1:], start=2):  # several times faster than argmax on axis 0
        labels[plane > best] = channel
        best = np.maximum(best, plane)
    return labels


@dataclass(frozen=True)
class Encode:
    """Turns what a network found into what is stored of it, a fifth of the size.

    Attributes
    ----------
    classes : int
        How many the probabilities are of.
    threshold : float or None
        See `labels_from`.
    """

    classes: int
    threshold: float | None = None

    def __call__(self, planes: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return bytes (planes + 1, y, x): all planes, 255 for 1, then the labels of the first `classes`.

        Examples
        --------
        >>> Encode(2)(np.float32([[[0.8]], [[0.2]]])).ravel().tolist()
        [204, 51, 1]
        """
        encoded = np.empty((len(planes) + 1, *planes.shape[1:]), np.uint8)
        for top in range(0, planes.shape[1], rows := max(1, BAND_PX // planes.shape[2])):
            band, into = planes[:, top : top + rows], encoded[:, top : top + rows]
            into[-1] = labels_from(band[: self.classes], threshold=self.threshold)
            scaled = band * np.float32(255)
            scaled += np.float32(0.5)
            into[:-1] = scaled
        return encoded
