"""Results on disk (NAME.ome.zarr with probabilities and labels) as napari layer data."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import zarr
from napari.utils.colormaps import Colormap

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import KEY, Link, class_colors, class_features, rgba
from napari_cellseg.gui.prediction.result_layers import DOUBT, OVERLAY
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import stem
from napari_cellseg.predict.refine import INSTANCES, REFINED, SEGMENTATION
from napari_cellseg.predict.store import UNCERTAINTY, read_own

if TYPE_CHECKING:
    from napari.types import LayerData


def read_result(path: Path) -> list[LayerData]:
    """Return all that a result holds, read as it is looked at.

    The probabilities of each class, how uncertain they are if that was asked for, and the
    labels: those that were cleaned up on top of the ones as segmented.

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
    made = Link("", name, classes=classes, result=str(path))
    for channel, (target, color) in enumerate(zip(classes.targets, classes.colors[2:], strict=True), start=1):
        keywords = {
            "name": f"{name} probabilities ({target})",
            "metadata": {KEY: replace(made, role="probabilities", target=target)},
            "colormap": Colormap([[0, 0, 0, 0], rgba(color)], name=target),
            "visible": False,
            **OVERLAY,
            **place,
        }
        layers.append(_pyramid([level[channel] for level in probabilities], keywords, "image"))
    if (path / UNCERTAINTY).exists():
        keywords = {"name": f"{name} uncertainty", "metadata": {KEY: replace(made, role="uncertainty")}}
        keywords |= {"colormap": DOUBT, "visible": False, **OVERLAY, **place}
        layers.append(_pyramid(_levels(path / UNCERTAINTY), keywords, "image"))
    refined = bool(own.get("post"))
    for folder, title, shown in (
        (SEGMENTATION, "labels as segmented" if refined else "labels", not refined),
        *([(REFINED, "labels", True)] if refined else []),
    ):
        keywords = {
            "name": f"{name} {title}",
            "metadata": {KEY: replace(made, role="labels")},
            "colormap": class_colors(classes, background=False),
            "features": class_features(classes),
            "opacity": 0.5,
            "visible": shown,
            **place,
        }
        layers.append(_labels(path / "labels" / folder, keywords))
    if own.get(INSTANCES):
        layers[-1][1]["visible"] = False  # the classes lie below the cells
        link = replace(made, role="instances", classes=None)
        keywords = {"name": f"{name} cells", "metadata": {KEY: link}, "opacity": 0.6, **place}
        layers.append(_labels(path / "labels" / INSTANCES, keywords))
    return layers


def _labels(folder: Path, keywords: dict[str, Any]) -> LayerData:
    """Return labels that know whether somebody changed them, where they can be changed."""
    data, keywords, kind = _pyramid(_levels(folder), keywords, "labels")
    if not keywords.get("multiscale"):
        keywords["metadata"]["sum"] = zlib.adler32(data)
    return data, keywords, kind


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
