"""What filaments are traced in: layers of probabilities or labels, and the micrograph they belong to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from napari_cellseg.gui.correct import pixel_map
from napari_cellseg.gui.layers import link_of, linked, pixel_nm_of, plane_of
from napari_cellseg.images.filament_edits import thinned
from napari_cellseg.objects.filaments import trace

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_cellseg.gui.traces.contamination import Avoided
    from napari_cellseg.images.filament import Filament
    from napari_cellseg.objects.settings import TraceSettings

    Region = tuple[slice, slice]

MARGIN_PX = 256  # around what is in sight, so that few filaments of it are cut short


@dataclass(frozen=True)
class Source:
    """A plane that says where filaments are.

    Attributes
    ----------
    layer : Layer
        Probabilities, or labels.
    label : int or None
        Of labels, the index that is the filament; None = every index above 0.
    title : str
        For a list to choose from.
    """

    layer: Layer
    label: int | None
    title: str

    def plane(self, region: Region | None = None) -> NDArray[Any]:
        """Return probabilities (y, x) float32, or a mask (y, x) bool; of a region only if given."""
        pixels = plane_of(self.layer)
        pixels = np.asarray(pixels if region is None else pixels[region])
        if isinstance(self.layer, Labels):
            return pixels > 0 if self.label is None else pixels == self.label
        if np.issubdtype(pixels.dtype, np.integer):
            return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        return pixels.astype(np.float32, copy=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        rows, cols = plane_of(self.layer).shape
        return rows, cols

    def around(self, region: Region) -> Region:
        """Return a region with a margin, within the plane."""
        rows, cols = (
            slice(max(0, span.start - MARGIN_PX), min(side, span.stop + MARGIN_PX))
            for span, side in zip(region, self.shape, strict=True)
        )
        return rows, cols


@dataclass(frozen=True, eq=False)
class Contamination:
    """Carbon and ice that were found, (y, x) bool in pixels of the source."""

    mask: NDArray[np.bool_]


def sources(viewer: ViewerModel) -> list[Source]:
    """Return what filaments can be traced in, probabilities of our own first, the topmost first."""
    probabilities, labels, others = [], [], []
    for layer in reversed(viewer.layers):
        link = link_of(layer)
        role = link.role if link is not None else None
        if role == "probabilities":
            probabilities.append(Source(layer, None, layer.name))
        elif isinstance(layer, Labels) and layer.ndim == 2 and role in (None, "labels", "annotation", "copy"):
            if link is None or link.classes is None:
                labels.append(Source(layer, None, layer.name))
                continue
            targets = enumerate(link.classes.targets, start=2)
            labels += [Source(layer, index, f"{layer.name}: {name}") for index, name in targets]
        elif link is None and _is_plane(layer) and np.issubdtype(layer.dtype, np.floating):
            others.append(Source(layer, None, layer.name))
    return [*probabilities, *labels, *others]


def micrograph_for(viewer: ViewerModel, layer: Layer) -> ImageLayer | None:
    """Return the image layer that a layer belongs to: by its link, else one with as many pixels below it."""
    link = link_of(layer)
    if link is not None:
        found = linked(viewer, "image", image=link.image)
        named = [one for one in viewer.layers if isinstance(one, ImageLayer) and one.name == link.image]
        return next(iter([*found, *named]), None)
    if not isinstance(layer, Labels | ImageLayer):
        return None
    shape = plane_of(layer).shape[-2:]
    for other in viewer.layers:
        role = getattr(link_of(other), "role", "image")
        if other != layer and role == "image" and _is_plane(other) and plane_of(other).shape == shape:
            return other
    return None


def _is_plane(layer: Layer) -> bool:
    return isinstance(layer, ImageLayer) and layer.ndim == 2 and not layer.rgb


def trace_steps(
    source: Source,
    base: Layer,
    settings: TraceSettings,
    region: Region | None = None,
    *,
    avoid: Avoided | None = None,
) -> Generator[Contamination | list[Filament], None, None]:
    """Return a job that yields the filaments of a source, in pixels of another layer.

    Contamination that had to be looked for comes before them.

    Parameters
    ----------
    source : Source
    base : Layer
        The micrograph, or the source's own layer.
    settings : TraceSettings
    region : (rows, cols), optional
        Part of the source; everything if not given.
    avoid : Avoided, optional
        Where nothing is traced.
    """
    to_base = pixel_map(source.layer, base)
    pixel_nm = pixel_nm_of(source.layer)
    grows = float(np.sqrt(abs(np.linalg.det(to_base[:, :2]))))
    corner = np.array([0, 0] if region is None else [span.start for span in region])

    def steps() -> Generator[Contamination | list[Filament], None, None]:
        excluded = None if avoid is None else avoid.pixels(region)
        if excluded is not None and not avoid.is_known:
            yield Contamination(excluded)
        found = trace(source.plane(region), pixel_nm=pixel_nm, excluded=excluded, settings=settings)
        yield [
            thinned(
                replace(
                    one,
                    path=(one.path + corner) @ to_base[:, :2].T + to_base[:, 2],
                    width_px=None if one.width_px is None else one.width_px * grows,
                )
            )
            for one in found
        ]

    return steps()
