"""Filaments corrected by hand: split, joined, redrawn, kept in a new tracing; each step can be undone."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament

STEP_PX = 2.0  # at which two curves are compared
BESIDE_WIDTHS = 0.6  # closer than this two curves are the same filament, if they have one direction
SAME_DIRECTION = np.cos(np.radians(25))
SAME_SHARE = 0.5  # of the length of one of them
COARSEST_PX = 32.0


@dataclass(frozen=True, eq=False)
class Corrected:
    """The filaments of an image as they are now, and those that a hand took out.

    Every edit returns a new one; what it touched is locked.

    Attributes
    ----------
    filaments : tuple of Filament
        Each with a number of its own.
    deleted : tuple of Filament
        A new tracing does not bring them back.
    """

    filaments: tuple[Filament, ...] = ()
    deleted: tuple[Filament, ...] = ()

    def filament(self, number: int) -> Filament:
        """Return the filament with this number.

        Raises
        ------
        CellsegError
            If there is none.
        """
        for one in self.filaments:
            if one.id == number:
                return one
        raise CellsegError(f"no filament {number}", "one of the list", "choose one there")

    def split(self, number: int, place: ArrayLike) -> "Corrected":
        """Return two filaments for one, cut at the point of its curve nearest to a place (row, col).

        The first part keeps the number.

        Raises
        ------
        CellsegError
            If that is one of its ends.

        Examples
        --------
        >>> cut = Corrected((Filament([[0, 0], [0, 9]], 4),)).split(4, (2, 6))
        >>> [(one.id, one.ends.tolist()) for one in cut.filaments]
        [(4, [[0.0, 0.0], [0.0, 6.0]]), (5, [[0.0, 6.0], [0.0, 9.0]])]
        """
        whole = self.filament(number)
        at = nearest_arc(whole, place)
        if not 1 <= at <= whole.length_px - 1:
            raise CellsegError(
                f"filament {number} ends there", "a place within it", "click further inside to split it"
            )
        cut, (arcs, path) = whole.at([at])[0], (whole.arcs_px, whole.path)
        first = replace(whole, path=np.concatenate([path[arcs < at], cut]), locked=True)
        second = replace(whole, path=np.concatenate([cut, path[arcs > at]]), id=self._free(), locked=True)
        return self._with({number: (first, second)})

    def join(self, first: int, second: int) -> "Corrected":
        """Return one filament for two, from the far end of one to the far end of the other.

        Their nearest ends are joined; the lower number stays.

        Raises
        ------
        CellsegError
            If they are the same.
        """
        if first == second:
            raise CellsegError("one filament to join", "two", "choose both, the second with Ctrl")
        one, other = self.filament(min(first, second)), self.filament(max(first, second))
        gaps = np.linalg.norm(one.ends[:, None] - other.ends[None], axis=2)
        end, start = np.unravel_index(int(gaps.argmin()), (2, 2))
        head = one if end == 1 else one.reversed()
        tail = other if start == 0 else other.reversed()
        point, tangent = (found[0] for found in head.at([head.length_px]))
        # what runs back along the other one would fold the joined curve
        ahead = np.maximum.accumulate((tail.path - point) @ tangent > 1e-9)
        lengths = one.length_px, other.length_px
        joined = Filament(
            np.concatenate([head.path, tail.path[ahead] if ahead.any() else tail.path[-1:]]),
            one.id,
            _mean((one.width_px, other.width_px), lengths),
            _mean((one.score, other.score), lengths),
            locked=True,
        )
        return self._with({one.id: (joined,), other.id: ()})

    def without(self, numbers: Collection[int]) -> "Corrected":
        """Return the others; those with these numbers stay out of a new tracing."""
        gone = tuple(self.filament(number) for number in numbers)
        left = self._with({one.id: () for one in gone})
        return replace(left, deleted=(*self.deleted, *gone))

    def with_course(self, number: int, drawn: Filament) -> "Corrected":
        """Return the same with the path and the score of another one for one filament."""
        changed = replace(self.filament(number), path=drawn.path, score=drawn.score, locked=True)
        return self._with({number: (changed,)})

    def with_new(self, drawn: Filament) -> "Corrected":
        """Return the same and one filament drawn by hand; it gets the next number that is free."""
        return replace(self, filaments=(*self.filaments, replace(drawn, id=self._free(), locked=True)))

    def retraced(self, traced: Sequence[Filament]) -> "Corrected":
        """Return the locked filaments, and those of a new tracing that run along none of them.

        Nor do those come back that were deleted by hand. Two run along each other if that is so
        for half the length of one of them.

        Examples
        --------
        >>> kept = Filament([[0, 0], [0, 90]], 1, locked=True)
        >>> new = [Filament([[1, 5], [1, 95]], 1, 4.0), Filament([[40, 5], [40, 95]], 2, 4.0)]
        >>> after = Corrected((kept,)).retraced(new)
        >>> [(one.id, one.locked, one.path[0].tolist()) for one in after.filaments]
        [(1, True, [0.0, 0.0]), (2, False, [40.0, 5.0])]
        """
        kept = tuple(one for one in self.filaments if one.locked)
        courses = _Courses((*kept, *self.deleted))
        new = [one for one in traced if not courses.are_along(one)]
        free = (number for number in range(1, len(kept) + len(new) + 1) if number not in {k.id for k in kept})
        return Corrected((*kept, *(replace(one, id=next(free)) for one in new)), self.deleted)

    def changed_by(self, filaments: Sequence[Filament]) -> "Corrected":
        """Return what is left after somebody changed the layer itself: what is new or moved is locked."""
        before = {one.id: one for one in self.filaments}
        after = tuple(
            one if _same_path(one, before.get(one.id)) else replace(one, locked=True) for one in filaments
        )
        numbers = {one.id for one in after}
        gone = (one for one in self.filaments if one.id not in numbers)
        return Corrected(after, (*self.deleted, *gone))

    def _free(self) -> int:
        return max((one.id for one in self.filaments), default=0) + 1

    def _with(self, changes: dict[int, tuple[Filament, ...]]) -> "Corrected":
        parts = (changes.get(one.id, (one,)) for one in self.filaments)
        return replace(self, filaments=tuple(one for part in parts for one in part))


class History:
    """What was done to the filaments of an image, to take back and to do again.

    Examples
    --------
    >>> history = History(Corrected((Filament([[0, 0], [0, 9]], 1),)))
    >>> history.do("delete", history.now.without([1]))
    >>> history.undo(), len(history.now.filaments), history.undo()
    ('delete', 1, None)
    >>> history.redo(), len(history.now.filaments)
    ('delete', 0)
    """

    def __init__(self, start: Corrected) -> None:
        self.now = start
        self._before: list[tuple[str, Corrected]] = []
        self._after: list[tuple[str, Corrected]] = []

    def do(self, what: str, result: Corrected) -> None:
        """Note an edit and its result."""
        self._before.append((what, self.now))
        self._after.clear()
        self.now = result

    def undo(self) -> str | None:
        """Go back one edit and return what it was; None if there is none."""
        return self._move(self._before, self._after)

    def redo(self) -> str | None:
        """Do again what was taken back; None if there is nothing."""
        return self._move(self._after, self._before)

    @property
    def next_undo(self) -> str | None:
        """What `undo` would take back."""
        return self._before[-1][0] if self._before else None

    @property
    def next_redo(self) -> str | None:
        """What `redo` would do again."""
        return self._after[-1][0] if self._after else None

    def _move(self, source: list[tuple[str, Corrected]], target: list[tuple[str, Corrected]]) -> str | None:
        if not source:
            return None
        what, state = source.pop()
        target.append((what, self.now))
        self.now = state
        return what


def nearest_arc(filament: Filament, place: ArrayLike) -> float:
    """Return how far along the curve the point nearest to a place (row, col) lies, in pixels."""
    arcs = np.linspace(0, filament.length_px, max(2, int(4 * filament.length_px)))
    distance = np.linalg.norm(filament.at(arcs)[0] - np.asarray(place, np.float64), axis=1)
    nearest = arcs[distance.argmin()]
    points, tangents = filament.at([nearest])
    step = float(((np.asarray(place, np.float64) - points[0]) @ tangents[0]).clip(-0.25, 0.25))
    return float(np.clip(nearest + step, 0, filament.length_px))


def nearest_filament(filaments: Iterable[Filament], place: ArrayLike, within_px: float) -> Filament | None:
    """Return the filament nearest to a place (row, col), if one is as near as that."""
    best, least = None, within_px
    step = float(np.clip(within_px / 2, 0.25, STEP_PX))
    for one in filaments:
        points = one.at(np.linspace(0, one.length_px, max(2, ceil(one.length_px / step))))[0]
        distance = float(np.linalg.norm(points - np.asarray(place, np.float64), axis=1).min())
        if distance <= least:
            best, least = one, distance
    return best


def thinned(filament: Filament, tolerance_px: float = 0.2) -> Filament:
    """Return the filament with as few evenly spaced points as its curve allows.

    A layer of paths with thousands of points is slow to show and cannot be edited by hand.

    Parameters
    ----------
    filament : Filament
    tolerance_px : float
        How far the curve may move.

    Examples
    --------
    >>> len(thinned(Filament([[0, col] for col in range(65)])).path)
    3
    """
    arcs = np.linspace(0, filament.length_px, max(3, int(filament.length_px / STEP_PX)))
    points, step = filament.at(arcs)[0], COARSEST_PX
    while step > STEP_PX:
        coarse = filament.resampled(step)
        shares = arcs * coarse.length_px / filament.length_px
        if np.abs(coarse.at(shares)[0] - points).max() <= tolerance_px:
            return coarse
        step /= 2
    return filament


def mean_curvature(filament: Filament) -> float:
    """Return how strongly a filament bends on average, in 1 / px; 0 = straight."""
    arcs = np.linspace(0, filament.length_px, max(3, int(filament.length_px / STEP_PX)))
    return float(np.abs(filament.curvature(arcs)).mean())


class _Courses:
    """Where filaments run: points and directions, evenly spaced, of all of them together."""

    def __init__(self, filaments: Sequence[Filament]) -> None:
        sampled = [_sampled(one) for one in filaments]
        self.many = np.array([len(points) for points, _ in sampled], np.intp)
        self.widths_px = np.array([one.width_px or 0.0 for one in filaments])
        self.owner = np.repeat(np.arange(len(filaments)), self.many)
        empty = np.empty((0, 2))
        self.tangents = np.concatenate([empty, *(tangents for _, tangents in sampled)])
        self.tree = cKDTree(np.concatenate([empty, *(points for points, _ in sampled)]))

    def are_along(self, filament: Filament) -> bool:
        """Tell whether one of them and this filament run along each other for half of the shorter one."""
        points, tangents = _sampled(filament)
        width = filament.width_px or 0.0
        bound = max(BESIDE_WIDTHS * max(self.widths_px.max(initial=0.0), width), STEP_PX)
        distance, index = self.tree.query(points, distance_upper_bound=bound)
        found = np.isfinite(distance)
        owner = self.owner[index[found]]
        cosine = np.abs((tangents[found] * self.tangents[index[found]]).sum(axis=1))
        near = BESIDE_WIDTHS * np.maximum(self.widths_px[owner], width)
        along = (cosine > SAME_DIRECTION) & (distance[found] <= np.maximum(near, STEP_PX))
        shared = np.bincount(owner[along], minlength=len(self.many))
        return bool((shared > SAME_SHARE * np.minimum(self.many, len(points))).any())


def _sampled(filament: Filament) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    many = max(2, round(filament.length_px / STEP_PX) + 1)
    return filament.at(np.linspace(0, filament.length_px, many))


def _same_path(one: Filament, other: Filament | None) -> bool:
    return other is not None and one.path.shape == other.path.shape and np.allclose(one.path, other.path)


def _mean(values: tuple[float | None, float | None], weights: tuple[float, float]) -> float | None:
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    return (
        sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None
    )
