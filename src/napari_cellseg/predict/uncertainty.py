"""Several looks at the same pixels - mirrored, turned, by other models - and how sure they are.

The mean over the symmetries of the square is test-time augmentation (Wang et al. 2019,
https://doi.org/10.1016/j.neucom.2019.01.103), that over models a deep ensemble
(Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474). Every look costs one pass
of the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Spans = tuple[slice, slice]


@dataclass(frozen=True)
class View:
    """One symmetry of the square: mirrored along rows or columns, then axes swapped.

    Examples
    --------
    >>> view = View(rows=True, swapped=True)
    >>> view.of(np.array([[1, 2], [3, 4]]))
    array([[3, 1],
           [4, 2]])
    >>> view.back(view.of(np.array([[1, 2], [3, 4]])))
    array([[1, 2],
           [3, 4]])
    """

    rows: bool = False
    cols: bool = False
    swapped: bool = False

    def of(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Return planes (..., y, x) as this view shows them."""
        turned: NDArray[Any] = planes[self._steps()]
        return turned.swapaxes(-1, -2) if self.swapped else turned

    def back(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Return planes of this view (..., y, x) the way they were."""
        turned: NDArray[Any] = (planes.swapaxes(-1, -2) if self.swapped else planes)[self._steps()]
        return turned

    def region(self, region: Spans, shape: tuple[int, int]) -> Spans:
        """Return where rows and columns of a plane of this shape (y, x) lie in the view."""
        rows, cols = (
            slice(side - span.stop, side - span.start) if mirrored else span
            for span, side, mirrored in zip(region, shape, (self.rows, self.cols), strict=True)
        )
        return (cols, rows) if self.swapped else (rows, cols)

    def _steps(self) -> tuple[Any, ...]:
        rows, cols = (slice(None, None, -1 if mirrored else 1) for mirrored in (self.rows, self.cols))
        return ..., rows, cols


VIEWS = tuple(
    View(rows, cols, swapped) for swapped in (False, True) for rows in (False, True) for cols in (False, True)
)
"""All eight; the first four keep a window's shape, which spares backends that compile for one."""


def combine(looks: Iterable[NDArray[np.float32]], uncertainty: str = "none") -> NDArray[np.float32]:
    """Return the mean of several looks, and how uncertain it is as one more plane if asked for.

    Parameters
    ----------
    looks : iterable of (k, y, x) float32
        Probabilities of the same pixels; taken one at a time, so that only two are held.
    uncertainty : {"none", "entropy", "spread"}
        ``entropy``: that of the mean, 1 where all classes are equally likely. ``spread``:
        twice the standard deviation between the looks of the class they differ in most, 1
        where half of them say no and half say yes for certain.

    Returns
    -------
    (k, y, x) or (k + 1, y, x) float32

    Examples
    --------
    >>> looks = [np.float32([[[1.0]], [[0.0]]]), np.float32([[[0.0]], [[1.0]]])]
    >>> combine(looks, "spread").ravel().tolist()
    [0.5, 0.5, 1.0]
    """
    count, mean = 0, np.empty(0, np.float32)
    squares: NDArray[np.float32] | None = None
    for count, look in enumerate(looks, start=1):
        if count == 1:
            mean = look
            continue
        if count == 2:
            mean = mean.copy()
            squares = np.zeros_like(mean) if uncertainty == "spread" else None
        change = look - mean
        mean += change / np.float32(count)
        if squares is not None:  # Welford's sum: no difference of large numbers
            squares += change * (look - mean)
    if uncertainty == "none":
        return mean
    if uncertainty == "entropy":
        doubt = entropy(mean)
    else:
        doubt = np.zeros_like(mean[0]) if squares is None else 2 * np.sqrt(squares.max(0) / np.float32(count))
    return np.concatenate([mean, doubt[np.newaxis].astype(np.float32)])


def entropy(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the entropy of class probabilities, 0 where one is certain, 1 where all are equal.

    Parameters
    ----------
    probabilities : (k, y, x)
        From 0 to 1, summing to 1.

    Returns
    -------
    (y, x)

    Examples
    --------
    >>> entropy(np.array([[[1.0, 0.5]], [[0.0, 0.5]]]))
    array([[0., 1.]])
    """
    from scipy.special import entr

    summed: NDArray[np.floating[Any]] = entr(probabilities).sum(0) / np.log(len(probabilities)).astype(
        probabilities.dtype
    )
    return summed.clip(0, 1)
