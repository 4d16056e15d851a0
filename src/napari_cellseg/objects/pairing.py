"""Which ends of segments belong together: filaments are followed through what covers them.

All ends are paired at once, at the least cost over the whole image. The cost of a pair is how
unlikely a stiff filament is to bend that way between two ends whose direction is known with an
error; an end may stay alone for a fixed price. Ends need not be neighbours: where two filaments
cross at a small angle the skeleton has one piece for both, one filament takes it and the other
one jumps over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import networkx
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_cellseg.objects.brightness import unlike
from napari_cellseg.objects.segments import End, Segment
from napari_cellseg.objects.tracks import follow

ALONE = 16.0  # price of an end without partner; a pair may cost two of these
DIRECTION_ERROR = 0.07  # radians, of the direction of an end
PLACE_ERROR = 0.12  # widths, of its place
STIFFNESS_WIDTHS = 150.0  # length over which a filament turns by a radian
WIDTH_ERROR = 0.2  # of the logarithm of the ratio of two widths
FARTHEST_WIDTHS = 30.0
RING_WIDTHS = 4.0  # length from which a segment may close on itself
ALONG_WIDTHS = 2.0  # length of another filament's middle that a link may follow at the price of 1
ON_MIDDLE = 0.3  # widths
TRACK_ERROR, TRACK_TURN, TRACK_MOST, TRACK_MIX = 0.15, 0.12, 20.0, 0.7
TIP = 5.0  # price of a link through the mask from where the outline shows a tip
TIP_AHEAD, TIP_BESIDE = (-0.3, 2.0), 0.25  # widths between an end and its tip
LINK_POINTS = 48
INSIDE = 0.97  # share of a link that has to lie in the mask, but for gaps that may be closed
NO_TIPS = np.empty((0, 2))


@dataclass(frozen=True)
class Ends:
    """Ends as columns; end 2 s is the first one of segment s, 2 s + 1 its last."""

    segment: NDArray[np.intp]
    point: NDArray[np.float64]
    direction: NDArray[np.float64]
    width: NDArray[np.float64]
    length: NDArray[np.float64]
    tip: NDArray[np.bool_]
    level: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        segments: list[Segment],
        tips: NDArray[np.float64] = NO_TIPS,
        level: NDArray[np.float64] | None = None,
    ) -> "Ends":
        """Return the ends of all segments that are no rings.

        Parameters
        ----------
        segments : list of Segment
        tips : (t, 2) float64
            Where filaments are seen to end.
        level : (e,) float64, optional
            How bright the filament is at each end.
        """
        listed: list[tuple[int, End]] = [
            (number, end) for number, one in enumerate(segments) for end in one.ends or ()
        ]
        point = np.array([end.point for _, end in listed]).reshape(-1, 2)
        direction = np.array([end.direction for _, end in listed]).reshape(-1, 2)
        width = np.array([end.width_px for _, end in listed])
        return cls(
            np.array([number for number, _ in listed], np.intp),
            point,
            direction,
            width,
            np.array([segments[number].length_px for number, _ in listed]),
            _lead_into(tips, point, direction, width),
            level,
        )


def pair_ends(
    ends: Ends,
    segments: list[Segment],
    plane: NDArray[Any],
    threshold: float,
    *,
    gap_px: float,
    least_level: float = 0.0,
) -> list[tuple[int, int]]:
    """Return the pairs of ends (numbers) that are joined, each end at most once.

    Parameters
    ----------
    ends : Ends
    segments : list of Segment
        All of them.
    plane : (y, x)
        Probabilities or a mask.
    threshold : float
        Links run where the plane reaches it.
    gap_px : float
        Length outside of the mask that a link may have nevertheless.
    least_level : float
        A difference of brightness that says nothing.
    """
    one, other, cost = _candidates(ends, gap_px)
    if ends.level is not None:
        cost = cost + unlike(ends.level, one, other, least_level)
    likely = cost < 2 * ALONE
    one, other, cost = one[likely], other[likely], cost[likely]
    curves = link_points(
        ends.point[one],
        ends.direction[one],
        ends.point[other],
        -ends.direction[other],
        np.linspace(0, 1, LINK_POINTS)[:, None, None],
    )
    length = np.hypot(*np.moveaxis(np.diff(curves, axis=0), -1, 0)).sum(axis=0)
    outside = _outside(curves, plane, threshold) * length
    if len(one):
        cost = cost + _missed(ends, one, other, plane, threshold)
    cost = cost + _along(curves, ends, one, other, segments) * length / (ALONG_WIDTHS * ends.width[one])
    covered = outside <= (1 - INSIDE) * length
    cost = cost + np.where(covered, TIP * (ends.tip[one].astype(float) + ends.tip[other]), 0)
    allowed = np.where(gap_px > 0, np.maximum(gap_px, (1 - INSIDE) * length), (1 - INSIDE) * length)
    cost = cost + np.where(outside > (1 - INSIDE) * length, ALONE * outside / max(gap_px, 1e-9), 0)
    kept = (outside <= allowed) & (cost < 2 * ALONE)
    graph = networkx.Graph()
    for a, b, price in zip(one[kept].tolist(), other[kept].tolist(), cost[kept].tolist(), strict=True):
        graph.add_edge(a, b, weight=2 * ALONE - price)
    pairs: list[tuple[int, int]] = []
    for part in networkx.connected_components(graph):
        pairs += networkx.max_weight_matching(graph.subgraph(sorted(part)))
    return sorted((min(pair), max(pair)) for pair in pairs)


def _candidates(ends: Ends, gap_px: float) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return pairs of ends that may belong together and the price of each."""
    one, other = np.triu_indices(len(ends.point), 1)
    apart = ends.point[other] - ends.point[one]
    distance = np.hypot(*apart.T)
    width = (ends.width[one] + ends.width[other]) / 2
    near = distance < np.maximum(FARTHEST_WIDTHS * width, gap_px)
    near &= (ends.segment[one] != ends.segment[other]) | (ends.length[one] > RING_WIDTHS * width)
    one, other, apart, distance, width = (column[near] for column in (one, other, apart, distance, width))
    # slopes of the two ends against the line between them; that of an arc has opposite signs
    start = _angle(apart, ends.direction[one])
    stop = _angle(apart, -ends.direction[other])
    # a stiff filament's turn and sideways shift between two ends, and the errors of both
    bend = distance / (STIFFNESS_WIDTHS * width)
    turn = (start - stop) ** 2 / (bend + 2 * DIRECTION_ERROR**2)
    place = (PLACE_ERROR * width / np.maximum(distance, 1e-9)) ** 2
    shift = ((start + stop) / 2) ** 2 / (bend / 12 + DIRECTION_ERROR**2 / 2 + 2 * place)
    ratio = np.log(ends.width[one] / ends.width[other]) / WIDTH_ERROR
    return one, other, turn + shift + ratio**2


def _angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signed angle (n,) from vectors (n, 2) to others."""
    cross = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return np.asarray(np.arctan2(cross, (one * other).sum(axis=1)))


def _outside(curves: NDArray[np.float64], plane: NDArray[Any], threshold: float) -> NDArray[np.float64]:
    """Return the share of each curve (points, m, 2) where no filament is likely."""
    rows, cols = np.moveaxis(np.rint(curves).astype(np.intp), -1, 0)
    rows, cols = rows.clip(0, plane.shape[0] - 1), cols.clip(0, plane.shape[1] - 1)
    return np.asarray((plane[rows, cols] < threshold).mean(axis=0))


def _missed(
    ends: Ends, one: NDArray[np.intp], other: NDArray[np.intp], plane: NDArray[Any], threshold: float
) -> NDArray[np.float64]:
    """Return what it costs (m,) that the tracks from two ends miss each other's end."""
    tracks = follow(ends.point, ends.direction, ends.width, plane, threshold)
    both = []
    for start, stop in ((one, other), (other, one)):
        near, turn = np.full(len(one), np.inf), np.zeros(len(one))
        for points, directions in zip(tracks.points, tracks.directions, strict=True):
            distance = np.hypot(*(points[start] - ends.point[stop]).T)
            closer = distance < near
            near = np.where(closer, distance, near)
            turn = np.where(closer, _angle(directions[start], -ends.direction[stop]), turn)
        off = near / (TRACK_ERROR * ends.width[stop])
        both.append(np.minimum(off**2 + (turn / TRACK_TURN) ** 2, TRACK_MOST))
    return np.minimum(*both) * TRACK_MIX + np.maximum(*both) * (1 - TRACK_MIX)


def _lead_into(
    tips: NDArray[np.float64],
    point: NDArray[np.float64],
    direction: NDArray[np.float64],
    width: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return which ends (e,) have a tip (t, 2) straight ahead."""
    away = (tips[None] - point[:, None]) / width[:, None, None]
    ahead = (away * direction[:, None]).sum(axis=2)
    beside = np.abs(away[..., 0] * direction[:, None, 1] - away[..., 1] * direction[:, None, 0])
    near = (ahead > TIP_AHEAD[0]) & (ahead < TIP_AHEAD[1]) & (beside < TIP_BESIDE)
    return np.asarray(near.any(axis=1))


def _along(
    curves: NDArray[np.float64],
    ends: Ends,
    one: NDArray[np.intp],
    other: NDArray[np.intp],
    segments: list[Segment],
) -> NDArray[np.float64]:
    """Return the share of each curve (points, m, 2) on the middle of a segment it jumps over."""
    owner = np.repeat(np.arange(len(segments)), [len(segment.points) for segment in segments])
    tree = cKDTree(np.concatenate([segment.points for segment in segments]))
    distance, nearest = tree.query(curves)
    on = distance < ON_MIDDLE * ends.width[one]
    on &= (owner[nearest] != ends.segment[one]) & (owner[nearest] != ends.segment[other])
    return np.asarray(on.mean(axis=0))


def link_points(
    start: NDArray[np.float64],
    start_direction: NDArray[np.float64],
    stop: NDArray[np.float64],
    stop_direction: NDArray[np.float64],
    t: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return points at t (0 to 1) of the cubic curve that leaves and arrives in given directions.

    Examples
    --------
    >>> east = np.array([0.0, 1.0])
    >>> link_points(np.zeros(2), east, np.array([0.0, 4.0]), east, np.array([[0.5]]))
    array([[0., 2.]])
    """
    distance = np.linalg.norm(stop - start, axis=-1, keepdims=True)
    h00, h10 = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t
    h01, h11 = 3 * t**2 - 2 * t**3, t**3 - t**2
    return np.asarray(
        h00 * start + h10 * distance * start_direction + h01 * stop + h11 * distance * stop_direction
    )


@dataclass(frozen=True)
class Chain:
    """Segments that make one filament.

    Attributes
    ----------
    segments : tuple of (int, bool)
        Number of each segment in order, and whether it runs backwards.
    closed : bool
    """

    segments: tuple[tuple[int, bool], ...]
    closed: bool = False

    def ends(self, segments: Sequence[Segment]) -> tuple[End, ...]:
        """Return its first and its last end; none of a ring."""
        (first, first_backwards), (last, last_backwards) = self.segments[0], self.segments[-1]
        begin, end = segments[first].ends, segments[last].ends
        if self.closed or begin is None or end is None:
            return ()
        return begin[first_backwards], end[not last_backwards]


def chains_of(segments: list[Segment], ends: Ends, pairs: list[tuple[int, int]]) -> list[Chain]:
    """Return the filaments that segments make when ends are joined in pairs."""
    partner = dict(pairs) | {b: a for a, b in pairs}
    first = {int(number): place for place, number in reversed(list(enumerate(ends.segment)))}
    chains, used = [], set()
    loose = [end for end in range(len(ends.segment)) if end not in partner]
    for start in (*loose, *partner):  # what has no loose end is a ring
        number = int(ends.segment[start])
        if number in used:
            continue
        chain, entry = [], start
        while True:
            number = int(ends.segment[entry])
            used.add(number)
            backwards = entry != first[number]
            chain.append((number, backwards))
            leave = first[number] if backwards else first[number] + 1
            following = partner.get(leave)
            if following is None or int(ends.segment[following]) in used:
                break
            entry = following
        chains.append(Chain(tuple(chain), following is not None))
    chains += [Chain(((number, False),), True) for number, one in enumerate(segments) if one.ends is None]
    return chains
