"""Naming cells with a trained network, a batch at a time: the next is read while one is run."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops, LeftOut, fit_crop
from napari_cellseg.images.crops.measure import measure_crop
from napari_cellseg.images.whole_files import replace_whole, write_whole
from napari_cellseg.nets.backends import autocast, keep_freed_memory, pick_device, pick_precision
from napari_cellseg.nets.classifier_spec import UNCLASSIFIED, Classifier, ClassifierSpec
from napari_cellseg.nets.confidence import labels_of, softmax
from napari_cellseg.settings import ClassifySettings

AHEAD = 3
"""Batches that are read before they are needed."""

Forward = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]
"""Pictures ``(n, c, y, x)`` and what is told beside them ``(n, m)`` -> probabilities ``(n, class)``."""


@dataclass(frozen=True, eq=False)
class Classified:
    """What a network said of some cells.

    Attributes
    ----------
    indices : (k,) int
        Which cells; those that cannot be read are not among them.
    probabilities : (k, class) float
    labels : tuple of str
        Their class, or "unclassified" where the confidence is below the class's threshold.
    left_out : tuple of LeftOut
        Cells in between that cannot be read.
    """

    indices: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    labels: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def confidences(self) -> NDArray[np.float64]:
        """The probability of the likeliest class, (k,)."""
        found: NDArray[np.float64] = self.probabilities.max(axis=1, initial=0.0)
        return found


@dataclass(frozen=True, eq=False)
class _Batch:
    indices: NDArray[np.intp]
    pictures: NDArray[np.float32]
    told: NDArray[np.float32]
    left_out: tuple[LeftOut, ...]


def classify(
    crops: Crops, model: Classifier, *, settings: ClassifySettings | None = None
) -> Iterator[Classified]:
    """Yield what a network says of the cells, batch by batch, in their order.

    Parameters
    ----------
    crops : Crops
        Cells with at least the model's channels.
    model : Classifier
    settings : ClassifySettings, optional

    Raises
    ------
    CellsegError
        If a channel is missing.
    """
    settings = settings or ClassifySettings()
    spec = model.spec
    chosen = matching_channels(crops, spec)
    forward = prepare_classifier(model, device=settings.device, precision=settings.precision)
    limits = spec.limits if settings.threshold is None else (settings.threshold,) * len(spec.classes)
    with closing(_read_ahead(chosen, spec, settings.batch)) as batches:
        for batch in batches:
            probabilities = forward(batch.pictures, batch.told)
            labels = labels_of(probabilities, spec.classes, limits, UNCLASSIFIED)
            yield Classified(batch.indices, probabilities, tuple(labels), batch.left_out)


def matching_channels(crops: Crops, spec: ClassifierSpec) -> Crops:
    """Return the crops with the model's channels, in its order.

    Raises
    ------
    CellsegError
        If one is missing.
    """
    missing = [name for name in spec.channels if name not in crops.channels]
    if missing:
        raise CellsegError(
            f"{crops.name}: channels {', '.join(crops.channels)}",
            f"{', '.join(spec.channels)}, which the model was trained on",
            "give cells with these channels, or train a model on those there are",
        )
    return crops.with_channels(spec.channels)


def prepare_classifier(model: Classifier, *, device: str = "auto", precision: str = "auto") -> Forward:
    """Return a function that runs `model` on arrays, its confidences calibrated.

    Raises
    ------
    CellsegError
        If the device cannot be used here.
    """
    import torch

    device = pick_device(device)
    precision = pick_precision(precision, device)
    if device == "cpu":
        keep_freed_memory()
    net: Any = model.net.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    spec = model.spec

    def forward(pictures: NDArray[np.float32], told: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(pictures):
            return np.zeros((0, len(spec.classes)))
        with torch.inference_mode(), autocast(device, precision):
            seen = torch.from_numpy(pictures).to(device, non_blocking=True)
            logits = net(seen, torch.from_numpy(told).to(device), spec.views)
        return softmax(logits.float().cpu().numpy(), spec.temperature)

    return forward


def told_of(pixels: NDArray[Any], measured: str) -> NDArray[np.float32]:
    """Return the numbers (m,) that a network is told beside the picture of a cell (c, y, x).

    Examples
    --------
    >>> told_of(np.zeros((1, 16, 32)), "size").tolist()
    [4.0, 5.0]
    """
    if measured == "none":
        return np.zeros(0, np.float32)
    sizes = np.log2(np.array(pixels.shape[1:], np.float32))
    if measured == "size":
        return sizes
    every: NDArray[np.float32] = np.nan_to_num(np.concatenate([sizes, measure_crop(pixels)]))
    return every


def _read_ahead(crops: Crops, spec: ClassifierSpec, size: int) -> Generator[_Batch, None, None]:
    """Yield batches that a thread reads while the last one is worked on."""
    waiting: deque[Future[_Batch]] = deque()
    with ThreadPoolExecutor(1, "reading cells") as reader:
        try:
            for first in range(0, len(crops), size):
                part = np.arange(first, min(first + size, len(crops)))
                waiting.append(reader.submit(_read_batch, crops, spec, part))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for batch in waiting:
                batch.cancel()


def _read_batch(crops: Crops, spec: ClassifierSpec, indices: NDArray[np.intp]) -> _Batch:
    pictures = np.empty((len(indices), len(spec.channels), *spec.size), np.float32)
    told: list[NDArray[np.float32]] = []
    kept: list[int] = []
    left_out: list[LeftOut] = []
    for index in indices.tolist():
        try:
            pixels = crops.read(index)
        except CellsegError as error:
            left_out.append(LeftOut(str(crops.ids[index]), str(crops.paths[index]), str(error)))
            continue
        pictures[len(kept)] = fit_crop(pixels, spec.size, spec.bounds)
        told.append(told_of(pixels, spec.measured))
        kept.append(index)
    numbers = np.stack(told) if told else np.zeros((0, 0), np.float32)
    return _Batch(np.array(kept, np.intp), pictures[: len(kept)], numbers, tuple(left_out))


@dataclass(frozen=True)
class TableProgress:
    """So many of so many cells are done."""

    done: int
    total: int


@dataclass(frozen=True)
class TableDone:
    """The table is written.

    Attributes
    ----------
    table : Path
    counts : dict
        Cells by label.
    left_out : tuple of LeftOut
        Cells that lack a channel or cannot be read; also in `left_out_table`.
    left_out_table : Path or None
    """

    table: Path
    counts: dict[str, int]
    left_out: tuple[LeftOut, ...]
    left_out_table: Path | None


def classify_to_table(
    crops: Crops,
    model: Classifier,
    out: Path,
    *,
    settings: ClassifySettings | None = None,
    batches: Iterable[Classified] | None = None,
) -> Iterator[TableProgress | TableDone]:
    """Write a line for each cell into a CSV file, whole or not at all; yield how far it is.

    The columns are path, id, sample, label, confidence, ``p_<class>`` for each class, model.

    Parameters
    ----------
    crops : Crops
    model : Classifier
    out : Path
        The CSV file; what was left out goes into ``<stem>_left_out.csv`` beside it.
    settings : ClassifySettings, optional
    batches : iterable of Classified, optional
        What is written, where that is worked out elsewhere; otherwise what `classify` yields.

    Yields
    ------
    TableProgress, then TableDone
    """
    names, left_out = model.spec.classes, [*crops.left_out]
    counts = dict.fromkeys((*names, UNCLASSIFIED), 0)
    with replace_whole(out) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        probabilities = (f"p_{name}" for name in names)
        writer.writerow(("path", "id", "sample", "label", "confidence", *probabilities, "model"))
        done = 0
        for batch in classify(crops, model, settings=settings) if batches is None else batches:
            for index, row, label in zip(batch.indices, batch.probabilities, batch.labels, strict=True):
                who = (crops.paths[index], crops.ids[index], crops.samples[index])
                shares = (f"{value:.6f}" for value in row)
                writer.writerow((*who, label, f"{row.max():.6f}", *shares, model.id))
                counts[label] += 1
            left_out += batch.left_out
            done += len(batch.indices) + len(batch.left_out)
            yield TableProgress(done, len(crops))
    beside = out.with_name(f"{out.stem}_left_out.csv") if left_out else None
    if beside is not None:
        _write_left_out(beside, left_out)
    yield TableDone(out, counts, tuple(left_out), beside)


def _write_left_out(path: Path, left_out: list[LeftOut]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("path", "id", "reason"))
    writer.writerows((one.path, one.id, one.reason) for one in left_out)
    write_whole(path, text.getvalue())
