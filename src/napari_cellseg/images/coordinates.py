"""What a coordinate file holds: filaments and loose points of one micrograph."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Filaments and loose points of one micrograph.

    Parameters
    ----------
    filaments : tuple of Filament
        Their paths are (row, col) in pixels of the micrograph, pixel centres at integers.
    points : (n, 2) float64
        Loose points (row, col).
    scores : (n,) float64, optional
        How sure each point is, 0 to 1.
    owners : (n,) int, optional
        Number of the filament each point lies on; 0 = none.
    arcs_px : (n,) float64, optional
        Where along it, from its first point.
    pixel_nm : float, optional
        Pixel size in nm.
    shape : (y, x), optional
        Size of the micrograph in pixels.
    micrograph : str
        Its path or name; the suffix tells which way a TIFF's rows are counted.
    box_px : float, optional
        Side of the boxes, where the file has boxes.
    notices : tuple of str
        What a person should be told of the reading.

    Raises
    ------
    CellsegError
        If points or scores do not fit together or are not finite.
    """

    filaments: tuple[Filament, ...] = ()
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    scores: NDArray[np.float64] | None = None
    owners: NDArray[np.int64] | None = field(default=None, kw_only=True)
    arcs_px: NDArray[np.float64] | None = field(default=None, kw_only=True)
    pixel_nm: float | None = None
    shape: tuple[int, int] | None = None
    micrograph: str = ""
    box_px: float | None = None
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float64).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise CellsegError("a point that is not a number", "finite rows and columns")
        object.__setattr__(self, "filaments", tuple(self.filaments))
        object.__setattr__(self, "points", points)
        if self.scores is not None:
            scores = np.asarray(self.scores, np.float64)
            if scores.shape != (len(points),) or not np.isfinite(scores).all():
                raise CellsegError(f"scores {scores.shape} for {len(points)} points", "a finite one for each")
            object.__setattr__(self, "scores", scores)
        for name, kind in (("owners", np.int64), ("arcs_px", np.float64)):
            if (facts := getattr(self, name)) is not None:
                facts = np.asarray(facts, kind)
                if facts.shape != (len(points),):
                    raise CellsegError(f"{name} {facts.shape} for {len(points)} points", "one for each")
                object.__setattr__(self, name, facts)
        for filament in self.filaments:
            if filament.score is not None and not np.isfinite(filament.score):
                raise CellsegError(f"filament {filament.id}: a score that is not a number", "0 to 1, or none")

    @classmethod
    def from_rows(
        cls,
        points: ArrayLike,
        filament_ids: Sequence[int | None] | None = None,
        scores: ArrayLike | None = None,
        *,
        widths_px: ArrayLike | None = None,
        **others: Any,
    ) -> Self:
        """Return the coordinates of a table with one point a row.

        Rows of the same filament make its path, in their order; its score is their mean. A
        filament of a single place has no direction: its row becomes a loose point.

        Parameters
        ----------
        points : (n, 2)
            Rows and columns.
        filament_ids : sequence of n, optional
            Which filament a row belongs to; None for a loose point.
        scores, widths_px : (n,), optional
            NaN where a row has none.
        **others
            Further attributes.

        Examples
        --------
        >>> found = Coordinates.from_rows([[0, 0], [5, 5], [0, 9]], [1, None, 1])
        >>> found.filaments[0].path.tolist(), found.points.tolist()
        ([[0.0, 0.0], [0.0, 9.0]], [[5.0, 5.0]])
        """
        points = np.asarray(points, np.float64).reshape(-1, 2)
        ids = list(filament_ids) if filament_ids is not None else [None] * len(points)
        rows_of: dict[int, list[int]] = {}
        for row, filament in enumerate(ids):
            if filament is not None:
                rows_of.setdefault(filament, []).append(row)
        filaments, loose = [], {row for row, filament in enumerate(ids) if filament is None}
        for filament, rows in rows_of.items():
            path = points[rows]
            if np.isfinite(path).all() and np.ptp(path, axis=0).max() <= 1e-9:
                loose.add(rows[0])
                continue
            width, score = _mean(widths_px, rows), _mean(scores, rows)
            filaments.append(Filament(path, filament, width, score))
        kept = sorted(loose)
        alone = None if scores is None else np.asarray(scores, np.float64)[kept]
        if alone is not None and np.isnan(alone).any():
            alone = None
        return cls(tuple(filaments), points[kept], alone, **others)

    def scaled(self, factor: float) -> "Coordinates":
        """Return the coordinates on a grid with so many pixels for one of this one.

        Both grids cover the same extent, so pixel 0 of one grid begins where it does in the other.

        Examples
        --------
        >>> Coordinates(points=[[0, 1]]).scaled(2).points.tolist()
        [[0.5, 2.5]]
        """
        shape = None if self.shape is None else (round(self.shape[0] * factor), round(self.shape[1] * factor))
        return replace(
            self._moved(lambda places: (places + 0.5) * factor - 0.5, factor),
            shape=shape,
            pixel_nm=None if self.pixel_nm is None else self.pixel_nm / factor,
            box_px=None if self.box_px is None else self.box_px * factor,
            arcs_px=None if self.arcs_px is None else self.arcs_px * factor,
        )

    def flipped(self) -> "Coordinates":
        """Return the coordinates with rows counted from the other end.

        Raises
        ------
        CellsegError
            If the height of the micrograph is not known.

        Examples
        --------
        >>> Coordinates(points=[[0, 1]], shape=(10, 20)).flipped().points.tolist()
        [[9.0, 1.0]]
        """
        if self.shape is None:
            raise CellsegError(
                "rows are counted from the bottom, and the height of the micrograph is not known",
                "the micrograph or its size",
                "name the micrograph, or say that rows are not flipped",
            )
        last = self.shape[0] - 1
        return self._moved(lambda places: np.stack([last - places[:, 0], places[:, 1]], -1))

    def outside(self) -> int:
        """Return how many filaments and points leave the field; 0 where its size is not known."""
        if self.shape is None:
            return 0
        low, high = -0.5, np.asarray(self.shape) - 0.5
        paths = [filament.path for filament in self.filaments]
        return sum(bool(((path < low) | (path > high)).any()) for path in [*paths, *self.points[:, None]])

    def _moved(self, move: Any, factor: float = 1.0) -> "Coordinates":
        filaments = tuple(
            replace(
                filament,
                path=move(filament.path),
                width_px=None if filament.width_px is None else filament.width_px * factor,
            )
            for filament in self.filaments
        )
        return replace(self, filaments=filaments, points=move(self.points))


def _mean(values: ArrayLike | None, rows: list[int]) -> float | None:
    if values is None:
        return None
    known = np.asarray(values, np.float64)[rows]
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else None
