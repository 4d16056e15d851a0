"""The cells of one training: split, brought to the network's form, and drawn in batches."""

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops, channel_bounds
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.cell_nets import CellNet
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.classifiers import MEASURED, find_backbone_weights
from napari_cellseg.settings import ClassifierSettings
from napari_cellseg.train.cell_augment import augment_cells
from napari_cellseg.train.crop_run import CropData, listed_test, open_crops
from napari_cellseg.train.crop_split import CropSplit, split_crops
from napari_cellseg.train.pictures import Survey, survey, told
from napari_cellseg.train.records import Reading

BOUND_STEPS = 20
LEAST_STEPS = 12
"""An epoch of few cells sees them several times, each time changed in another way."""

KEPT = "bounds.json"
NEAR = 0.1
"""Bounds differ by less than this share of their width: what was embedded with the earlier ones holds."""


Bounds = tuple[tuple[float, float], ...]
"""Low and high of each channel."""


@dataclass(frozen=True)
class Cells:
    """Labelled cells with what was found out about them.

    Attributes
    ----------
    crops : Crops
        Those that can be read and have a label.
    seen : Survey
    names : tuple of str
        The classes.
    classes : (n,) int
        Index of each cell's class.
    split : CropSplit
    notices : tuple of str
    """

    crops: Crops
    seen: Survey
    names: tuple[str, ...]
    classes: NDArray[np.intp]
    split: CropSplit
    notices: tuple[str, ...]


def open_cells(data: CropData, settings: ClassifierSettings) -> Generator[Reading, None, Cells]:
    """Yield how many cells were looked at; return the labelled ones, split.

    Raises
    ------
    CellsegError
        If there are no two classes with readable cells.
    """
    crops = open_crops(data, settings.channel_names)
    seen = yield from survey(crops, measure=settings.baseline or settings.measured == "all")
    readable = seen.readable
    notices = [*crops.notices]
    missing = [*crops.left_out, *seen.left_out]
    if missing:
        listed = "; ".join(f"{one.id}: {one.reason}" for one in missing[:3])
        notices.append(f"{len(missing)} cells are left out ({listed}{'; ...' * (len(missing) > 3)}).")
    test = listed_test(crops, data)
    if not readable.all():
        test = None if test is None else np.searchsorted(np.flatnonzero(readable), test[readable[test]])
        crops, seen = crops.take(readable), seen.take(readable)
    if not len(crops):
        raise CellsegError(f"{data.path}: no labelled cell", "cells of at least two classes")
    names = crops.class_names
    place = {name: index for index, name in enumerate(names)}
    classes = np.array([place[str(label)] for label in crops.labels], np.intp)
    split = split_crops(
        crops.labels.tolist(), crops.samples.tolist(), seen.doubles, settings=settings, test=test
    )
    if not len(split.validation):
        raise CellsegError(
            f"{len(crops)} labelled cells: none to spare for validation", "at least two of some class"
        )
    return Cells(crops, seen, names, classes, split, (*notices, *split.notices))


def find_start(
    settings: ClassifierSettings,
) -> tuple[ClassifierSettings, Path | None, tuple[str, ...]]:
    """Return the settings to train with, the file the backbones start from, if any, and what to say of it.

    Where a frozen network was to start from weights that cannot be had, what a random one makes of a
    cell would be noise beside the measurements: then those alone are learned from.
    """
    architecture, file = settings.architecture, settings.weights_file
    if not (settings.pretrained or file):
        said = "WARNING: a frozen network that starts from scratch sees little of a cell."
        return settings, None, (said,) * (settings.frozen and architecture != MEASURED)
    path, reason = find_backbone_weights(architecture, weights_file=file)
    if path is not None:
        return settings, path, (f"{architecture} starts from {path.name if file else 'ImageNet weights'}.",)
    instead = "it starts from scratch"
    if settings.frozen and settings.measured == "all":
        settings = settings.model_copy(update={"architecture": MEASURED})
        instead = "cells are told apart by what is measured on them alone"
    remedy = "give --weights-file with a file of timm's model"
    return (
        settings,
        None,
        (f"WARNING: no ImageNet weights for {architecture} ({reason}): {instead}; {remedy}.",),
    )


def cell_spec(cells: Cells, settings: ClassifierSettings, embeddings: Path) -> ClassifierSpec:
    """Return the spec of the network that these settings train on these cells.

    Parameters
    ----------
    cells : Cells
    settings : ClassifierSettings
    embeddings : Path
        Folder of embedded cells; of a frozen network earlier bounds are kept there.

    Raises
    ------
    CellsegError
        If settings contradict each other.
    """
    for name in ("members", "views"):
        if settings.frozen and getattr(settings, name) > 1:
            raise CellsegError(
                f"{name} = {getattr(settings, name)} beside a frozen network",
                "1: it sees every cell once",
                f"leave out --{name} or --frozen",
            )
    bounds = coarse_bounds(channel_bounds(cells.crops, cells.split.train))
    if settings.frozen:
        size = f"{settings.height_px} x {settings.width_px}"
        name = f"{settings.architecture}, {size}, {', '.join(cells.crops.channels)}"
        bounds = kept_bounds(embeddings, name, bounds)
    measurements = told(cells.seen.take(np.zeros(0, np.intp)), settings.measured).shape[1]
    return ClassifierSpec(
        architecture=settings.architecture,
        head=settings.head,
        classes=cells.names,
        channels=cells.crops.channels,
        size=(settings.height_px, settings.width_px),
        bounds=bounds,
        measured=settings.measured,
        views=settings.views,
        options={"members": settings.members, "rgb": settings.rgb, "measurements": measurements},
    )


def kept_bounds(folder: Path, name: str, bounds: Bounds) -> Bounds:
    """Return the bounds that an earlier run used for the same network, if they are near; else these.

    So that the folds of one set, and the set after some corrections, have the same bounds and what
    was embedded once still holds.

    Parameters
    ----------
    folder : Path
        ``bounds.json`` there holds those of earlier runs.
    name : str
        Of the network and how it is fed.
    bounds : tuple of (low, high)
    """
    path = folder / KEPT
    known: dict[str, list[list[list[float]]]] = {}
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
    widths = np.array(bounds) @ [[-1.0], [1.0]]
    for earlier in known.get(name, []):
        if (np.abs(np.array(earlier) - bounds) <= NEAR * widths).all():
            return tuple((low, high) for low, high in earlier)
    known.setdefault(name, []).append([list(pair) for pair in bounds])
    write_whole(path, json.dumps(known, indent=1))
    return bounds


def coarse_bounds(bounds: NDArray[np.floating]) -> Bounds:
    """Return bounds (c, 2) moved outwards to round numbers.

    Examples
    --------
    >>> coarse_bounds(np.array([[103.0, 951.0]]))
    ((100.0, 1000.0),)
    """
    found = []
    for low, high in np.asarray(bounds, np.float64):
        width = max(high - low, 1e-6)
        step = 10.0 ** np.floor(np.log10(width / BOUND_STEPS) + 1)
        step = step if width / step > BOUND_STEPS / 4 else step / 5
        found.append((float(np.floor(low / step) * step), float(np.ceil(high / step) * step)))
    return tuple(found)


@dataclass(frozen=True)
class Fed:
    """What the network is fed of all cells: embedded rows, or pictures; and what it is told.

    Attributes
    ----------
    rows : (n, f) or (n, c, h, w) float16
    told : (n, m) float32
    classes : (n,) int
    embedded : bool
    """

    rows: NDArray[np.float16]
    told: NDArray[np.float32]
    classes: NDArray[np.intp]
    embedded: bool

    def batch(self, chosen: NDArray[np.intp], device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return inputs, what is told, and classes of some cells."""
        order = np.sort(chosen)  # a file is read in its own order
        rows = torch.from_numpy(self.rows[order].astype(np.float32)).to(device)
        classes = torch.from_numpy(self.classes[order]).to(device)
        return rows, torch.from_numpy(self.told[order]).to(device), classes

    def batches(
        self, chosen: NDArray[np.intp], batch: int, rng: np.random.Generator | None = None
    ) -> Iterator[NDArray[np.intp]]:
        """Yield the indices of about `batch` cells at a time; with a generator, as an epoch draws them."""
        if rng is None:
            yield from np.array_split(chosen, max(1, round(len(chosen) / batch)))
            return
        steps = max(1, round(len(chosen) / batch))
        for _ in range(1 if self.embedded else -(-LEAST_STEPS // steps)):
            yield from np.array_split(rng.permutation(chosen), steps)


def standardise(net: CellNet, fed: Fed, train: NDArray[np.intp], *, features: bool) -> None:
    """Tell a network mean and spread of what it is told in the training part.

    With `features` also of what a frozen one makes of the pictures: a linear head wants them on one
    scale, and those of a network from scratch have none that a head could learn from. The published
    heads take those of a pretrained one as they are.
    """
    own = len(net.mean) - fed.told.shape[1]
    columns: list[tuple[NDArray[Any], slice]] = [(fed.told, slice(own, None))]
    if features:
        columns.append((fed.rows, slice(0, own)))
    for values, where in columns:
        part = values[train].astype(np.float64)
        spread = part.std(axis=0)
        net.mean[where] = torch.from_numpy(part.mean(axis=0)).to(net.mean)
        net.spread[where] = torch.from_numpy(np.where(spread > 1e-6, spread, 1.0)).to(net.mean)


def logits_of(net: CellNet, fed: Fed, rows: torch.Tensor, told_: torch.Tensor, *, views: int = 1) -> Any:
    """Return the logits of each member, (member, n, k)."""
    if fed.embedded:
        return torch.stack(net.decide(rows, told_))
    if net.training:
        return torch.stack(net.decide(net.embed(rows), told_))
    return net(rows, told_, views)[None]


def augmented(
    rows: torch.Tensor, fed: Fed, generator: torch.Generator, settings: ClassifierSettings
) -> torch.Tensor:
    """Return pictures after random changes; embedded rows as they are."""
    return rows if fed.embedded else augment_cells(rows, generator, settings=settings)
