"""Filaments and points of coordinate files as layers, and such layers as files again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import current_viewer
from napari.layers import Image as ImageLayer
from napari.layers import Layer, Points, Shapes

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.kinds import WRITERS, micrograph_stem
from napari_cellseg.gui.layers import KEY, Link, link_of, pixel_nm_of, pixel_place, place_of, plane_of
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.micrographs import stem

if TYPE_CHECKING:
    from napari.types import FullLayerData, LayerData
    from numpy.typing import NDArray

LINES = ("path", "line")
COLOR = "#ff7f0e"


def read_coordinate_layers(path: Path) -> list[LayerData]:
    """Return what a coordinate file holds as layers, at the place of its micrograph in the viewer.

    The micrograph is the image layer of the same name, else the one chosen, else the topmost shown.

    Raises
    ------
    CellsegError
        If the file cannot be read, or needs a micrograph that is not open.
    """
    from napari.utils.notifications import show_info

    from napari_cellseg.formats.coordinates import SeveralMicrographs, read_coordinates

    layer = micrograph_layer(path)
    try:
        found = read_coordinates(path, **_known_of(layer))
    except SeveralMicrographs as several:
        layer = next(filter(None, (_layer_named(stem(name)) for name in several.names)), None)
        if layer is None:
            raise
        found = read_coordinates(path, **_known_of(layer))
    for notice in found.notices:
        show_info(notice)
    return coordinate_layers(found, path.stem, like=layer)


def coordinate_layers(coordinates: Coordinates, name: str, *, like: Layer | None = None) -> list[LayerData]:
    """Return filaments as a layer of paths and loose points as one of points.

    Parameters
    ----------
    coordinates : Coordinates
    name : str
        Name of the layers.
    like : Layer, optional
        The micrograph's layer: they come to lie upon it.
    """
    place = pixel_place(coordinates.pixel_nm) if like is None else place_of(like)
    link = None if like is None else link_of(like)
    micrograph = Path(coordinates.micrograph) if coordinates.micrograph else None
    image = link.image if link else name if like is None else like.name
    facts = {"project": link.project if link else None, "path": link.path if link else micrograph}
    size = max(2.0, max(coordinates.shape or (2000,)) / 600)
    layers: list[LayerData] = []
    if coordinates.filaments or not len(coordinates.points):
        keywords = {
            "name": name,
            "metadata": {KEY: Link("filaments", image, **facts)},
            "features": filament_features(coordinates.filaments, coordinates.pixel_nm),
            "feature_defaults": {
                "id": 0,
                "length_nm": np.nan,
                "score": np.nan,
                "width_px": np.nan,
                "locked": True,
            },
            "edge_color": COLOR,
            "edge_width": size,
            "ndim": 2,
            **place,
        }
        paths = [filament.path for filament in coordinates.filaments]
        layers.append((paths, keywords | {"shape_type": "path"}, "shapes"))
    if len(coordinates.points):
        keywords = {
            "name": f"{name} points" if layers else name,
            "metadata": {KEY: Link("points", image, **facts)},
            "features": point_features(coordinates),
            "feature_defaults": {"score": np.nan, "filament": 0, "along_px": np.nan},
            "face_color": "transparent",
            "border_color": COLOR,
            "size": 6 * size,
            **place,
        }
        layers.append((coordinates.points, keywords, "points"))
    return layers


def filament_features(filaments: tuple[Filament, ...], pixel_nm: float | None) -> dict[str, list[Any]]:
    """Return the features of a layer of filaments; NaN where something is not known.

    Examples
    --------
    >>> filament_features((Filament([[0, 0], [0, 9]], 3, score=0.5),), 2.0)
    {'id': [3], 'length_nm': [18.0], 'score': [0.5], 'width_px': [nan], 'locked': [False]}
    """
    return {
        "id": [filament.id for filament in filaments],
        "length_nm": [filament.length_px * (pixel_nm or np.nan) for filament in filaments],
        "score": [np.nan if filament.score is None else filament.score for filament in filaments],
        "width_px": [np.nan if filament.width_px is None else filament.width_px for filament in filaments],
        "locked": [filament.locked for filament in filaments],
    }


def point_features(coordinates: Coordinates) -> dict[str, Any]:
    """Return the features of a layer of points: NaN where something is not known, filament 0 = on none.

    Examples
    --------
    >>> point_features(Coordinates(points=[[1, 2]], owners=[3], arcs_px=[40.0]))
    {'score': array([nan]), 'filament': array([3]), 'along_px': array([40.])}
    """
    unknown = np.full(len(coordinates.points), np.nan)
    none = np.zeros(len(coordinates.points), np.int64)
    return {
        "score": unknown if coordinates.scores is None else coordinates.scores,
        "filament": none if coordinates.owners is None else coordinates.owners,
        "along_px": unknown if coordinates.arcs_px is None else coordinates.arcs_px,
    }


def filaments_from(layer: Shapes) -> tuple[Filament, ...]:
    """Return the paths and lines of a layer as filaments, in pixels of the layer.

    What has no number yet, or that of an earlier one, gets the next that is free; what was
    drawn by hand is locked.
    """
    features = layer.features
    taken = {int(one) for one in features.get("id", ()) if one == one and one > 0}
    seen: set[int] = set()
    filaments = []
    for row, (path, kind) in enumerate(zip(layer.data, layer.shape_type, strict=True)):
        if kind not in LINES:
            continue
        number = features["id"].iloc[row] if "id" in features else 0
        number = int(number) if number == number else 0
        if number < 1 or number in seen:
            number = max(taken | seen, default=0) + 1
        seen.add(number)
        known = {
            name: float(features[name].iloc[row])
            for name in ("width_px", "score")
            if name in features and features[name].iloc[row] == features[name].iloc[row]
        }
        locked = bool(features["locked"].iloc[row]) if "locked" in features else True
        filaments.append(Filament(np.asarray(path)[:, -2:], number, locked=locked, **known))
    return tuple(filaments)


def write_coordinate_layers(path: str, layers: list[FullLayerData]) -> list[str]:
    """Write layers of filaments and points; the suffix of the file says for which program.

    Raises
    ------
    CellsegError
        If no format has the suffix, or something is missing that it needs.
    """
    from napari.utils.notifications import show_info

    from napari_cellseg.formats.coordinates import write_coordinates

    suffix = Path(path).suffix.lower()
    formats = [name for name, writer in WRITERS.items() if writer.ending.endswith(suffix)]
    if not suffix or not formats:
        endings = ", ".join(sorted({f".{writer.ending.rpartition('.')[2]}" for writer in WRITERS.values()}))
        raise CellsegError(f"{Path(path).name}: no format of coordinates", endings, "choose another suffix")
    # napari cannot take back the defaults of whole-number features that it gave
    given = [
        (data, {key: value for key, value in keywords.items() if key != "feature_defaults"}, kind)
        for data, keywords, kind in layers
    ]
    coordinates = coordinates_from([Layer.create(*one) for one in given])
    done = write_coordinates(path, coordinates, format=formats[0], overwrite=True)
    for notice in done.notices:
        show_info(notice)
    show_info(f"next: {WRITERS[formats[0]].next_step}")
    return [str(done.path)]


def coordinates_from(layers: list[Layer]) -> Coordinates:
    """Return what layers of one micrograph hold, in its pixels, with what is known of it."""
    micrograph = _layer_of(layers[0])
    filaments: list[Filament] = []
    points, features = [np.zeros((0, 2))], [np.zeros((0, 3))]
    for layer in layers:
        if isinstance(layer, Shapes):
            filaments += [
                replace(filament, path=_pixels(filament.path, layer, micrograph))
                for filament in filaments_from(layer)
            ]
        elif isinstance(layer, Points):
            points.append(_pixels(np.asarray(layer.data)[:, -2:], layer, micrograph))
            features.append(_point_facts(layer))
    scores, owners, arcs = np.concatenate(features).T
    facts = _known_of(micrograph)
    return Coordinates(
        tuple(filaments),
        np.concatenate(points),
        # what was added by hand is sure, where others have a score
        None if np.isnan(scores).all() else np.nan_to_num(scores, nan=1.0),
        owners=owners.astype(np.int64) if owners.any() else None,
        arcs_px=arcs if owners.any() else None,
        pixel_nm=facts.get("pixel_nm") or pixel_nm_of(layers[0]),
        shape=facts.get("shape"),
        micrograph=str(facts.get("image") or ""),
    )


def _point_facts(layer: Points) -> NDArray[np.float64]:
    """Return score, filament and place along it (n, 3); NaN and 0 where they are not known."""
    facts = np.full((len(layer.data), 3), np.nan)
    for column, name in enumerate(("score", "filament", "along_px")):
        if name in layer.features:
            facts[:, column] = np.asarray(layer.features[name], float)
    facts[:, 1] = np.nan_to_num(facts[:, 1])
    return facts


def _pixels(places: NDArray[np.float64], layer: Layer, micrograph: ImageLayer | None) -> NDArray[np.float64]:
    """Return places of a layer in pixels of its micrograph, where that has another scale or origin."""
    if micrograph is None:
        return places
    world = places * layer.scale[-2:] + layer.translate[-2:]
    return (world - micrograph.translate[-2:]) / micrograph.scale[-2:]


def micrograph_layer(path: Path) -> ImageLayer | None:
    """Return the image layer that a coordinate file belongs to, if one can be told."""
    return _layer_named(micrograph_stem(path)) or _chosen_layer()


def _image_layers() -> list[ImageLayer]:
    viewer = current_viewer()
    layers = [] if viewer is None else list(viewer.layers)
    roles = (None, "image")
    return [
        layer
        for layer in layers
        if isinstance(layer, ImageLayer) and getattr(link_of(layer), "role", None) in roles
    ]


def _layer_named(name: str) -> ImageLayer | None:
    for layer in _image_layers():
        link = link_of(layer)
        if name in {layer.name, link.image if link else layer.name}:
            return layer
    return None


def _chosen_layer() -> ImageLayer | None:
    images, viewer = _image_layers(), current_viewer()
    active = None if viewer is None else viewer.layers.selection.active
    shown = [layer for layer in images if layer.visible]
    return active if active in images else shown[-1] if shown else None


def _layer_of(layer: Layer) -> ImageLayer | None:
    link = link_of(layer)
    return (_layer_named(link.image) if link else None) or _chosen_layer()


def _known_of(layer: ImageLayer | None) -> dict[str, Any]:
    """Return what `read_coordinates` wants to know of a micrograph."""
    if layer is None:
        return {}
    link = link_of(layer)
    shape = plane_of(layer).shape
    rows, cols = shape[:2] if layer.rgb else shape[-2:]
    image = link.path or link.image if link else layer.source.path or layer.name
    return {"image": image, "shape": (int(rows), int(cols)), "pixel_nm": pixel_nm_of(layer)}
