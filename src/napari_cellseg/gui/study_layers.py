"""A finished study as napari layers: an image, its truth, and what each system made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_cellseg.gui.layers import KEY, Link, class_colors, class_features, image_layer, pixel_place
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.report.study.errors import ERRORS, error_plane
from napari_cellseg.report.study.results import StudyReport

if TYPE_CHECKING:
    from napari.types import LayerData

STUDY = "napari-cellseg study"  # where a layer's metadata holds the system it shows


def study_layers(report: StudyReport, image: str) -> list[LayerData]:
    """Return a tested image, its truth, and of each system the prediction and its errors.

    Nothing is computed but the errors, and those when they are looked at. Shown at first are the
    image and the errors of the best system.

    Parameters
    ----------
    report : StudyReport
    image : str
        Name of a tested image.
    """
    sample = report.sample(image)
    opened = read_image(sample.image)
    place, truth = pixel_place(opened.pixel_nm), sample.truth()

    def found(name: str, system: str = "") -> dict[str, Any]:
        return {
            "name": f"{image} {name}",
            "metadata": {KEY: Link("labels", image, classes=report.classes), STUDY: system},
            "colormap": class_colors(report.classes, background=False),
            "features": class_features(report.classes),
            "opacity": 0.5,
            "visible": False,
            **place,
        }

    layers = [image_layer(opened), (truth, found("truth"), "labels")]
    for system in reversed(report.ranked):  # the best comes last: on top
        name = system.name
        predicted = read_image(report.labels_file(name, image)).data
        errors = da.map_blocks(
            error_plane, predicted, da.from_array(truth, chunks=predicted.chunks), dtype=np.uint8
        )
        layers.append((predicted, found(f"{name} prediction", name), "labels"))
        layers.append((errors, _error_keywords(image, name) | place, "labels"))
    if report.ranked:
        layers[-1][1]["visible"] = True
    return layers


def _error_keywords(image: str, system: str) -> dict[str, Any]:
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colors |= dict(enumerate(ERRORS.values(), start=1))
    return {
        "name": f"{image} {system} errors",
        "metadata": {KEY: Link("errors", image), STUDY: system},
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": {"index": list(range(1, 1 + len(ERRORS))), "error": list(ERRORS)},
        "opacity": 0.6,
        "visible": False,
    }
