"""Pictures for reports, as PNG or JPEG bytes; no plotting state is kept.

Colours tell apart for the colour-blind: right blue, missed yellow, added red-purple.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RIGHT, MISSED, ADDED = "#56b4e9", "#f0e442", "#cc3370"


def _rgba(color: str) -> tuple[float, float, float, float]:
    """Return red, green, blue, alpha in 0..1 of '#rrggbb' or '#rrggbbaa'."""
    digits = color.lstrip("#").ljust(8, "f")
    red, green, blue, alpha = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4, 6))
    return red, green, blue, alpha


def shrink(plane: NDArray[np.generic], side_px: int) -> NDArray[np.float32]:
    """Return `plane` averaged down by a whole factor until it fits `side_px`.

    Parameters
    ----------
    plane : (y, x)
        A plane of numbers; what is not finite counts as the median of the rest.
    side_px : int
        The longer side of the result is at most this.

    Examples
    --------
    >>> shrink(np.array([[0, 2], [4, 6]]), 1)
    array([[3.]], dtype=float32)
    """
    factor = max(1, -(-max(plane.shape) // side_px))
    rows, cols = (max(1, length // factor) for length in plane.shape)
    step_row, step_col = (min(factor, length) for length in plane.shape)
    data = np.asarray(plane[: rows * step_row, : cols * step_col], np.float32)
    finite = np.isfinite(data)
    if not finite.all():
        data = np.where(finite, data, np.median(data[finite]) if finite.any() else 0)
    small: NDArray[np.float32] = data.reshape(rows, step_row, cols, step_col).mean((1, 3), dtype=np.float32)
    return small


def stretched(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the plane in 0..1, the darkest and brightest 0.5 % cut off."""
    low, high = np.percentile(plane, (0.5, 99.5))
    if high <= low:
        return np.full(plane.shape, 0.5, np.float32)
    grey: NDArray[np.float32] = np.clip((plane - low) / (high - low), 0, 1).astype(np.float32)
    return grey


def _encoded(rgb: NDArray[np.float32], kind: str) -> bytes:
    from PIL import Image as Picture

    buffer = io.BytesIO()
    picture = Picture.fromarray((rgb * 255 + 0.5).astype(np.uint8))
    picture.save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {"optimize": True}))
    return buffer.getvalue()


def draw_image(plane: NDArray[np.generic], *, side_px: int = 900) -> bytes:
    """Return a JPEG of the plane (y, x) in greys, stretched between its 0.5 and 99.5 percentiles."""
    grey = stretched(shrink(plane, side_px))
    return _encoded(np.repeat(grey[..., None], 3, axis=2), "JPEG")


def draw_labels(labels: NDArray[np.integer], colors: Sequence[str], *, side_px: int = 900) -> bytes:
    """Return a PNG of the labels on black, each in its colour.

    Parameters
    ----------
    labels : (y, x), integer
        Annotation indices; 0 (not annotated) and 1 (background) stay dark.
    colors : sequence of str
        '#rrggbb' of index 0, 1, 2, ...
    """
    factor_shape = shrink(labels, side_px).shape
    rgb = np.zeros((*factor_shape, 3), np.float32)
    rgb += np.float32(0.08) * shrink(labels == 1, side_px)[..., None]
    for index in range(2, len(colors)):
        share = shrink(labels == index, side_px)[..., None]
        rgb = rgb * (1 - share) + np.array(_rgba(colors[index])[:3], np.float32) * share
    return _encoded(np.clip(rgb, 0, 1), "PNG")


def draw_strokes(
    plane: NDArray[np.generic], labels: NDArray[np.integer], colors: Sequence[str], *, side_px: int = 900
) -> bytes:
    """Return a JPEG of the plane with the annotation over it; background strokes in white."""
    strokes = [(labels == 1, "#ffffff")]
    strokes += [(labels == index, colors[index]) for index in range(2, len(colors))]
    return _painted(plane, strokes, 0.6, side_px)


def draw_differences(
    plane: NDArray[np.generic],
    predicted: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    *,
    side_px: int = 900,
) -> bytes:
    """Return a JPEG of the plane with what is right, missed and added painted over it.

    Parameters
    ----------
    plane : (y, x)
        The image.
    predicted, truth : (y, x), bool
        One class.
    """
    parts = [
        (predicted & truth, RIGHT),
        (truth & ~predicted, MISSED),
        (predicted & ~truth, ADDED),
    ]
    return _painted(plane, parts, 0.65, side_px)


def _painted(
    plane: NDArray[np.generic], parts: Sequence[tuple[NDArray[np.bool_], str]], opacity: float, side_px: int
) -> bytes:
    rgb = np.repeat(stretched(shrink(plane, side_px))[..., None], 3, axis=2)
    for chosen, color in parts:
        share = opacity * shrink(chosen, side_px)[..., None]
        rgb = rgb * (1 - share) + np.array(_rgba(color)[:3], np.float32) * share
    return _encoded(rgb, "JPEG")


def draw_spacings(spacings_nm: NDArray[np.float64], expected_nm: float) -> bytes:
    """Return a PNG of how often sites lie how far apart along filaments, with the known spacing.

    Parameters
    ----------
    spacings_nm : (k,)
        Distances from each site to the next; those beyond four spacings are counted in the title.
    expected_nm : float
        The known spacing; a line marks it, dotted ones its multiples.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), dpi=130, layout="constrained", facecolor="white")
    axes = figure.subplots()
    farthest = 4 * expected_nm
    shown = spacings_nm[spacings_nm <= farthest]
    axes.hist(shown, list(np.linspace(0, farthest, 4 * 16 + 1)), color=RIGHT)
    for many in (1, 2, 3):
        axes.axvline(many * expected_nm, color=ADDED, linestyle="-" if many == 1 else ":")
    median = f", median {np.median(spacings_nm):.1f} nm" if len(spacings_nm) else ""
    far = len(spacings_nm) - len(shown)
    beyond = f", {far} further apart" if far else ""
    axes.set_title(f"{len(spacings_nm)} spacings{median}{beyond}", loc="left", fontsize=11)
    axes.set_xlabel("from a site to the next along the filament (nm)")
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def draw_curves(
    epochs: Sequence[int],
    losses: dict[str, Sequence[float]],
    scores: dict[str, Sequence[float]],
) -> bytes:
    """Return a PNG of losses (left) and validation scores (right) over the epochs.

    Parameters
    ----------
    epochs : sequence of int
        Epoch numbers, one per value of every curve.
    losses, scores : dict of name to values
        The curves; scores are drawn between 0 and 1.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), dpi=130, layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    styles = ("-", "--", ":", "-.")
    for axes, curves, title in ((left, losses, "loss"), (right, scores, "Dice on what was held out")):
        for number, (name, values) in enumerate(curves.items()):
            axes.plot(epochs, values, styles[number % len(styles)], marker=".", label=name)
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if curves:
            axes.legend(frameon=False)
    right.set_ylim(0, 1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
