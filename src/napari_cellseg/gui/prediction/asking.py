"""Asking in a process of its own why a network decided as it did, and showing the answer."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points
from napari.utils.colormaps import Colormap

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.correct import pixel_map
from napari_cellseg.gui.job import Child
from napari_cellseg.gui.layers import KEY, Link, image_from, link_of, linked, place_of, place_within, rgba

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer
    from napari.layers import Layer

    from napari_cellseg.images.micrographs import Image
    from napari_cellseg.predict.explain import Explanation

AGAINST_AND_FOR = Colormap([rgba("#0072b2"), [1, 1, 1, 0], rgba("#d55e00")], name="against and for")


@dataclass(frozen=True)
class Answer:
    """What `napari-cellseg explain` found, and by which method."""

    found: Explanation
    method: str


class Question:
    """One call of `napari-cellseg explain` about a layer.

    Parameters
    ----------
    source : Image layer
    model : Path
    at : (row, col)
        In pixels of the image.
    class_name : str
        Empty: the one found there.
    method : str
    device : str
    """

    def __init__(
        self,
        source: ImageLayer,
        model: Path,
        at: tuple[float, float],
        *,
        class_name: str,
        method: str,
        device: str,
    ) -> None:
        self._kept = tempfile.TemporaryDirectory(prefix="napari-cellseg-")
        folder = Path(self._kept.name)
        self.image, self.method, self.out = image_from(source), method, folder / "why.tif"
        link = link_of(source)
        from_file = link is not None and link.path is not None and link.path.exists()
        self.pixels = None if from_file else folder / "image.tif"
        command = [sys.executable, "-m", "napari_cellseg", "explain", str(model)]
        command += [str(link.path if self.pixels is None else self.pixels)]
        command += [f"--at={at[0]},{at[1]}", "--method", method, "--device", device]
        command += ["--out", str(self.out), *(["--class", class_name] if class_name else [])]
        if self.image.pixel_nm is not None:
            command += ["--pixel-nm", str(self.image.pixel_nm)]
        # nothing is lost with it, so it has no time to end by itself
        self.child = Child(command, folder / "stop", _no_record, grace_seconds=0)

    def stop(self) -> None:
        """End the process; returns at once."""
        self.child.cancel()

    def steps(self) -> Generator[Any, None, None]:
        """Yield `Beat` while it works, then the `Answer`; `Failed` if there is none."""
        from napari_cellseg.report.explanation import read_explanation

        try:
            if self.pixels is not None:
                write_pixels(self.pixels, self.image)
            yield from self.child.records()
            if self.out.exists():
                found, _ = read_explanation(self.out)
                yield Answer(found, self.method)
        finally:
            self._kept.cleanup()


def write_pixels(path: Path, image: Image) -> None:
    """Write an image that has no file as a TIFF that `read_image` reads."""
    import tifffile

    pixels = image.data.compute(scheduler="threads")
    tifffile.imwrite(path, pixels, photometric="minisblack")


def _no_record(line: str) -> Any:
    raise ValueError(line)  # what the command prints is for people


def add_answer(viewer: ViewerModel, source: ImageLayer, answer: Answer) -> ImageLayer:
    """Show an answer where it belongs over its image; orange speaks for the class, blue against."""
    found, active, link = answer.found, viewer.layers.selection.active, _link(source, "explanation")
    strongest = float(np.abs(found.heat).max()) or 1.0
    layer = viewer.add_image(
        found.heat,
        name=f"{link.image} why {found.class_name} ({answer.method})",
        colormap=AGAINST_AND_FOR,
        contrast_limits=(-strongest, strongest),
        blending="translucent",
        opacity=0.7,
        metadata={KEY: link},
        **place_within(source, found.rows.start, found.cols.start),
    )
    viewer.layers.selection.active = active
    return layer


def places_layer(viewer: ViewerModel, source: ImageLayer) -> Points:
    """Return the points layer over an image in which places are marked; added if there is none."""
    link = _link(source, "places")
    found = linked(viewer, "places", image=link.image)
    if found:
        return found[0]
    return viewer.add_points(
        ndim=2,
        name=f"{link.image} places",
        size=30,
        face_color="transparent",  # what it marks stays in sight
        border_color="#009e73",
        border_width=0.08,
        metadata={KEY: link},
        **place_of(source),
    )


def marked_place(viewer: ViewerModel, source: ImageLayer) -> tuple[float, float]:
    """Return the pixel (row, col) of an image that is marked: a selected point, else the last one.

    Raises
    ------
    CellsegError
        If no point is there.
    """
    places = linked(viewer, "places", image=_link(source, "places").image)
    for layer in (viewer.layers.selection.active, *places):
        if isinstance(layer, Points) and len(layer.data):
            chosen = max(layer.selected_data, default=len(layer.data) - 1)
            return _moved(layer, source, layer.data[chosen][-2:])
    raise CellsegError("no place is marked", "a point in the image", "press 'Mark a place' and click on one")


def cursor_place(viewer: ViewerModel, source: ImageLayer) -> tuple[float, float]:
    """Return the pixel (row, col) of an image under the cursor."""
    row, col = np.asarray(source.world_to_data(viewer.cursor.position))[-2:]
    return float(row), float(col)


def _link(source: ImageLayer, role: str) -> Link:
    """Return the link of a layer that belongs to an image layer."""
    link = link_of(source)
    return Link(role, source.name) if link is None else Link(role, link.image, link.project)


def _moved(points: Layer, source: Layer, point: np.ndarray) -> tuple[float, float]:
    matrix = pixel_map(points, source)
    row, col = matrix[:, :2] @ point + matrix[:, 2]
    return float(row), float(col)
