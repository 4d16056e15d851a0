"""Layers to nouns and back: images, annotations and predictions, always in the place of their image."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from math import ceil, log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.overview import OVERVIEW, Overview
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.normalise import intensity_figures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_cellseg.gui.opening import Saving
    from napari_cellseg.images.micrographs import Image

KEY = "napari-cellseg"  # where a layer's metadata holds its Link
IN_MEMORY_BYTES = 512 * 1024**2  # below this an image is held, so that panning reads no file
PYRAMID_PX = 8192  # above this a plane is shown through smaller copies of itself
MOST_PX = 2**28  # of a plane that can be painted: held whole, in one texture of 16,384 px a side


@dataclass(frozen=True)
class Link:
    """What a layer is to us; kept in the layer's metadata, so that docks find it there.

    Parameters
    ----------
    role : str
        ``"image"``, ``"annotation"``, ``"probabilities"``, ``"uncertainty"``, ``"labels"``,
        ``"instances"``, ``"preview"``, ``"places"``, ``"explanation"``, ``"filaments"``, ``"points"``,
        ``"filaments preview"`` and ``"filaments proposal"`` for what is not there yet,
        ``"contamination"`` for carbon and ice, or ``"copy"`` for what a user duplicated.
    image : str
        Name of the image it belongs to.
    project : Path, optional
        Folder of the project it belongs to.
    path : Path, optional
        File of the image.
    classes : Classes, optional
        What the values mean.
    target : str
        The class that probabilities are of.
    result : str
        The same for all layers that one segmentation made.
    saving : Saving, optional
        Keeps an annotation on the disk.
    """

    role: str
    image: str
    project: Path | None = None
    path: Path | None = None
    classes: Classes | None = None
    target: str = ""
    result: str = ""
    saving: Saving | None = field(default=None, compare=False, repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> Link:
        return replace(self, role="copy" if self.role == "annotation" else self.role, saving=None)


def link_of(layer: Layer) -> Link | None:
    """Return what a layer is to us, or None for a stranger."""
    found = layer.metadata.get(KEY)
    return found if isinstance(found, Link) else None


def linked(
    viewer: ViewerModel, role: str, *, project: Path | None = None, image: str | None = None
) -> list[Layer]:
    """Return the layers with this role, topmost first; of one project or image if asked."""
    found = []
    for layer in reversed(viewer.layers):
        link = link_of(layer)
        if link is None or link.role != role:
            continue
        if (project is None or link.project == project) and (image is None or link.image == image):
            found.append(layer)
    return found


def place_of(layer: Layer) -> dict[str, Any]:
    """Return where a layer's plane lies: the keyword arguments that put another layer there.

    Only the last two axes are taken, so that labels (y, x) fit an image (c, y, x).
    """
    ndim = layer.ndim
    affine = np.asarray(layer.affine.affine_matrix)
    rows = [*range(ndim - 2, ndim), ndim]
    return {
        "scale": np.asarray(layer.scale)[-2:],
        "translate": np.asarray(layer.translate)[-2:],
        "rotate": _plane_rotation(np.asarray(layer.rotate)),
        "shear": _plane_shear(np.asarray(layer.shear), ndim),
        "affine": affine[np.ix_(rows, rows)],
        "units": tuple(layer.units)[-2:],
        "axis_labels": tuple(layer.axis_labels)[-2:],
    }


def place_within(layer: Layer, row: float, col: float) -> dict[str, Any]:
    """Return where a part of a layer's plane lies that begins at this row and column."""
    from napari.utils.transforms import Affine

    place = place_of(layer)
    inner = Affine(**{key: place[key] for key in ("scale", "translate", "rotate", "shear")})
    return place | {"translate": np.asarray(inner((row, col)))}


def plane_of(layer: Layer) -> Any:
    """Return a layer's pixels at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def remember(layer: Labels) -> None:
    """Note what a labels layer holds, so that `is_changed` tells when somebody changed it."""
    layer.metadata["sum"] = zlib.adler32(np.ascontiguousarray(layer.data))


def is_changed(layer: Layer) -> bool:
    """Tell whether somebody changed the labels of a prediction; of labels of unknown origin always."""
    if not isinstance(layer, Labels) or layer.multiscale:  # pyramids cannot be edited
        return False
    return layer.metadata.get("sum") != zlib.adler32(np.ascontiguousarray(layer.data))


def _plane_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return matrix[-2:, -2:]


def _plane_shear(shear: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    """Return the shear between the last two axes; napari keeps the upper triangle, row by row."""
    if shear.ndim == 2:
        return shear[-2:, -2:]
    upper = np.zeros((ndim, ndim))
    upper[np.triu_indices(ndim, 1)] = shear
    return upper[[-2], [-1]]


def check_size(name: str, shape: tuple[int, int], *, remedy: str = "cut out regions and add those") -> None:
    """Refuse a plane whose labels the viewer could not hold.

    Raises
    ------
    CellsegError
        If it has more than 268 million pixels.

    Examples
    --------
    >>> check_size("a", (3710, 3838))
    """
    if shape[0] * shape[1] > MOST_PX:
        raise CellsegError(
            f"'{name}' has {shape[0]:,} x {shape[1]:,} px", f"at most {MOST_PX:,} px for labels here", remedy
        )


def pixel_place(pixel_nm: float | None) -> dict[str, Any]:
    """Return the keyword arguments of a plane with this pixel size; none if it is unknown.

    Examples
    --------
    >>> pixel_place(0.5)
    {'scale': (0.5, 0.5), 'units': ('nm', 'nm')}
    """
    return {} if pixel_nm is None else {"scale": (pixel_nm, pixel_nm), "units": ("nm", "nm")}


def pixel_nm_of(layer: Layer) -> float | None:
    """Return a layer's pixel size in nm, or None if its units are no length."""
    unit, scale = layer.units[-1], float(layer.scale[-1])
    if not unit.is_compatible_with("nm"):
        return None
    return float((scale * unit).to("nm").magnitude)


def image_layer(image: Image, *, link: Link | None = None) -> tuple[Any, dict[str, Any], str]:
    """Return an image as napari layer data: pixels, keyword arguments, ``"image"``.

    Small images are read into memory; large ones stay lazy and come as a pyramid, of which
    napari reads what is looked at: the file's own, else one whose top `start_filling` fills in.
    Three channels of uint8 are shown as colours, other channels behind a slider.
    """
    from napari_cellseg.images.micrographs import smaller_copies  # with dask: a dock opens without it

    rgb = image.channels == 3 and image.data.dtype == np.uint8
    data = image.data if image.data.ndim == 2 or image.channels > 1 else image.data[0]
    keywords: dict[str, Any] = {
        "name": image.name,
        "metadata": {KEY: link or Link("image", image.name, path=image.path)},
    }
    place = pixel_place(image.pixel_nm)
    if data.ndim == 3 and not rgb and place:
        place = {"scale": (1.0, *place["scale"]), "units": ("pixel", *place["units"])}
    keywords |= place
    if rgb:
        data = data.transpose(1, 2, 0)
        keywords["rgb"] = True
    else:
        figures = intensity_figures(image)
        low, high = float(np.min(figures.low)), float(np.max(figures.high))
        keywords["contrast_limits"] = (low, high if high > low else low + 1)
    if data.nbytes <= IN_MEMORY_BYTES:
        return data.compute(scheduler="threads"), keywords, "image"
    levels = [data, *(level.transpose(1, 2, 0) if rgb else level for level in smaller_copies(image))]
    levels += _further_levels(levels[-1], rgb, keywords)
    if len(levels) > 1:
        keywords["multiscale"] = True
    return (levels if len(levels) > 1 else data), keywords, "image"


def stack_layer(path: Path) -> tuple[Any, dict[str, Any], str]:
    """Return a file of several images as napari layer data, read as it is looked at."""
    from napari_cellseg.images.micrographs import read_planes, stem

    data, pixel_nm = read_planes(path)
    place = pixel_place(pixel_nm)
    if place:
        others = data.ndim - 2
        place = {"scale": (1.0,) * others + place["scale"], "units": ("pixel",) * others + place["units"]}
    return data, {"name": stem(path), **place}, "image"


def _further_levels(data: Any, rgb: bool, keywords: dict[str, Any]) -> list[Any]:
    """Return halved copies of a plane down to one that can be shown whole, which is filled in later."""
    axes = (0, 1) if rgb else (-2, -1)
    halvings = max(0, ceil(log2(max(data.shape[axis] for axis in axes) / PYRAMID_PX)))
    if not halvings:
        return []
    steps = [2**level for level in range(1, halvings)]
    lazy = [data[::step, ::step] if rgb else data[..., ::step, ::step] for step in steps]
    overview = Overview(data, 2**halvings, axes[0])
    keywords["metadata"][OVERVIEW] = overview
    return [*lazy, overview.pixels]


def image_from(layer: ImageLayer) -> Image:
    """Return the image that a layer shows, whatever its origin.

    Raises
    ------
    CellsegError
        If it is neither a plane, nor colours, nor a plane with channels.
    """
    import dask.array as da  # here, so that a dock opens without it

    from napari_cellseg.images.micrographs import Image

    data = layer.data[0] if layer.multiscale else layer.data
    if layer.rgb and layer.ndim == 2:
        array = da.moveaxis(da.asarray(data)[..., :3], -1, 0)
    elif not layer.rgb and layer.ndim in (2, 3):
        array = da.asarray(data)
    else:
        raise CellsegError(
            f"layer '{layer.name}' has {layer.ndim} axes",
            "an image (y, x) or (channel, y, x)",
            "take one plane",
        )
    link = link_of(layer)
    path = link.path if link is not None else layer.source.path
    name = link.image if link is not None else layer.name
    return Image(array, name, pixel_nm_of(layer), None if path is None else Path(path))


def add_layer(
    viewer: ViewerModel, kind: str, data: Any, *, like: Layer, name: str, link: Link, **more: Any
) -> Layer:
    """Add an image or labels layer at the place of another, right above it; never replaces one.

    If `data` has fewer pixels than `like`, it is spread over the same field: its scale
    grows and its first pixel moves by the half pixels gained.
    """
    place = place_of(like)
    shape = (like.data[0] if like.multiscale else like.data).shape
    full = shape[:2] if getattr(like, "rgb", False) else shape[-2:]
    factor = np.divide(full, data.shape[-2:])
    if not np.allclose(factor, 1):
        shift = (factor - 1) / 2
        place["translate"] = place["translate"] + shift * place["scale"]
        place["scale"] = place["scale"] * factor
    made = {"image": ImageLayer, "labels": Labels}[kind](
        data, name=name, metadata={KEY: link}, **place, **more
    )
    viewer.layers.insert(viewer.layers.index(like) + 1, made)
    return made


def class_colors(classes: Classes, *, background: bool = True) -> DirectLabelColormap:
    """Return the colours of label layers; what is not annotated is transparent.

    So is the background of predictions: it would cover the image.
    """
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent", 1: "transparent"}
    first = 1 if background else 2
    return DirectLabelColormap(color_dict=colors | {i: classes.colors[i] for i in range(first, len(classes))})


def class_features(classes: Classes) -> dict[str, list[Any]]:
    """Return the features of label layers: napari shows a pixel's class in its status line.

    Examples
    --------
    >>> class_features(Classes.of("cell"))
    {'index': [1, 2], 'class': ['background', 'cell']}
    """
    return {"index": list(range(1, len(classes))), "class": list(classes.names[1:])}


def set_classes(layer: Labels, classes: Classes) -> None:
    """Give a labels layer its classes' colours and names."""
    link = link_of(layer)
    layer.colormap = class_colors(classes, background=link is None or link.role == "annotation")
    layer.features = class_features(classes)
    if link is not None:
        layer.metadata[KEY] = replace(link, classes=classes)


def count_pixels(labels: NDArray[np.integer], classes: Classes) -> dict[str, int]:
    """Return the pixels of each class but "not annotated"; fast enough to follow a brush.

    Examples
    --------
    >>> count_pixels(np.array([[0, 2], [2, 1]]), Classes.of("cell"))
    {'background': 1, 'cell': 2}
    """
    return {name: int(np.count_nonzero(labels == i)) for i, name in enumerate(classes.names) if i}


def source_files(viewer: ViewerModel) -> dict[Path, float | None]:
    """Return the files that the image layers were opened from, and the pixel sizes (nm) the layers have."""
    found = {}
    for layer in viewer.layers:
        link = link_of(layer)
        path = link.path if link is not None and link.role == "image" else layer.source.path
        if path is not None and isinstance(layer, ImageLayer):
            found[Path(path)] = pixel_nm_of(layer)
    return found


def unfinished(layers: Iterable[Layer]) -> list[str]:
    """Return the names of the layers that a running job still writes."""
    return [layer.name for layer in layers if bool(layer.locked)]


def rgba(color: str) -> list[float]:
    """Return an opaque colour as napari takes it.

    Examples
    --------
    >>> rgba("#ff0000")
    [1.0, 0.0, 0.0, 1.0]
    """
    return [*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0]
