"""Found points against true ones: which file belongs to which, then the scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import micrograph_stem, read_coordinates
from napari_cellseg.report.metrics.points import PointScores, point_scores, spacings


@dataclass(frozen=True)
class PointEvaluation:
    """Scores of found points.

    Attributes
    ----------
    pooled : PointScores
        Of all images together.
    images : tuple of (found file, true file, PointScores)
    tolerance_px : float
    spacings_px : (k,) float64
        Distances from site to site along filaments, where the found points say on which they lie.
    """

    pooled: PointScores
    images: tuple[tuple[Path, Path, PointScores], ...]
    tolerance_px: float
    spacings_px: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON types."""
        return {
            "kind": "points",
            "tolerance_px": self.tolerance_px,
            "pooled": _numbers(self.pooled),
            "images": [
                {"predicted": str(found), "truth": str(true)} | _numbers(scores)
                for found, true, scores in self.images
            ],
            "spacings_px": np.round(self.spacings_px, 3).tolist(),
        }


def evaluate_points(
    predicted: Sequence[Path], truth: Sequence[Path], *, tolerance_px: float, spacing_px: float
) -> PointEvaluation:
    """Return how well points were found, paired by the micrograph that files are named after.

    Parameters
    ----------
    predicted, truth : sequence of Path
        Coordinate files with points.
    tolerance_px : float
        How far a found point may be from the true one it matches.
    spacing_px : float
        Known spacing along a filament: points much closer are one site.

    Raises
    ------
    CellsegError
        If files cannot be read or paired.
    """
    images, distances = [], [np.empty(0)]
    for path, true in _paired(predicted, truth):
        found = read_coordinates(path)
        scores = point_scores(found.points, read_coordinates(true).points, tolerance_px=tolerance_px)
        images.append((path, true, scores))
        if found.owners is not None and found.arcs_px is not None:
            distances.append(spacings(found.owners, found.arcs_px, spacing_px))
    pooled = sum((scores for _, _, scores in images), PointScores(0, 0, 0))
    return PointEvaluation(pooled, tuple(images), tolerance_px, np.concatenate(distances))


def _paired(predicted: Sequence[Path], truth: Sequence[Path]) -> list[tuple[Path, Path]]:
    if len(predicted) == len(truth) == 1:
        return [(predicted[0], truth[0])]
    true = {micrograph_stem(path): path for path in truth}
    found = {micrograph_stem(path): path for path in predicted}
    if found.keys() != true.keys() or len(found) != len(predicted) or len(true) != len(truth):
        lone = sorted(found.keys() ^ true.keys())
        raise CellsegError(
            f"{len(predicted)} found and {len(truth)} true files; no partner for {', '.join(lone) or 'some'}",
            "one of either for each micrograph, named after it",
            "name them like MIC_points.csv and MIC_troponin.csv",
        )
    return [(path, true[name]) for name, path in found.items()]


def _numbers(scores: PointScores) -> dict[str, Any]:
    names = ("found", "true", "matched", "precision", "recall", "f1")
    return {name: getattr(scores, name) for name in names}
