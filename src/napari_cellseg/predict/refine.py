"""Cleaning up the labels of a stored result: no network, nothing of the result is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.whole_files import replace_whole, write_errors
from napari_cellseg.predict.chain import Chain, apply_chain, format_chain, starts_from_probabilities
from napari_cellseg.predict.labels import labels_from
from napari_cellseg.predict.pyramid import array_in, create_array, halved
from napari_cellseg.predict.store import KEY, read_own

SEGMENTATION, REFINED, INSTANCES = "segmentation", "refined", "instances"
BAND_PX = 2048  # rows halved at a time; a multiple of every level's step


def refine_result(path: Path, chain: Chain) -> None:
    """Apply steps to the labels of a finished result and write them into it.

    The labels as segmented stay in ``labels/segmentation``, what comes out goes to
    ``labels/refined``; the steps are noted in both groups' metadata. It always starts from
    what the network said, so it can be done again with other steps; an empty chain takes
    it back.

    Parameters
    ----------
    path : Path
        ``NAME.ome.zarr`` as `segment_to` wrote it; its whole plane is held in memory.
    chain : tuple of (name, settings)
        See `predict.chain`.

    Raises
    ------
    CellsegError
        If there is no finished result, the steps do not fit it, or the disk is full.
    """
    own = finished_note(path)
    group = zarr.open_group(path, mode="r+")
    labels = np.asarray(array_in(group, f"labels/{SEGMENTATION}/0")[:])
    if chain:
        probabilities = None
        if starts_from_probabilities(chain):
            probabilities = np.asarray(array_in(group, "probabilities/0")[:])
        pixel_nm = read_image(path).pixel_nm
        labels = apply_chain(labels, chain, probabilities=probabilities, pixel_nm=pixel_nm)
    pixels = np.bincount(labels.ravel(), minlength=len(own["classes"]["names"]))[1:].tolist()
    with write_errors(path):
        if chain:
            _write_refined(path, labels, format_chain(chain), Classes.from_json(own["classes"]))
        noted = own | {"post": format_chain(chain), "class_pixels": pixels}
        group["labels"].attrs["ome"] = {"version": "0.5", "labels": label_names(noted)}
        group.attrs[KEY] = noted
        if not chain and (path / "labels" / REFINED).exists():
            shutil.rmtree(path / "labels" / REFINED)


def finished_note(path: Path) -> dict[str, Any]:
    """Return what this program noted in a finished result.

    Raises
    ------
    CellsegError
        If the folder is something else, or not finished.
    """
    own = read_own(path)
    if own is None or not own["complete"]:
        state = "no result of napari-cellseg" if own is None else "an unfinished result"
        raise CellsegError(
            f"{path}: {state}",
            "a NAME.ome.zarr that `napari-cellseg segment` wrote",
            "segment the image first",
        )
    return own


def label_names(own: dict[str, Any]) -> list[str]:
    """Return the label images that a result with this note holds."""
    there = {SEGMENTATION: True, REFINED: own.get("post"), INSTANCES: own.get(INSTANCES)}
    return [name for name, wanted in there.items() if wanted]


def final_labels(path: Path) -> zarr.Array[Any]:
    """Return the labels (y, x) of a result that count: the refined ones where there are any."""
    return stored_labels(path)[0]


def stored_labels(path: Path) -> list[zarr.Array[Any]]:
    """Return the labels (y, x) of a result: the refined ones, if there are any, then those as segmented."""
    own = read_own(path) or {}
    names = (REFINED, SEGMENTATION) if own.get("post") else (SEGMENTATION,)
    return [zarr.open_array(path / "labels" / name / "0", mode="r") for name in names]


def _write_refined(path: Path, labels: NDArray[Any], post: str, classes: Classes) -> None:
    """Write labels as a pyramid like that of the segmentation, whole or not at all."""
    source = zarr.open_group(path / "labels" / SEGMENTATION, mode="r")
    ome = json.loads(json.dumps(source.attrs["ome"]))
    ome["multiscales"][0]["name"] = REFINED
    levels = [array_in(source, dataset["path"]) for dataset in ome["multiscales"][0]["datasets"]]
    with replace_whole(path / "labels" / REFINED) as part:
        group = zarr.create_group(part, zarr_format=3, attributes={"ome": ome, KEY: {"post": post}})
        for level, like in enumerate(levels):
            create_array(group, str(level), like.shape, like.chunks, ["y", "x"])
        for top in range(0, len(labels), BAND_PX):
            band = labels[top : top + BAND_PX]
            shares = np.empty(0, np.uint8)
            for level in range(len(levels)):
                if level == 1:
                    shares = np.stack([band == value for value in range(1, len(classes))]) * np.uint8(255)
                if level:
                    shares = halved(shares)
                    band = labels_from(shares)  # that of the majority
                array_in(group, str(level))[top >> level : (top >> level) + len(band)] = band
