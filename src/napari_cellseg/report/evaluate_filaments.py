"""Filaments in coordinate files against true ones: whole ones, fragments, how far they are off."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import READERS, micrograph_stem, read_coordinates
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.report.metrics.filaments import FilamentScores, filament_scores


@dataclass(frozen=True)
class FilamentEvaluation:
    """Scores of traced filaments.

    Attributes
    ----------
    pooled : dict
        Figures over all micrographs.
    images : tuple of dict
        Those of each, with the files.
    tolerance_px : float
    """

    pooled: dict[str, Any]
    images: tuple[dict[str, Any], ...]
    tolerance_px: float

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON types."""
        return {
            "kind": "filaments",
            "tolerance_px": self.tolerance_px,
            "pooled": self.pooled,
            "images": list(self.images),
        }


def is_coordinates(path: str | Path) -> bool:
    """Return whether a file is named like one of coordinates.

    Examples
    --------
    >>> is_coordinates("m1_autopick.star"), is_coordinates("m1_labels.tif")
    (True, False)
    """
    return str(path).lower().endswith(tuple(end for reader in READERS.values() for end in reader.suffixes))


def evaluate_filaments(
    predicted: Sequence[Path], truth: Sequence[Path], *, tolerance_px: float | None = None
) -> FilamentEvaluation:
    """Return how well filaments were traced, file by file and over all.

    Parameters
    ----------
    predicted, truth : sequence of Path
        Coordinate files in the same frame, paired by the micrograph they are named after; one of
        each is a pair.
    tolerance_px : float, optional
        How far a path may lie from the true one; by default half the width of the true filaments,
        or of the traced ones where those have none.

    Raises
    ------
    CellsegError
        If files cannot be paired or read, or nothing says how wide filaments are.
    """
    pairs = _paired(predicted, truth)
    read = [
        (read_coordinates(one, flip_y="no"), read_coordinates(other, flip_y="no")) for one, other in pairs
    ]
    if tolerance_px is None:
        tolerance_px = _half_width([true for _, true in read]) or _half_width([found for found, _ in read])
    if tolerance_px is None:
        raise CellsegError("filaments without a width", "a tolerance", "give it with --tolerance-px")
    scores = [
        filament_scores(found.filaments, true.filaments, tolerance_px=tolerance_px) for found, true in read
    ]
    images = [
        {"predicted": str(one), "truth": str(other)} | _figures([score])
        for (one, other), score in zip(pairs, scores, strict=True)
    ]
    return FilamentEvaluation(_figures(scores), tuple(images), tolerance_px)


def _paired(predicted: Sequence[Path], truth: Sequence[Path]) -> list[tuple[Path, Path]]:
    if len(predicted) == len(truth) == 1:
        return [(predicted[0], truth[0])]
    wanted = {micrograph_stem(path): path for path in truth}
    missing = [path.name for path in predicted if micrograph_stem(path) not in wanted]
    if missing:
        raise CellsegError(f"no truth for {', '.join(missing)}", "files named after the same micrographs")
    return [(path, wanted[micrograph_stem(path)]) for path in predicted]


def _half_width(many: Sequence[Coordinates]) -> float | None:
    widths = [one.width_px for coordinates in many for one in coordinates.filaments if one.width_px]
    return float(np.median(widths)) / 2 if widths else None


def _figures(scores: Sequence[FilamentScores]) -> dict[str, Any]:
    filaments, whole = sum(s.filaments for s in scores), sum(s.whole for s in scores)
    seen, pieces = sum(s.seen for s in scores), sum(s.pieces for s in scores)
    errors = np.concatenate([np.empty(0), *(s.error_px for s in scores)])
    return {
        "filaments": filaments,
        "traced": sum(s.traced for s in scores),
        "whole": whole,
        "whole_share": whole / filaments if filaments else None,
        "fragments_per_filament": pieces / seen if seen else None,
        "spurious": sum(s.spurious for s in scores),
        "median_error_px": float(np.median(errors)) if len(errors) else None,
    }
