"""How bright a filament is on the two sides of a place that covers it.

Where directions do not tell which ends belong together, a bright and a faint filament still do.
How much brightness varies along one filament is taken from the image itself.

Notation: e ends, m pairs of ends.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.objects.curves import arc, normals_of
from napari_cellseg.objects.profiles import sampled
from napari_cellseg.objects.segments import Segment

LOOK_WIDTHS = (0.5, 4.0)  # from an end: nearer by, what covers the filament may be bright itself
ACROSS_WIDTHS = (-0.25, 0.0, 0.25)
LEAST_PROBABILITY = 0.05  # a difference of probabilities that says nothing
LEAST_SPREAD = 0.1  # of the differences between filaments: a filament is at least so uneven
MOST = 12.0  # the price of being unlike


def end_levels(segments: Sequence[Segment], image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean brightness (e,) of each segment near its first and its last point; rings have no ends.

    Parameters
    ----------
    segments : sequence of Segment
    image : (y, x)
        Brightness, or probabilities.

    Examples
    --------
    >>> from napari_cellseg.objects.segments import end_of
    >>> points = np.stack([np.full(61, 5.0), np.arange(61.0)], axis=1)
    >>> ends = (end_of(points[::-1], 4.0, 4.0, True), end_of(points, 4.0, 4.0, True))
    >>> image = np.where(np.arange(61) < 30, 1.0, 3.0)[None].repeat(11, axis=0)
    >>> end_levels([Segment(points, 4.0, ends)], image)
    array([1., 3.])
    """
    levels = []
    for one in segments:
        if one.ends is None:
            continue
        across = one.width_px * np.array(ACROSS_WIDTHS)[:, None, None] * normals_of(one.points)
        along = arc(one.points)
        values = sampled(image, one.points + across).mean(axis=0)
        for back in (along, along[-1] - along):
            near = (back >= LOOK_WIDTHS[0] * one.width_px) & (back <= LOOK_WIDTHS[1] * one.width_px)
            levels.append(float(values[near].mean() if near.any() else values.mean()))
    return np.array(levels)


def unlike(
    levels: NDArray[np.float64], one: NDArray[np.intp], other: NDArray[np.intp], least: float = 0.0
) -> NDArray[np.float64]:
    """Return what it costs (m,) that two ends are not equally bright.

    Parameters
    ----------
    levels : (e,) float64
        Ends 2 s and 2 s + 1 are those of one segment.
    one, other : (m,) int
        Numbers of the ends of each pair.
    least : float
        A difference that says nothing.

    Examples
    --------
    >>> unlike(np.array([1.0, 1.1, 5.0, 5.1]), np.array([0, 0]), np.array([1, 2])).round(1).tolist()
    [0.0, 12.0]
    """
    if not len(levels):
        return np.zeros(len(one))
    within = np.median(np.abs(levels[::2] - levels[1::2])) / 0.6745  # of a normal distribution
    error = max(within, least, LEAST_SPREAD * float(np.ptp(levels)))
    if error == 0:
        return np.zeros(len(one))
    return np.asarray(np.minimum(((levels[one] - levels[other]) / error) ** 2 / 2, MOST))
