"""Cleaning up the labels of a result in the viewer: on a region, or in the layer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import is_changed, link_of, linked, pixel_nm_of, plane_of, remember
from napari_cellseg.predict.chain import apply_chain, starts_from_probabilities

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellseg.predict.chain import Chain

    Region = tuple[slice, slice]

MARGIN_PX = 48  # around a region, so that objects at its edge are not all cut to pieces


def whole(labels: Labels) -> Region:
    """Return the region that is all of a labels layer."""
    height, width = plane_of(labels).shape
    return slice(0, height), slice(0, width)


def probability_planes(viewer: ViewerModel, labels: Labels) -> list[Any] | None:
    """Return the planes (y, x) of each class that labels were made of, 255 for 1; None if not open.

    They are those of the layers that the same segmentation made.
    """
    link = link_of(labels)
    if link is None or link.classes is None or not link.result:
        return None
    found = {
        link_of(layer).target: plane_of(layer)
        for layer in linked(viewer, "probabilities", image=link.image)
        if link_of(layer).result == link.result
    }
    wanted = link.classes.targets
    return [found[target] for target in wanted] if all(target in found for target in wanted) else None


def refine_steps(
    viewer: ViewerModel, labels: Labels, chain: Chain, region: Region
) -> Generator[NDArray[np.integer], None, None]:
    """Return a job that yields the labels of a region after all steps; the layer is left as it is.

    Layers are looked at now, their pixels only by the job.

    Raises
    ------
    CellsegError
        Now, if the chain starts from probabilities that are not open.
    """
    planes = probability_planes(viewer, labels) if starts_from_probabilities(chain) else []
    if planes is None:
        raise CellsegError(
            f"the probabilities of '{labels.name}' are not open",
            f"their layers for the step {chain[0][0]}",
            "open or segment the image again, or take that step out",
        )
    plane, pixel_nm = plane_of(labels), pixel_nm_of(labels)

    def steps() -> Generator[NDArray[np.integer], None, None]:
        parts = [np.asarray(one[region]) for one in planes]
        # no step looks at the background's own plane
        stack = np.stack([np.zeros_like(parts[0]), *parts]) if parts else None
        yield apply_chain(np.asarray(plane[region]), chain, probabilities=stack, pixel_nm=pixel_nm)

    return steps()


def around(region: Region, labels: Labels) -> tuple[Region, Region]:
    """Return a region with a margin, within the plane, and where the region lies in it."""
    outer, inner = [], []
    for span, side in zip(region, plane_of(labels).shape, strict=True):
        start = max(0, span.start - MARGIN_PX)
        outer.append(slice(start, min(side, span.stop + MARGIN_PX)))
        inner.append(slice(span.start - start, span.stop - start))
    return (outer[0], outer[1]), (inner[0], inner[1])


def check_replaceable(labels: Labels, *, painted_too: bool) -> None:
    """Raise an error if labels cannot be changed in place, or if somebody worked on them.

    Raises
    ------
    CellsegError
        With what to do instead.
    """
    if not isinstance(labels.data, np.ndarray) or not labels.editable:
        raise CellsegError(f"'{labels.name}' cannot be edited", remedy="put the result into a new layer")
    if not painted_too and is_changed(labels):
        raise CellsegError(
            f"somebody worked on '{labels.name}'",
            remedy="put the result into a new layer, or tick 'also what was painted'",
        )


def replace_labels(labels: Labels, plane: NDArray[np.integer]) -> int:
    """Change a whole layer in one step that Ctrl+Z takes back; return how many pixels changed."""
    untouched = not is_changed(labels)
    row, col = np.nonzero(labels.data != plane)
    if row.size:
        # napari keeps these in its undo list for long: small integers weigh a quarter
        small = np.min_scalar_type(max(plane.shape))
        indices = (row.astype(small), col.astype(small))
        labels.data_setitem(indices, plane[row, col].astype(labels.data.dtype))
    if untouched:
        remember(labels)
    return int(row.size)
