"""Filaments traced in probabilities or labels: `trace`, `TRACERS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.baselines import hough_lines, skeleton_branches
from napari_cellseg.objects.brightness import LEAST_PROBABILITY, end_levels
from napari_cellseg.objects.centrelines import Centreline, centrelines_of
from napari_cellseg.objects.edges import with_edges
from napari_cellseg.objects.orientation import Orientation
from napari_cellseg.objects.pairing import Ends, chains_of, pair_ends
from napari_cellseg.objects.profiles import sampled
from napari_cellseg.objects.segments import segments_of
from napari_cellseg.objects.settings import TraceSettings
from napari_cellseg.objects.skeleton import mean_width, skeleton_graph

DEFAULTS = TraceSettings()
SHORTEST_WIDTHS = 2.5  # where no least length is given
THICKEST_SHARE = 0.25  # of the shorter side of the image: what is wider is no filament


def trace(
    plane: Any,
    *,
    image: NDArray[Any] | None = None,
    pixel_nm: float | None = None,
    excluded: NDArray[np.bool_] | None = None,
    settings: TraceSettings = DEFAULTS,
) -> list[Filament]:
    """Return the filaments in probabilities or labels, the longest first.

    Turning or mirroring the plane turns or mirrors the filaments and changes nothing else.

    Parameters
    ----------
    plane : (y, x)
        Probabilities of the filament class, floats from 0 to 1; or labels, integers as in an
        annotation, of which `settings.label` is the filament; or a mask, bool. What is no number
        counts as background.
    image : (y, x), optional
        What the filaments are seen in: where directions leave open how they go on, those go
        together that are equally bright. Without it probabilities serve.
    pixel_nm : float, optional
        Pixel size, for settings in nm.
    excluded : (y, x) bool, optional
        Where nothing is traced: carbon, ice.
    settings : TraceSettings

    Returns
    -------
    list of Filament
        Their score is the mean probability along the centreline; of labels, the share of it on
        the class. A ring ends where it begins.

    Raises
    ------
    CellsegError
        If the plane has another shape or other values, the tracer is unknown, or a length is in
        nm and the pixel size unknown.

    Examples
    --------
    >>> mask = np.zeros((40, 120), bool)
    >>> mask[18:23, 10:110] = True
    >>> (filament,) = trace(mask)
    >>> sorted(filament.ends.round().tolist()), round(filament.width_px, 1)
    ([[20.0, 10.0], [20.0, 109.0]], 5.0)
    """
    tracer = TRACERS.get(settings.tracer)
    if tracer is None:
        raise CellsegError(f"no tracer '{settings.tracer}'", f"one of {', '.join(TRACERS)}")
    likely = _likely(plane, settings.label)
    for name, other in (("an exclusion", excluded), ("an image", image)):
        if other is not None and other.shape != likely.shape:
            raise CellsegError(f"{name} of shape {other.shape}", f"{likely.shape} as the plane")
    width_px = settings.pixels("width", pixel_nm) or mean_width(likely >= settings.threshold)
    if not 0 < width_px < THICKEST_SHARE * min(likely.shape):
        return []
    gap_px = settings.pixels("gap", pixel_nm)
    orientation = Orientation.of(likely)
    lines = tracer.trace(
        orientation.turned(likely),
        settings.threshold,
        width_px=width_px,
        gap_px=width_px if gap_px is None else gap_px,
        image=None if image is None else orientation.turned(np.nan_to_num(image, posinf=0, neginf=0)),
    )
    filaments = []
    for line in lines:
        path = orientation.points_back(line.path)
        score = float(np.clip(sampled(likely, path).mean(), 0, 1))
        filaments.append(Filament(path, 0, line.width_px, score))
    return _chosen(filaments, likely.shape, pixel_nm, excluded, settings, width_px)


def instance_labels(filaments: Sequence[Filament], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return a plane with the id of each filament over its width; 0 = none.

    Where filaments cross, the one with the higher score lies on top; of equal ones the longer.

    Parameters
    ----------
    filaments : sequence of Filament
        With their widths.
    shape : (y, x)

    Examples
    --------
    >>> instance_labels([Filament([[1, 0], [1, 5]], id=7, width_px=1)], (3, 6))[:, 2]
    array([0, 7, 0], dtype=int32)
    """
    from napari_cellseg.images.simulate.strokes import paint_stroke

    labels = np.zeros(shape, np.int32)
    for filament in sorted(filaments, key=lambda one: (one.score or 0.0, one.length_px)):
        paint_stroke(labels, filament.path, (filament.width_px or 1.0) / 2, filament.id)
    return labels


def pair_and_trace(
    plane: NDArray[Any],
    threshold: float,
    *,
    width_px: float,
    gap_px: float,
    image: NDArray[Any] | None = None,
) -> list[Centreline]:
    """Return centrelines that go on through crossings; see `objects.pairing`."""
    skeleton = skeleton_graph(plane, threshold, width_px)
    segments = segments_of(skeleton, plane, threshold)
    if not segments:
        return []
    segments, tips = with_edges(segments, skeleton.means, skeleton.reduction, threshold)
    seen_in = plane if image is None and plane.dtype != bool else image
    level = None if seen_in is None else end_levels(segments, seen_in)
    ends = Ends.of(segments, tips, level)
    least = LEAST_PROBABILITY if image is None else 0.0
    pairs = pair_ends(ends, segments, plane, threshold, gap_px=gap_px, least_level=least)
    chains = chains_of(segments, ends, pairs)
    return centrelines_of(chains, segments, plane, threshold)


def _likely(plane: Any, label: int) -> NDArray[Any]:
    """Return the plane as a mask, or as probabilities without holes."""
    plane = np.asarray(plane)
    if plane.ndim != 2 or 0 in plane.shape:
        raise CellsegError(f"a plane of shape {plane.shape}", "(y, x)")
    if plane.dtype == bool:
        return np.asarray(plane, np.bool_)
    if np.issubdtype(plane.dtype, np.integer):
        return np.asarray(plane == label)
    if not np.issubdtype(plane.dtype, np.floating):
        raise CellsegError(f"a plane of {plane.dtype}", "probabilities, labels or a mask")
    likely = np.nan_to_num(plane.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    if likely.min() < -1e-3 or likely.max() > 1 + 1e-3:
        raise CellsegError(
            f"values from {likely.min():g} to {likely.max():g}", "probabilities from 0 to 1", "scale them"
        )
    return np.asarray(likely)


def _chosen(
    filaments: list[Filament],
    shape: tuple[int, int],
    pixel_nm: float | None,
    excluded: NDArray[np.bool_] | None,
    settings: TraceSettings,
    width_px: float,
) -> list[Filament]:
    """Return what is left of the filaments under the settings, numbered from the longest on."""
    shortest = settings.pixels("min_length", pixel_nm)
    shortest = SHORTEST_WIDTHS * width_px if shortest is None else shortest
    radius, edge = settings.pixels("min_radius", pixel_nm), settings.pixels("edge", pixel_nm)
    kept = []
    for filament in filaments:
        for part in _allowed_parts(filament, shape, edge or 0.0, excluded):
            if part.length_px >= shortest and not (radius and _tightest_px(part) < radius):
                kept.append(part)
    kept.sort(key=lambda one: -one.length_px)
    return [replace(one, id=number) for number, one in enumerate(kept, start=1)]


def _allowed_parts(
    filament: Filament, shape: tuple[int, int], edge_px: float, excluded: NDArray[np.bool_] | None
) -> list[Filament]:
    """Return the stretches of a filament within the field and out of what is excluded."""
    path = filament.path
    last = np.array(shape) - 1.0
    allowed: NDArray[np.bool_] = np.all((path >= edge_px - 0.5) & (path <= last - edge_px + 0.5), axis=1)
    if excluded is not None:
        rows, cols = np.rint(path).astype(np.intp).clip(0, last.astype(np.intp)).T
        allowed &= ~excluded[rows, cols]
    if allowed.all():
        return [filament]
    if (path[0] == path[-1]).all():  # a ring is cut open where it may not be
        start = int(np.argmin(allowed))
        path, allowed = np.roll(path[:-1], -start, axis=0), np.roll(allowed[:-1], -start)
    change = np.flatnonzero(np.diff(np.r_[False, allowed, False])).reshape(-1, 2)
    return [replace(filament, path=path[first:stop]) for first, stop in change if stop - first > 1]


def _tightest_px(filament: Filament) -> float:
    """Return the radius of the tightest bend."""
    places = np.linspace(0, filament.length_px, max(3, len(filament.path)))
    return 1 / max(float(np.abs(filament.curvature(places)).max()), 1e-12)


@dataclass(frozen=True)
class Tracer:
    """A way of tracing.

    Attributes
    ----------
    trace : callable
        ``trace(plane, threshold, width_px=, gap_px=, image=) -> [Centreline]``; the plane (y, x) is a
        mask or probabilities, the image (y, x) or None.
    description : str
        One line for lists and forms.
    """

    trace: Callable[..., list[Centreline]]
    description: str


TRACERS: dict[str, Tracer] = {
    "pairing": Tracer(
        pair_and_trace,
        "through crossings: ends are paired by direction, bend, width and brightness; smooth, sub-pixel",
    ),
    "skeleton": Tracer(skeleton_branches, "branches of the skeleton, to compare with: crossings end them"),
    "hough": Tracer(hough_lines, "straight lines by a Hough transform, to compare with"),
}
