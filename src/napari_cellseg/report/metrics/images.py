"""All figures of one image."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.report.metrics.figures import Values, json_number, nested
from napari_cellseg.report.metrics.pixels import confusion_matrix, pixel_figures, scores_from
from napari_cellseg.report.metrics.probabilities import Counts, probability_counts, probability_figures
from napari_cellseg.report.metrics.thin import LENGTHS, thin_figures, thin_lengths


def image_scores(
    predicted: Any,
    truth: Any,
    classes: Classes,
    *,
    probabilities: Any = None,
    pixel_nm: float | None = None,
    tolerance_px: float | None = None,
    tolerance_nm: float | None = None,
    thin: Sequence[str] | None = None,
    filaments: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """Return all figures of one image as JSON types, and what they are made of.

    Pixels whose truth is 0 (not annotated) are left out everywhere. A figure that is not
    defined, because there is nothing to divide by, is None.

    Parameters
    ----------
    predicted, truth : (y, x) integer array
        Indices into `classes`; numpy, zarr or dask.
    classes : Classes
        What the indices mean.
    probabilities : (k, y, x), optional
        uint8 (255 stands for 1) or float from 0 to 1; channel k is the class with index k + 1.
    pixel_nm : float, optional
        Pixel size in nm.
    tolerance_px, tolerance_nm : float, optional
        How far a centreline may be off, one of the two; in nm it needs `pixel_nm`. By default
        half the width of the true structure, at least 1 px: it depends on the truth only.
    thin : sequence of str, optional
        Classes that are thin structures; by default all but background, none if empty.
    filaments : sequence of (n, 2), optional
        True paths (row, col) of the only thin class, such as `Simulated.filaments`.

    Returns
    -------
    dict
        The keys of `scores_from`; ``"calibration_error"``; in ``"classes"``, for each of them,
        ``"auroc"`` and ``"average_precision"``, and for thin ones ``"cl_dice"``,
        ``"centreline_precision"``, ``"centreline_recall"``, ``"centreline_f1"``,
        ``"gap_rate"``, ``"fragments_per_filament"``, the numbers ``"filaments"`` and
        ``"filaments_found"``, ``"tolerance_px"`` and ``"tolerance_nm"``. ``"counts"`` is what
        `pool_scores` adds up.

    Raises
    ------
    CellsegError
        If the arrays do not fit each other or the classes, nothing is annotated, or the
        tolerance or a name makes no sense.

    Examples
    --------
    >>> truth = np.ones((20, 40), np.uint8)
    >>> truth[9:12, 5:35] = 2
    >>> scores = image_scores(np.roll(truth, 1, axis=0), truth, Classes.of("filament"))
    >>> figures = scores["classes"]["filament"]
    >>> round(figures["f1"], 3), figures["centreline_f1"], figures["fragments_per_filament"]
    (0.667, 1.0, 1.0)
    """
    names = _thin_names(thin, filaments, classes)
    tolerance_px = _tolerance_px(tolerance_px, tolerance_nm, pixel_nm)
    counts: Counts = {("confusion",): confusion_matrix(predicted, truth, classes)}
    if probabilities is not None:
        counts |= probability_counts(probabilities, truth, classes)
    tolerances = {}
    if names:
        predicted, truth = np.asarray(predicted), np.asarray(truth)
    for name in names:
        index = classes.index(name)
        lengths, tolerances[name] = thin_lengths(
            predicted == index, truth == index, truth != 0, tolerance_px=tolerance_px, filaments=filaments
        )
        counts["thin", name] = np.array([lengths[key] for key in LENGTHS], np.float64)
    scores = scores_of(counts, classes)
    for name, tolerance in tolerances.items():
        in_nm = None if tolerance is None or pixel_nm is None else tolerance * pixel_nm
        scores["classes"][name] |= {"tolerance_px": tolerance, "tolerance_nm": in_nm}
    summed = {("names",): list(classes.names[1:])} | {
        place: table.tolist() for place, table in counts.items()
    }
    return scores | {"counts": nested(summed)}


def scores_of(counts: Counts, classes: Classes) -> dict[str, Any]:
    """Return the figures of the counts of an image, or of a sum of them, as JSON types."""
    scores = scores_from(counts["confusion",], classes)
    scores["calibration_error"] = None
    for figures in scores["classes"].values():
        figures |= {"auroc": None, "average_precision": None}
    one = {place: table[np.newaxis] for place, table in counts.items()}
    for (*parents, key), value in (probability_figures(one) | _thin(one)).items():
        node = scores
        for step in parents:
            node = node[step]
        node[key] = json_number(value[0])
    for place, table in counts.items():
        if place[0] == "thin":
            numbers = dict(zip(LENGTHS, table.tolist(), strict=True))
            scores["classes"][place[1]] |= {
                key: int(numbers[key]) for key in ("filaments", "filaments_found")
            }
    return scores


def all_figures(counts: Counts, classes: Classes) -> Values:
    """Return all figures of counts with a leading axis (r, ...), as arrays (r,)."""
    return pixel_figures(counts["confusion",], classes) | probability_figures(counts) | _thin(counts)


def _thin(counts: Counts) -> Values:
    return {
        ("classes", place[1], key): values
        for place, table in counts.items()
        if place[0] == "thin"
        for key, values in thin_figures(dict(zip(LENGTHS, table.T, strict=True))).items()
    }


def _thin_names(
    thin: Sequence[str] | None, filaments: Sequence[Any] | None, classes: Classes
) -> tuple[str, ...]:
    names = classes.targets if thin is None else tuple(thin)
    unknown = [name for name in names if name not in classes.targets]
    if unknown:
        raise CellsegError(f"no class '{unknown[0]}' to measure", f"some of {', '.join(classes.targets)}")
    if filaments is not None and len(names) != 1:
        raise CellsegError(
            f"true paths for {len(names)} thin classes", "one", "name the class they belong to"
        )
    return names


def _tolerance_px(in_px: float | None, in_nm: float | None, pixel_nm: float | None) -> float | None:
    if in_px is not None and in_nm is not None:
        raise CellsegError("a tolerance in px and one in nm", "one of them")
    if in_nm is not None:
        if pixel_nm is None:
            raise CellsegError("a tolerance in nm without a pixel size", remedy="give the pixel size too")
        in_px = in_nm / pixel_nm
    if in_px is not None and not (math.isfinite(in_px) and in_px >= 0):
        raise CellsegError(f"a tolerance of {in_px:g} px", "0 or more")
    return in_px
