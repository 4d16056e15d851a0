"""A plane turned so that it looks the same however it was turned before.

Thinning an image visits its pixels in some order, so that the skeleton of a mirrored mask is not
quite the mirrored skeleton. Whoever turns the plane first gets the same filaments for a micrograph
and for its turned or mirrored copy.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """One of the eight quarter turns and reflections of a plane.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the plane before.
    swapped : bool
        Rows become columns first.
    flipped : (bool, bool)
        Then rows and columns are reversed.
    """

    shape: tuple[int, int]
    swapped: bool
    flipped: tuple[bool, bool]

    @classmethod
    def of(cls, plane: NDArray[Any]) -> Self:
        """Return the orientation in which a plane comes first, in an order of all eight.

        Sums of rows and columns settle it as good as always; pixels are compared where they tie.
        """
        shape = (plane.shape[0], plane.shape[1])
        # of rounded numbers: a sum of floats depends on their order
        whole = plane if plane.dtype == bool else np.rint(plane * np.float32(1024)).astype(np.int32)
        rows, cols = (whole.sum(axis=axis, dtype=np.int64) for axis in (1, 0))
        candidates = []
        for swapped in (False, True):
            first, second = (cols, rows) if swapped else (rows, cols)
            for up in (False, True):
                for left in (False, True):
                    key = (first[::-1] if up else first, second[::-1] if left else second)
                    candidates.append((key, cls(shape, swapped, (up, left))))
        best = candidates[:1]
        for key, one in candidates[1:]:
            order = _compare(key, best[0][0])
            if order < 0:
                best = [(key, one)]
            elif order == 0:
                best.append((key, one))
        chosen = best[0][1]
        for _, one in best[1:]:
            if _compare((one.turned(plane),), (chosen.turned(plane),)) < 0:
                chosen = one
        return chosen

    def turned(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a plane (y, x) turned, as a view."""
        plane = plane.T if self.swapped else plane
        return plane[:: -1 if self.flipped[0] else 1, :: -1 if self.flipped[1] else 1]

    def points_back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points (n, 2) of the turned plane lie in the plane before.

        Examples
        --------
        >>> plane = np.zeros((3, 5)); plane[1, 4] = 1
        >>> orientation = Orientation((3, 5), True, (True, False))
        >>> orientation.points_back(np.argwhere(orientation.turned(plane)).astype(float))
        array([[1., 4.]])
        """
        rows, cols = self.shape[::-1] if self.swapped else self.shape
        row = rows - 1 - points[:, 0] if self.flipped[0] else points[:, 0]
        col = cols - 1 - points[:, 1] if self.flipped[1] else points[:, 1]
        return np.stack([col, row] if self.swapped else [row, col], axis=1)


def _compare(one: tuple[NDArray[Any], ...], other: tuple[NDArray[Any], ...]) -> int:
    """Return -1, 0 or 1: whether `one` comes before `other`, by shape and then by the first difference."""
    for left, right in zip(one, other, strict=True):
        if left.shape != right.shape:
            return -1 if left.shape < right.shape else 1
        different = np.flatnonzero((left != right).ravel())
        if len(different):
            place = np.unravel_index(different[0], left.shape)
            return -1 if left[place] < right[place] else 1
    return 0
