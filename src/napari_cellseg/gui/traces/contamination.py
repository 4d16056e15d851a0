"""Where no filaments are traced: carbon and ice, painted, learned or found by their darkness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import KEY, Link, link_of, linked, pixel_nm_of, place_of, plane_of
from napari_cellseg.objects.contamination import contamination_indices, find_contamination

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_cellseg.gui.traces.source import Region, Source

ROLE, NAME, COLOR = "contamination", "carbon and ice", (1.0, 0.65, 0.0, 1.0)


@dataclass(frozen=True)
class Avoided:
    """What says where carbon and ice are.

    Attributes
    ----------
    layer : Layer
        Labels, or a micrograph to look for them in.
    indices : tuple of int, or None
        The labels that are contamination; None = all above 0.
    """

    layer: Layer
    indices: tuple[int, ...] | None = None

    @property
    def is_known(self) -> bool:
        """Whether somebody painted, corrected or learned it, so that nothing has to be looked for."""
        return isinstance(self.layer, Labels)

    def pixels(self, region: Region | None = None) -> NDArray[np.bool_]:
        """Return where contamination is, (y, x); in a region only if given."""
        plane = plane_of(self.layer)
        plane = np.asarray(plane if region is None else plane[region])
        if not self.is_known:
            return find_contamination(plane, pixel_nm=pixel_nm_of(self.layer))
        return plane > 0 if self.indices is None else np.isin(plane, self.indices)


def avoided(viewer: ViewerModel, source: Source, micrograph: Layer | None) -> Avoided:
    """Return what says where carbon and ice are: our layer of it, a class that is it, or the micrograph.

    Raises
    ------
    CellsegError
        If there is nothing of the kind, or it has other pixels than the source.
    """
    link = link_of(source.layer)
    image = source.layer.name if link is None else link.image
    candidates = [Avoided(layer) for layer in linked(viewer, ROLE, image=image)]
    for layer in [*linked(viewer, "labels", image=image), *linked(viewer, "annotation", image=image)]:
        classes = link_of(layer).classes
        indices = contamination_indices(() if classes is None else classes.names)
        if indices and np.isin(plane_of(layer), indices).any():
            candidates.append(Avoided(layer, tuple(indices)))
    if micrograph is not None:
        candidates.append(Avoided(micrograph))
    if not candidates:
        raise CellsegError("no micrograph to look for carbon and ice in", "its image", "untick it")
    chosen = candidates[0]
    if plane_of(chosen.layer).shape != source.shape:
        raise CellsegError(
            f"'{chosen.layer.name}' has other pixels than '{source.layer.name}'",
            "the same, to leave out carbon and ice",
            "untick it",
        )
    return chosen


def show_contamination(viewer: ViewerModel, source: Source, found: NDArray[np.bool_]) -> Labels:
    """Add a layer of what was found by its darkness; corrected by hand it is what counts from then on."""
    link, active = link_of(source.layer), viewer.layers.selection.active
    layer = viewer.add_labels(
        found.astype(np.uint8),
        name=NAME,
        opacity=0.35,
        colormap=DirectLabelColormap(color_dict={0: "transparent", 1: COLOR, None: COLOR}),
        metadata={KEY: Link(ROLE, source.layer.name if link is None else link.image)},
        **place_of(source.layer),
    )
    viewer.layers.selection.active = active
    return layer
