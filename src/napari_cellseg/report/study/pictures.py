"""The pictures of a study: the ranking, the same place seen by every system, curves."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_cellseg.formats.masks import read_mask
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.report.figures import stretched
from napari_cellseg.report.study.errors import ERRORS, error_plane
from napari_cellseg.report.study.results import RANKED_BY, StudyReport, SystemResult
from napari_cellseg.report.study.words import alike

SIDE_PX = 448  # of the part of an image that is shown
OPACITY = 0.6
PANEL = 2.9  # inches
INK, SOFT = "#0b62a8", "#8a949e"

Pixels = NDArray[np.float32]


class View:
    """A part of a tested image, with the truth and what systems made of it.

    Parameters
    ----------
    report : StudyReport
    name : str
        Name of the image; shown is where most of what was looked for lies.
    """

    def __init__(self, report: StudyReport, name: str) -> None:
        self.report, self.name, self.sample = report, name, report.sample(name)
        labels = self.sample.truth()
        self.place = busiest(labels > 1, SIDE_PX)
        self.truth = labels[self.place]
        image = read_image(self.sample.image).read(*self.place).astype(np.float32)
        self.grey: Pixels = np.repeat(stretched(image.mean(0))[..., None], 3, axis=2)

    def image(self) -> Pixels:
        """Return the image (y, x, 3) in greys from 0 to 1."""
        return self.grey

    def labels(self, labels: NDArray[np.integer]) -> Pixels:
        """Return the image with labels (y, x) in the colours of their classes."""
        return self._painted(labels, self.report.classes.colors[2:], first=2)

    def predicted(self, system: str) -> NDArray[Any]:
        """Return what a system found here, as annotation indices (y, x)."""
        plane: NDArray[Any] = read_mask(self.report.labels_file(system, self.name))[self.place]
        return plane

    def errors(self, system: str) -> Pixels:
        """Return the image with what a system found, missed and added, in the colours of `ERRORS`."""
        return self._painted(error_plane(self.predicted(system), self.truth), tuple(ERRORS.values()), first=1)

    def _painted(self, labels: NDArray[np.integer], colors: Sequence[str], *, first: int) -> Pixels:
        painted = self.grey.copy()
        for index, color in enumerate(colors, start=first):
            rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)
            chosen = labels == index
            painted[chosen] = (1 - OPACITY) * painted[chosen] + OPACITY * rgb
        return painted


def busiest(mask: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    """Return the rows and columns of the square of this side that holds most of a mask.

    Examples
    --------
    >>> mask = np.zeros((6, 8), bool)
    >>> mask[4:, 5:] = True
    >>> busiest(mask, 3)
    (slice(3, 6, None), slice(5, 8, None))
    """
    sides = [min(side, length) for length in mask.shape]
    inside = tuple(slice(0, length - own + 1) for own, length in zip(sides, mask.shape, strict=True))
    shares = mask.astype(np.float32)
    for axis, own in enumerate(sides):
        shares = ndimage.uniform_filter1d(shares, own, axis=axis, origin=-(own // 2), mode="constant")
    row, col = np.unravel_index(int(shares[inside].argmax()), shares[inside].shape)
    return slice(int(row), int(row) + sides[0]), slice(int(col), int(col) + sides[1])


def draw_panels(panels: Sequence[tuple[str, Pixels]], columns: int) -> bytes:
    """Return a JPEG of titled pictures in rows of so many columns."""
    rows = -(-len(panels) // columns)
    tallest = max(pixels.shape[0] / pixels.shape[1] for _, pixels in panels)
    figure = _figure(PANEL * columns, (PANEL * tallest + 0.27) * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, (title, pixels) in zip(grid, panels, strict=False):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_title(title, fontsize=9, loc="left", pad=3)
    return _encoded(figure, "jpeg")


@dataclass(frozen=True)
class Ranked:
    """A system in the picture of a ranking: its figure, the interval, and whether it is drawn strongly."""

    name: str
    value: float | None
    interval: Sequence[float] | None
    strong: bool


def draw_ranking(report: StudyReport) -> bytes:
    """Return a PNG of the figure ranked by with intervals, a line a system.

    Those that cannot be told apart from the best are drawn as strongly as it.
    """
    strong = {report.ranked[0].name, *alike(report, report.ranked[0])}
    rows = [
        Ranked(one.name, one.pooled[RANKED_BY], one.pooled["intervals"][RANKED_BY], one.name in strong)
        for one in report.ranked
        if one.pooled is not None
    ]
    return draw_ranked(rows, "mean F1 on the tested images (line: 95 % interval)")


def draw_ranked(rows: Sequence[Ranked], title: str) -> bytes:
    """Return a PNG with a line for each system, the best above; `title` says what the figure is."""
    figure = _figure(9, 1.1 + 0.34 * len(rows))
    axes = figure.subplots()
    for row, system in enumerate(rows):
        color = INK if system.strong else SOFT
        if system.interval is not None:
            axes.plot(system.interval, [row, row], color=color, linewidth=2.5, solid_capstyle="butt")
        if system.value is not None:
            axes.plot([system.value], [row], "o", color=color, markersize=7)
    axes.set_yticks(range(len(rows)), [f"{rank}  {one.name}" for rank, one in enumerate(rows, start=1)])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(title)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return _encoded(figure, "png")


def draw_training(system: SystemResult) -> bytes:
    """Return a PNG of the losses, accuracies and the Dice over the epochs; a thin line each trial."""
    figure = _figure(9, 3.0)
    left, right = figure.subplots(1, 2)
    curves = (
        (left, "train_loss", "training", "-", INK),
        (left, "validation_loss", "validation", "--", "#d55e00"),
        (right, "train_accuracy", "accuracy, training", "-", INK),
        (right, "validation_accuracy", "accuracy, validation", "--", "#d55e00"),
        (right, "score", "Dice, validation", ":", "#009e73"),
    )
    trainings = [one.training for one in system.outcomes if one.training]
    for axes, key, label, style, color in curves:
        for training in trainings:
            known = [(epoch["epoch"], epoch.get(key)) for epoch in training.epochs]
            points = [(epoch, value) for epoch, value in known if value is not None]
            if points:
                named = "" if training is not trainings[0] else label  # one entry in the legend
                axes.plot(*zip(*points, strict=True), style, color=color, marker=".", label=named)
    for axes, title in ((left, "loss"), (right, "accuracy and Dice")):
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    right.set_ylim(0, 1.02)
    return _encoded(figure, "png")


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")


def _encoded(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **({"pil_kwargs": {"quality": 85}} if kind == "jpeg" else {}))
    return buffer.getvalue()
