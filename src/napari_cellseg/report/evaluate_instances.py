"""Predicted single cells against true ones: which file belongs to which, then the scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import pair_masks, read_mask
from napari_cellseg.predict.instances import instances_note, stored_instances
from napari_cellseg.predict.store import read_own
from napari_cellseg.report.evaluate import LABELS_ENDING, Evaluation
from napari_cellseg.report.metrics.instances import instance_scores, pool_instances

ENDING = "_instances"  # as `segment` names its outputs


def evaluate_instances(predicted: Sequence[Path], truth: Sequence[Path]) -> Evaluation:
    """Return the scores of predicted cells against true ones, paired by stem.

    Parameters
    ----------
    predicted, truth : sequence of Path
        Images of numbers, 0 = no cell; of what `segment` wrote the ``..._instances.tif``, or the
        OME-Zarr result where there is none beside it.

    Raises
    ------
    CellsegError
        If files cannot be paired, read, or differ in size.
    """
    images, numbers = [], 0
    for path, mask in _paired(find_cells(predicted), truth):
        true = read_mask(mask)
        try:
            scores = instance_scores(_cells(path), true)
        except CellsegError as error:
            raise CellsegError(f"{path} and {mask}: {error.found}", error.expected, error.remedy) from None
        numbers = max(numbers, scores["true_cells"])
        images.append({"predicted": str(path), "truth": str(mask)} | scores)
    pooled = pool_instances(images)
    notices = []
    if numbers < 2:
        notices.append("warning: no mask has more than one number: are these numbers of single cells?")
    if pooled["interval"]["note"]:
        notices.append(f"95 % intervals: {pooled['interval']['note']}")
    shown = tuple({key: value for key, value in image.items() if key != "counts"} for image in images)
    return Evaluation(pooled, shown, tuple(notices), "instances")


def find_cells(paths: Sequence[Path]) -> list[Path]:
    """Return those files that hold single cells, one an image.

    Raises
    ------
    CellsegError
        If none does.
    """
    written = [path for path in paths if path.stem.endswith(ENDING)]
    beside = {path.with_name(f"{path.stem.removesuffix(ENDING)}.ome.zarr") for path in written}
    results = [path for path in paths if path not in beside and instances_note(read_own(path) or {})]
    if found := written + results:
        return found
    others = [path for path in paths if read_own(path) is None and not path.stem.endswith(LABELS_ENDING)]
    if not others:
        raise CellsegError(
            f"no single cells in {len(paths)} file{'s' * (len(paths) != 1)}",
            f"files named ...{ENDING}.tif, or other images of numbers",
            "segment with a model that was trained with --polarity instances",
        )
    return others


def _paired(cells: Sequence[Path], truth: Sequence[Path]) -> list[tuple[Path, Path]]:
    if len(cells) == len(truth) == 1:
        return [(cells[0], truth[0])]
    plain = {path.with_name(path.name.replace(f"{ENDING}.", ".")): path for path in cells}
    return [(plain[image], mask) for image, mask in pair_masks(list(plain), list(truth))]


def _cells(path: Path) -> NDArray[Any]:
    return np.asarray(stored_instances(path)[:]) if read_own(path) is not None else read_mask(path)
