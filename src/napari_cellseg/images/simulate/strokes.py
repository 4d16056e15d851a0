"""Strokes of a round brush: exact masks of filaments, and labels as a person draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from napari_cellseg.images.simulate.simulated import Simulated


def paint_stroke(plane: NDArray[Any], path: NDArray[np.float64], radius_px: float, value: int = 1) -> None:
    """Set the pixels whose centre lies within `radius_px` of a path, in place.

    Parameters
    ----------
    plane : (y, x)
        Where to paint.
    path : (n, 2)
        Corners (row, col) of a polyline; may leave the plane. One point gives a disk.
    radius_px : float
        Half the width of the stroke.
    value : int
        What to paint.

    Examples
    --------
    >>> plane = np.zeros((3, 6), np.uint8)
    >>> paint_stroke(plane, np.array([[1.0, 1.0], [1.0, 4.0]]), 1.0)
    >>> plane
    array([[0, 1, 1, 1, 1, 0],
           [1, 1, 1, 1, 1, 1],
           [0, 1, 1, 1, 1, 0]], dtype=uint8)
    """
    if len(path) == 0:
        return
    ends = path[1:] if len(path) > 1 else path
    for (row0, col0), (row1, col1) in zip(path[: len(ends)], ends, strict=True):
        top = max(int(np.ceil(min(row0, row1) - radius_px)), 0)
        left = max(int(np.ceil(min(col0, col1) - radius_px)), 0)
        bottom = min(int(np.floor(max(row0, row1) + radius_px)) + 1, plane.shape[0])
        right = min(int(np.floor(max(col0, col1) + radius_px)) + 1, plane.shape[1])
        if top >= bottom or left >= right:
            continue
        rows = np.arange(top, bottom)[:, None] - row0
        cols = np.arange(left, right)[None, :] - col0
        height, width = row1 - row0, col1 - col0
        length2 = height**2 + width**2
        along = np.clip((rows * height + cols * width) / length2, 0, 1) if length2 else np.zeros((1, 1))
        near = (rows - along * height) ** 2 + (cols - along * width) ** 2 <= radius_px**2
        plane[top:bottom, left:right][near] = value


def shifted(path: NDArray[np.float64], offset_px: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Path moved sideways, to its left when looking along it with rows pointing down.

    Examples
    --------
    >>> shifted(np.array([[5.0, 0.0], [5.0, 8.0]]), 2.0)
    array([[3., 0.],
           [3., 8.]])
    """
    if len(path) < 2:
        return path
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return np.asarray(path + normal * np.broadcast_to(offset_px, len(path))[:, None], np.float64)


def sparse_annotation(simulated: Simulated, seed: int = 0, *, share: float = 0.3) -> NDArray[np.uint8]:
    """Labels as a person in a hurry draws them: a few strokes on filaments and beside them.

    A stroke on a filament follows a part of it with a slightly unsteady round brush,
    narrower than the filament; every such stroke has one of background beside it, and some
    scribbles run through the open ground. No stroke crosses the true border: the person
    is taken to lift the brush there.

    Parameters
    ----------
    simulated : Simulated
        A micrograph with its truth.
    seed : int
        The person: the same seed draws the same strokes.
    share : float
        Share of the filaments' whole length that is drawn over, 0 to 1.

    Returns
    -------
    (y, x) uint8
        0 = not annotated, 1 = background, 2 = filament. Both classes occur wherever the
        truth has them.

    Examples
    --------
    >>> from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph
    >>> simulated = simulate_micrograph(1, settings=SimulateSettings(shape=(96, 128), pixel_nm=1.0))
    >>> np.unique(sparse_annotation(simulated)).tolist()
    [0, 1, 2]
    """
    rng = np.random.default_rng([seed, 7])
    truth = simulated.mask
    width = simulated.settings.width_nm / simulated.pixel_nm
    drawn = np.zeros(truth.shape, np.uint8)
    beside = np.zeros(truth.shape, np.uint8)
    for part in _parts(simulated.filaments, share, 12 * width, rng):
        paint_stroke(drawn, shifted(part, _unsteady(len(part), 0.06 * width, rng)), 0.36 * width, 2)
        side = rng.choice([-1.0, 1.0]) * rng.uniform(1.15, 1.8) * width
        paint_stroke(beside, shifted(part, side + _unsteady(len(part), 0.1 * width, rng)), 0.5 * width)
    for _ in range(4):
        paint_stroke(beside, _scribble(truth.shape, 14 * width, rng), 0.6 * width)
    drawn[truth != 2] = 0
    drawn[(beside == 1) & (truth == 1)] = 1
    for label in (1, 2):  # tiny fields: a dab where no stroke fell
        if not (drawn == label).any() and (truth == label).any():
            spots = np.argwhere(truth == label)
            dab = np.zeros_like(drawn)
            paint_stroke(dab, spots[rng.integers(len(spots))][None].astype(float), 0.36 * width)
            drawn[(dab == 1) & (truth == label)] = label
    return drawn


def _parts(
    paths: tuple[NDArray[np.float64], ...], share: float, stroke_px: float, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Pieces of some of the paths, together about `share` of their length."""
    lengths = [float(np.hypot(*np.diff(path, axis=0).T).sum()) for path in paths]
    wanted, parts = share * sum(lengths), []
    order = rng.permutation(len(paths))
    starts = {int(index): 0.0 for index in order}
    while wanted > 0 and starts:
        for index in list(starts):
            if wanted <= 0:
                break
            path, length, begin = paths[index], lengths[index], starts[index]
            end = min(begin + stroke_px * rng.uniform(0.6, 1.4), length)
            travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
            at = np.linspace(begin, end, max(int((end - begin) / 8), 2))
            parts.append(np.stack([np.interp(at, travelled, path[:, axis]) for axis in (0, 1)], axis=1))
            wanted -= end - begin
            starts[index] = end + stroke_px * rng.uniform(0.2, 0.6)
            if starts[index] >= length:
                del starts[index]
    return parts


def _unsteady(count: int, size_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth sideways wander of a hand, in pixels, for points about 8 px apart."""
    wander = ndimage.gaussian_filter1d(rng.standard_normal(count + 24), 6.0)[12 : 12 + count]
    return np.asarray(wander * (size_px * 4.6), np.float64)  # 4.6: the filter leaves 1/4.6 of the spread


def _scribble(shape: tuple[int, ...], length_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a wavy line somewhere in the field."""
    at = np.linspace(-0.5, 0.5, 48)
    angle, waves = rng.uniform(0, 2 * np.pi), rng.uniform(1, 3)
    side = 0.08 * np.sin(2 * np.pi * waves * at)
    unit = np.array([np.sin(angle), np.cos(angle)])
    line = at[:, None] * unit + side[:, None] * unit[::-1] * [1, -1]
    return np.asarray(rng.uniform(0, 1, 2) * np.asarray(shape) + line * length_px, np.float64)
