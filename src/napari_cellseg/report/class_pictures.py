"""Pictures for the report of a classifier, as PNG bytes: confusion, honesty of confidences, coverage."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLUE, GREY = "#0072b2", "#8a8f94"
FEWEST = 5
"""Cells in a bin of confidence from which it is part of the line."""

MOST_NUMBERS = 15
"""Classes up to which a matrix shows its numbers."""


def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Return a matrix of counts with their shares of each true class: rows are the truth.

    Parameters
    ----------
    confusion : (k, k)
        Cells by truth and label.
    classes : sequence of str
    """
    from matplotlib.figure import Figure

    counts = np.asarray(confusion, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(10.0, 2.6 + 0.75 * len(classes))
    figure = Figure(figsize=(side + 0.6, side), dpi=120, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("label given")
    axes.set_ylabel("truth")
    if len(classes) <= MOST_NUMBERS:
        _write_numbers(axes, counts, shares)
    return _png(figure)


def _write_numbers(axes: Any, counts: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    for row, col in np.ndindex(counts.shape):
        if counts[row, col]:
            color = "white" if shares[row, col] > 0.55 else "black"
            text = f"{counts[row, col]:.0f}\n{100 * shares[row, col]:.0f} %"
            axes.text(col, row, text, ha="center", va="center", color=color, fontsize=9)


def draw_honesty(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    coverages: Mapping[str, Mapping[str, Sequence[float]]],
) -> bytes:
    """Return calibration (left: accuracy against confidence) and coverage (right) of several systems.

    Parameters
    ----------
    curves, coverages : mapping of str
        By system: what `class_scores` has under ``"reliability"`` and ``"coverage"``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=120, layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], ":", color=GREY)
    styles = (("-", BLUE), ("--", GREY))
    for (name, curve), (style, color) in zip(curves.items(), styles, strict=False):
        enough = [place for place, cells in enumerate(curve["cells"]) if cells >= FEWEST]
        line = [[curve[key][place] for place in enough] for key in ("confidence", "accuracy")]
        left.plot(*line, style, color=color, label=name)
        largest = max(curve["cells"])
        areas = [100 * cells / largest for cells in curve["cells"]]
        left.scatter(curve["confidence"], curve["accuracy"], s=areas, color=color)
    for (name, curve), (style, color) in zip(coverages.items(), styles, strict=False):
        right.plot(curve["share"], curve["accuracy"], style, color=color, label=name)
    low = min(min(curve["accuracy"]) for curve in coverages.values())
    right.set_ylim(max(0.0, low - 0.05), 1.005)
    left.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    right.set(
        xlabel="share of the cells that get a label", ylabel="share of those that is right", xlim=(0, 1)
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return _png(figure)


def draw_class_curves(epochs: Sequence[Mapping[str, Any]]) -> bytes:
    """Return loss (left) and accuracy (right), of what is learned from and what is held out, by epoch."""
    from matplotlib.figure import Figure

    numbers = [record["epoch"] for record in epochs]
    figure = Figure(figsize=(9, 3.4), dpi=120, layout="constrained", facecolor="white")
    for axes, figure_name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, said, style in (("train", "learned from", "-"), ("validation", "held out", "--")):
            values = [record[f"{part}_{figure_name}"] for record in epochs]
            axes.plot(numbers, values, style, marker=".", label=said)
        best = [record["epoch"] for record in epochs if record["best"]]
        if best:
            axes.axvline(best[-1], color=GREY, linestyle=":", label="best epoch")
        axes.set_title(figure_name, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return _png(figure)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
