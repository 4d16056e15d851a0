"""Filaments of an image of numbers, in which each object is one filament."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist

from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.filaments import trace
from napari_cellseg.objects.settings import TraceSettings

MARGIN = 3.0  # widths around an object, so that it looks thin in its box
ALL = TraceSettings(min_length_px=0.0)


def trace_instances(plane: NDArray[Any]) -> list[Filament]:
    """Return the filament of each object, numbered like it.

    Parts of an object become one filament, also where another one lies across it. An object that
    has no length, such as a speck, has none.

    Parameters
    ----------
    plane : (y, x), integer
        0 = nothing, k = object k.

    Examples
    --------
    >>> plane = np.zeros((40, 60), np.uint16)
    >>> plane[10:15, 5:55] = 3
    >>> plane[:, 28:33] = 8  # across it
    >>> [(one.id, round(one.length_px, -1)) for one in trace_instances(plane)]
    [(3, 50.0), (8, 40.0)]
    """
    numbers = np.asarray(plane)
    found, names = [], np.unique(numbers[numbers > 0])
    places = np.searchsorted(names, numbers) + 1
    places[numbers <= 0] = 0
    for number, region in enumerate(ndimage.find_objects(places.astype(np.int32)), start=1):
        if region is None:
            continue
        own = places[region] == number
        margin = int(np.ceil(MARGIN * np.count_nonzero(own) / np.hypot(*own.shape)))
        own = np.pad(own, margin)
        parts = trace(own, settings=ALL)
        if parts:
            corner = np.array([side.start for side in region]) - margin
            widths = [one.width_px for one in parts if one.width_px]
            path = _joined([one.path for one in parts]) + corner
            width_px = float(np.median(widths)) if widths else None
            found.append(Filament(path, int(names[number - 1]), width_px, 1.0))
    return found


def _joined(paths: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return paths as one, each put on at whichever end is nearest; the longest is the first."""
    chain, *rest = sorted(paths, key=len, reverse=True)
    while rest:
        ends = np.stack([chain[0], chain[-1]])
        away = np.stack([cdist(ends, path[[0, -1]]) for path in rest])
        which, at_end, turned = np.unravel_index(int(away.argmin()), away.shape)
        path = rest.pop(int(which))
        path = path[::-1] if turned else path  # its near end first
        chain = np.concatenate([chain, path] if at_end else [path[::-1], chain])
    return chain
