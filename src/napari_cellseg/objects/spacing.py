"""The known spacing of sites along a filament: which of many possible sites make the likeliest row."""

import numpy as np
from numpy.typing import NDArray

LONGEST_GAP = 3
"""So many spacings may lie between a site and the next; further apart a new row begins."""
GAP_COST = 0.25
"""What each site that is missing between two costs, in units of evidence times the weight."""
CLOSEST = 0.6
"""Sites closer than this share of the spacing exclude each other."""


SIDEWAYS = 3.0
"""How much more a row may move across the filament from site to site than its spacing varies."""


def best_chain(
    along_nm: NDArray[np.float64],
    off_nm: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    spacing_nm: float,
    spread_nm: float,
    weight: float = 1.0,
) -> NDArray[np.intp]:
    """Return the sites of the best row: most evidence, at distances near multiples of the spacing.

    Dynamic programming along the filament. From one site to the next the evidence has
    ``weight * (1 - d**2 / 2)`` added, at least ``-weight``, where d is the distance to the nearest
    multiple of the spacing, or a third of the move sideways, in units of `spread_nm`.

    Parameters
    ----------
    along_nm, off_nm : (s,)
        Places along the filament, in order, and across it.
    values : (s,)
        Evidence less what a site costs: where it stands alone, it pays if this is above 0.
    spacing_nm, spread_nm : float
        Known spacing and how much it varies.
    weight : float
        How much the spacing counts beside the evidence; 0 = only that sites exclude each other.

    Returns
    -------
    (k,) int
        Indices of the chosen sites, in order; none if no site pays.

    Examples
    --------
    >>> along = np.array([0.0, 38.0, 55.0, 77.0])
    >>> best_chain(along, np.zeros(4), np.array([0.5, 0.4, 0.45, 0.5]), spacing_nm=38.5, spread_nm=2.0)
    array([0, 1, 3])
    """
    count = len(along_nm)
    total, before = values.astype(np.float64).copy(), np.full(count, -1)
    for site in range(count):
        gaps = along_nm[site] - along_nm[:site]
        earlier = np.flatnonzero(gaps >= CLOSEST * spacing_nm)
        if not len(earlier):
            continue
        many = np.maximum(1, np.rint(gaps[earlier] / spacing_nm))
        wide = np.sqrt(many) * spread_nm
        away = (gaps[earlier] - many * spacing_nm) / wide
        aside = (off_nm[site] - off_nm[earlier]) / (SIDEWAYS * wide)
        fit = np.maximum(-1.0, 1 - (away**2 + aside**2) / 2) - GAP_COST * (many - 1)
        fit = np.where(many > LONGEST_GAP, -1.0, np.maximum(-1.0, fit))
        reached = total[earlier] + weight * fit
        best = int(np.argmax(reached))
        if reached[best] > 0:
            total[site] += reached[best]
            before[site] = earlier[best]
    chosen: list[int] = []
    site = int(np.argmax(total)) if count else -1
    while site >= 0 and (chosen or total[site] > 0):
        chosen.append(site)
        site = int(before[site])
    return np.array(chosen[::-1], np.intp)
