"""Results on disk (NAME.ome.zarr with probabilities and labels) as napari layer data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import zarr
from napari.utils.colormaps import Colormap

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import KEY, Link, class_colors, class_features, rgba
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import stem
from napari_cellseg.predict.store import read_own

if TYPE_CHECKING:
    from napari.types import LayerData


def read_result(path: Path) -> list[LayerData]:
    """Return the probabilities of each class and the labels, read as they are looked at.

    Parameters
    ----------
    path : Path
        What `segment` wrote for an image.

    Raises
    ------
    CellsegError
        If the folder was not written by this program or is damaged.
    """
    own = read_own(path)
    if own is None:
        raise CellsegError(
            f"{path}: no result of napari-cellseg", remedy="open the folder inside it as OME-Zarr"
        )
    classes, name = Classes.from_json(own["classes"]), stem(path)
    root = zarr.open_group(path, mode="r")
    attributes: Any = root["labels/segmentation"].attrs["ome"]
    place = _place(attributes["multiscales"][0])
    layers: list[LayerData] = []
    probabilities = _levels(path / "probabilities")
    for channel, (target, color) in enumerate(zip(classes.targets, classes.colors[2:], strict=True), start=1):
        keywords = {
            "name": f"{name} probabilities ({target})",
            "metadata": {KEY: Link("probabilities", name, classes=classes)},
            "colormap": Colormap([[0, 0, 0, 0], rgba(color)], name=target),
            "contrast_limits": (0, 255),
            "blending": "translucent",
            "opacity": 0.5,
            "visible": False,
            **place,
        }
        layers.append(_pyramid([level[channel] for level in probabilities], keywords, "image"))
    keywords = {
        "name": f"{name} labels",
        "metadata": {KEY: Link("labels", name, classes=classes)},
        "colormap": class_colors(classes, background=False),
        "features": class_features(classes),
        "opacity": 0.5,
        **place,
    }
    layers.append(_pyramid(_levels(path / "labels" / "segmentation"), keywords, "labels"))
    return layers


def _levels(folder: Path) -> list[da.Array]:
    names = sorted((p.name for p in folder.iterdir() if p.name.isdigit()), key=int)
    return [da.from_zarr(zarr.open_array(folder / name, mode="r")) for name in names]


def _pyramid(levels: list[da.Array], keywords: dict[str, Any], kind: str) -> LayerData:
    if len(levels) == 1:
        return levels[0].compute(scheduler="threads"), keywords, kind
    return levels, {**keywords, "multiscale": True}, kind


def _place(multiscale: dict[str, Any]) -> dict[str, Any]:
    """Return scale and units of the finest level, as the file says."""
    first = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"][-2:]
    unit = multiscale["axes"][-1].get("unit")
    return {"scale": tuple(first), "units": (unit, unit)} if unit else {"scale": tuple(first)}
