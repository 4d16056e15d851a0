"""Thin filaments: smooth paths, and actin, tropomyosin and troponin along them.

Notation: a path has n points (row, col) in nm; a filament has m subunits at arc lengths
`along_nm`; a blob is a point mass (row, col, kDa) that stands for some 3 to 4 residues.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RISE_NM = 2.75
"""Axial rise per actin subunit."""
TWIST_DEGREES = -166.7
"""Rotation per actin subunit along the one-start helix."""
TROPONIN_EVERY = 14
"""Subunits from one troponin to the next on the same strand (seven of that strand): 38.5 nm."""
STEP_NM = 2.0
"""Spacing of the points of a path."""
LEAD_NM = 12.0
"""How far beyond the field a filament is still drawn."""

# (mass in kDa, radius nm, azimuth degrees, height nm, half axes nm: radial, around, along)
# The four subdomains of actin in the filament (after Holmes et al., Nature 347, 44-49, 1990), rounded.
_ACTIN = (
    (16.2, 2.5, 0.0, -1.2, (1.5, 1.6, 1.6)),
    (4.1, 2.7, -18.0, 1.8, (1.1, 1.1, 1.2)),
    (11.6, 1.2, 62.0, -1.3, (1.3, 1.5, 1.5)),
    (10.0, 1.3, 58.0, 1.7, (1.3, 1.4, 1.4)),
)
# Troponin core: the long arm lying along the filament and the lobe of troponin C.
_TROPONIN = (
    (28.0, 4.8, 55.0, -0.5, (1.4, 1.7, 4.5)),
    (20.0, 5.0, 38.0, 2.0, (1.8, 1.9, 2.2)),
)
_TROPOMYOSIN_RADIUS_NM = 3.9
_TROPOMYOSIN_DEGREES = 68.0
_TROPOMYOSIN_KDA_PER_NM = 66.0 / 38.5
_BLOB_KDA = 0.4


@dataclass(frozen=True)
class Blobs:
    """Point masses in projection: (n, 2) places (row, col) in nm and (n,) kDa."""

    places_nm: NDArray[np.float64]
    kda: NDArray[np.float64]


def worm_like_path(
    rng: np.random.Generator,
    start_nm: tuple[float, float],
    angle: float,
    *,
    before_nm: float,
    after_nm: float,
    persistence_um: float,
) -> NDArray[np.float64]:
    """Path of a semiflexible filament confined to a plane (worm-like chain), smoothed over 10 nm.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the bends.
    start_nm : (row, col)
        A place on the path.
    angle : float
        Direction at that place in radians, from the columns' axis towards growing rows.
    before_nm, after_nm : float
        Length on both sides of that place.
    persistence_um : float
        Persistence length; about 10 for actin.

    Returns
    -------
    (n, 2) float64
        Places (row, col) in nm, about 2 nm apart.

    Examples
    --------
    >>> path = worm_like_path(np.random.default_rng(0), (0, 0), 0.0,
    ...                       before_nm=0, after_nm=100, persistence_um=1e9)
    >>> bool(abs(path[-1, 1] - 100) < 0.1)
    True
    """
    behind, ahead = (max(round(length / STEP_NM), 1) for length in (before_nm, after_nm))
    bends = rng.standard_normal(behind + ahead) * np.sqrt(STEP_NM / (persistence_um * 1e3))
    angles = ndimage.gaussian_filter1d(np.cumsum(bends), 10.0 / STEP_NM, mode="nearest")
    angles += angle - angles[behind]
    steps = STEP_NM * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return np.asarray(path - path[behind] + np.asarray(start_nm), np.float64)


def clip_path(path: NDArray[np.float64], high: tuple[float, float]) -> list[NDArray[np.float64]]:
    """Pieces of a path within ``0 <= row <= high[0]`` and ``0 <= col <= high[1]``.

    A path that leaves the field and comes back gives two pieces. Ends are cut exactly at
    the border.

    Examples
    --------
    >>> clip_path(np.array([[5.0, -4.0], [5.0, 4.0]]), (8.0, 10.0))[0]
    array([[5., 0.],
           [5., 4.]])
    """
    pieces: list[list[NDArray[np.float64]]] = []
    joined = False
    for begin, end in pairwise(path):
        cut = _clip_segment(begin, end, np.asarray(high))
        if cut is None:
            joined = False
            continue
        first, last = cut
        if not joined:
            pieces.append([begin + first * (end - begin)])
        pieces[-1].append(begin + last * (end - begin))
        joined = last == 1.0
    return [np.clip(np.asarray(piece, np.float64), 0, high) for piece in pieces]


def _clip_segment(
    begin: NDArray[np.float64], end: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Range of the segment (as shares of it) inside the field (Liang and Barsky)."""
    first, last = 0.0, 1.0
    for place, step, limit in zip(begin, end - begin, high, strict=True):
        if step == 0:
            if not 0 <= place <= limit:
                return None
            continue
        enter, leave = sorted((-place / step, (limit - place) / step))
        first, last = max(first, enter), min(last, leave)
    return (first, last) if first < last else None


@dataclass(frozen=True)
class ThinFilament:
    """One filament lying in the plane.

    Attributes
    ----------
    path_nm : (n, 2)
        Axis (row, col).
    along_nm : (m,)
        Arc lengths of the subunits on the axis.
    azimuths : (m,)
        Angle of the long-pitch strand that the even subunits follow, radians; the odd
        ones stand opposite.
    bound : (m,) bool
        Subunits that carry a troponin.
    """

    path_nm: NDArray[np.float64]
    along_nm: NDArray[np.float64]
    azimuths: NDArray[np.float64]
    bound: NDArray[np.bool_]

    @classmethod
    def grow(
        cls,
        path_nm: NDArray[np.float64],
        rng: np.random.Generator,
        *,
        disorder_degrees: float,
        occupancy: float,
    ) -> "ThinFilament":
        """Put subunits on a path, with a random start, twist disorder and troponin occupancy."""
        length = float(np.hypot(*np.diff(path_nm, axis=0).T).sum())
        along = np.arange(rng.uniform(0, RISE_NM), length, RISE_NM)
        count = len(along)
        # -166.7 degrees a subunit = two strands half a turn apart, each turning 13.3 degrees
        turns = np.radians(np.arange(count) * (TWIST_DEGREES + 180))
        wander = np.cumsum(rng.normal(0, np.radians(disorder_degrees), count))
        place = (np.arange(count) - rng.integers(TROPONIN_EVERY)) % TROPONIN_EVERY
        bound = (place < 2) & (rng.random(count) < occupancy)
        return cls(path_nm, along, rng.uniform(0, 2 * np.pi) + turns + wander, bound)

    def within(self, high_nm: tuple[float, float]) -> NDArray[np.bool_]:
        """(m,) True for the subunits in or near the field."""
        axis = self.places_nm(self.along_nm, np.zeros(len(self.along_nm)))
        return np.asarray(((axis > -LEAD_NM) & (axis < np.asarray(high_nm) + LEAD_NM)).all(axis=1))

    def places_nm(self, along_nm: NDArray[np.float64], side_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k, 2) places (row, col) at the given arc lengths, moved sideways."""
        steps = np.diff(self.path_nm, axis=0)
        travelled = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
        slopes = np.unwrap(np.arctan2(*np.gradient(self.path_nm, axis=0).T))
        row, col, slope = (np.interp(along_nm, travelled, v) for v in (*self.path_nm.T, slopes))
        return np.stack([row - side_nm * np.cos(slope), col + side_nm * np.sin(slope)], axis=1)

    def troponins_nm(self) -> NDArray[np.float64]:
        """(k, 2) centres (row, col) of the troponin cores in projection."""
        chosen = np.flatnonzero(self.bound)
        masses = np.asarray([part[0] for part in _TROPONIN])
        # complex sum over the parts: radius and azimuth of the centre of mass
        centre = sum(mass * r * np.exp(1j * np.radians(a)) for mass, r, a, *_ in _TROPONIN) / masses.sum()
        height = sum(part[0] * part[3] for part in _TROPONIN) / masses.sum()
        turn = self.azimuths[chosen] + np.pi * (chosen % 2)
        return self.places_nm(self.along_nm[chosen] + height, (centre * np.exp(1j * turn)).real)

    def blobs(self, high_nm: tuple[float, float], *, tropomyosin: bool) -> Blobs:
        """Masses in or near the field."""
        near = self.within(high_nm)
        index = np.flatnonzero(near)
        parts = [self._decorate(index, _ACTIN), self._decorate(np.flatnonzero(near & self.bound), _TROPONIN)]
        if tropomyosin and len(index) > 1:
            parts.append(self._tropomyosin(index))
        return Blobs(np.concatenate([p.places_nm for p in parts]), np.concatenate([p.kda for p in parts]))

    def _decorate(
        self,
        subunits: NDArray[np.intp],
        parts: tuple[tuple[float, float, float, float, tuple[float, float, float]], ...],
    ) -> Blobs:
        """Place copies of a small structure on the given subunits."""
        structure = structure_blobs(parts)
        turn = (self.azimuths[subunits] + np.pi * (subunits % 2))[:, None] + structure[None, :, 1]
        along = self.along_nm[subunits][:, None] + structure[None, :, 2]
        side = structure[None, :, 0] * np.cos(turn)
        kda = np.broadcast_to(structure[None, :, 3], along.shape)
        return Blobs(self.places_nm(along.ravel(), side.ravel()), kda.ravel())

    def _tropomyosin(self, subunits: NDArray[np.intp]) -> Blobs:
        """Two coiled coils of two strands each, in the grooves of actin."""
        along = np.arange(self.along_nm[subunits[0]], self.along_nm[subunits[-1]], 0.5)
        strand = np.interp(along, self.along_nm, self.azimuths) + np.radians(_TROPOMYOSIN_DEGREES)
        coil = 2 * np.pi * along / 13.7  # pitch of the coiled coil in nm
        sides = [
            _TROPOMYOSIN_RADIUS_NM * np.cos(strand + half) + 0.5 * np.cos(coil + turn)
            for half in (0.0, np.pi)
            for turn in (0.0, np.pi)
        ]
        kda = np.full(4 * len(along), _TROPOMYOSIN_KDA_PER_NM * 0.5 / 2)
        return Blobs(self.places_nm(np.tile(along, 4), np.concatenate(sides)), kda)


def structure_blobs(
    parts: tuple[tuple[float, float, float, float, tuple[float, float, float]], ...],
) -> NDArray[np.float64]:
    """Fill ellipsoids with point masses; always the same for the same parts.

    Returns
    -------
    (b, 4) float64
        Radius nm, azimuth radians, height nm, kDa.
    """
    rng = np.random.default_rng(1990)
    rows = []
    for kda, radius, degrees, height, axes in parts:
        count = max(round(kda / _BLOB_KDA), 1)
        ball = rng.standard_normal((count, 3))
        ball *= (rng.random(count) ** (1 / 3) / np.linalg.norm(ball, axis=1))[:, None]
        offset = ball * np.asarray(axes)
        place = (radius + offset[:, 0] + 1j * offset[:, 1]) * np.exp(1j * np.radians(degrees))
        rows.append(
            np.stack([np.abs(place), np.angle(place), height + offset[:, 2], np.full(count, kda / count)], 1)
        )
    return np.concatenate(rows)
