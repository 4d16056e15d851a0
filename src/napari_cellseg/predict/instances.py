"""The single cells of a stored result: found without the network, written into it as ``labels/instances``."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.instance_rings import are_rings
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.whole_files import replace_whole, write_errors
from napari_cellseg.objects.instances import DEFAULTS, CellsFound, find_instances_blockwise
from napari_cellseg.predict.label_tiff import write_label_tiff
from napari_cellseg.predict.pyramid import array_in, create_array
from napari_cellseg.predict.refine import INSTANCES, SEGMENTATION, finished_note, label_names
from napari_cellseg.predict.store import KEY
from napari_cellseg.settings import InstanceSettings

BAND_PX = 2048  # rows written at a time on a smaller level


def store_instances(
    path: Path, *, settings: InstanceSettings = DEFAULTS, pixel_nm: float | None = None
) -> Generator[CellsFound, None, None]:
    """Find the cells of a finished result and write them into it, whole or not at all.

    How many there are and how they were found is noted in the result; doing it again with
    other settings takes their place.

    Parameters
    ----------
    path : Path
        ``NAME.ome.zarr`` of a model that finds single cells.
    settings : InstanceSettings
    pixel_nm : float, optional
        Pixel size in nm, instead of what the result says.

    Yields
    ------
    CellsFound
        After each block.

    Raises
    ------
    CellsegError
        If there is no such result, or the disk is full.
    """
    own = finished_note(path)
    group = zarr.open_group(path, mode="r+")
    source = zarr.open_group(path / "labels" / SEGMENTATION, mode="r")
    ome = _described(json.loads(json.dumps(source.attrs["ome"])))
    levels = [array_in(source, dataset["path"]) for dataset in ome["multiscales"][0]["datasets"]]
    cells = 0
    with write_errors(path), replace_whole(path / "labels" / INSTANCES) as part:
        made = zarr.create_group(part, zarr_format=3, attributes={"ome": ome})
        for level, like in enumerate(levels):
            create_array(made, str(level), like.shape, like.chunks, ["y", "x"], dtype="uint32")
        blocks = find_instances_blockwise(
            array_in(group, "probabilities/0"),
            array_in(made, "0"),
            settings=settings,
            pixel_nm=pixel_nm or read_image(path).pixel_nm,
        )
        with closing(blocks):
            for found in blocks:
                cells = found.cells
                yield found
        for level in range(1, len(levels)):
            _thin_out(array_in(made, str(level - 1)), array_in(made, str(level)))
    noted = own | {INSTANCES: {"settings": settings.model_dump(mode="json"), "objects": cells}}
    with write_errors(path):
        group["labels"].attrs["ome"] = {"version": "0.5", "labels": label_names(noted)}
        group.attrs[KEY] = noted


def instances_note(own: dict[str, Any]) -> dict[str, Any] | None:
    """Return the ``settings`` and number of ``objects`` that a result notes; None if none were looked for."""
    note = own.get(INSTANCES)
    return note if isinstance(note, dict) else None


def finds_instances(own: dict[str, Any]) -> bool:
    """Tell whether a result is of a model that finds single cells."""
    return are_rings(Classes.from_json(own["classes"]))


def stored_instances(path: Path) -> zarr.Array[Any]:
    """Return the cells (y, x) that were found in a result: 0 = none, then one number a cell."""
    return zarr.open_array(path / "labels" / INSTANCES / "0", mode="r")


def write_instances_tiff(result: Path, target: Path, *, pixel_nm: float | None = None) -> None:
    """Write the cells of a result as a tiled TIFF: uint16, or uint32 beyond 65,535 cells.

    Raises
    ------
    CellsegError
        If the disk is full or the folder cannot be written.
    """
    note = instances_note(finished_note(result))
    assert note is not None
    dtype = np.uint16 if note["objects"] <= np.iinfo(np.uint16).max else np.uint32
    write_label_tiff(stored_instances(result), target, dtype=dtype, pixel_nm=pixel_nm)


def _described(ome: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of the classes' labels as those of cells."""
    scales = ome["multiscales"][0]
    scales |= {"name": INSTANCES, "type": "nearest"}
    for dataset in scales["datasets"]:  # every second pixel stays where it was
        dataset["coordinateTransformations"][1]["translation"] = [0.0, 0.0]
    ome["image-label"] = {"source": ome["image-label"]["source"]}
    return ome


def _thin_out(fine: zarr.Array[Any], coarse: zarr.Array[Any]) -> None:
    """Write every second pixel of a level as the next: a mean of numbers says nothing."""
    for top in range(0, coarse.shape[0], BAND_PX):
        stop = min(top + BAND_PX, coarse.shape[0])
        coarse[top:stop] = np.asarray(fine[2 * top : 2 * stop])[::2, ::2]
