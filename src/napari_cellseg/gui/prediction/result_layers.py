"""Layers that a running segmentation fills in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from napari.utils.colormaps import Colormap

from napari_cellseg.gui.layers import Link, add_layer, link_of, remember, rgba, set_classes
from napari_cellseg.gui.preferences import preference

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer
    from napari.layers import Labels

    from napari_cellseg.gui.prediction.blocks import Block
    from napari_cellseg.images.annotation import Classes

OVERLAY = {"contrast_limits": (0, 255), "blending": "translucent", "opacity": 0.5}
# from nothing over violet to yellow, so that what is doubtful stands out of the image
DOUBT = Colormap([[0, 0, 0, 0], [0.6, 0.1, 0.6, 0.8], [1, 0.9, 0.1, 1]], name="uncertainty")


class ResultLayers:
    """The probabilities of each class and the labels of one image, empty at first.

    They lie where the image lies and get new names; nothing there is replaced. While they
    are written they are locked.

    Parameters
    ----------
    viewer : ViewerModel
    source : Image layer
        The image that is segmented.
    classes : Classes
        Those of the model.
    shape : (y, x)
    uncertainty : bool
        One more layer for how uncertain the network is.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        source: ImageLayer,
        classes: Classes,
        shape: tuple[int, int],
        *,
        uncertainty: bool = False,
    ) -> None:
        link, self.viewer = link_of(source), viewer
        name = link.image if link is not None else source.name
        made = Link("", name, None if link is None else link.project, classes=classes, result=uuid4().hex)
        active = viewer.layers.selection.active
        shown = bool(preference("segment", "show_probabilities"))
        self.probabilities: list[ImageLayer] = []
        below = source
        for label, target in enumerate(classes.targets, start=2):
            below = add_layer(
                viewer,
                "image",
                np.zeros(shape, np.uint8),
                like=below,
                name=f"{name} probabilities ({target})",
                link=replace(made, role="probabilities", target=target),
                colormap=Colormap([[0, 0, 0, 0], rgba(classes.colors[label])], name=target),
                visible=shown,
                **OVERLAY,
            )
            self.probabilities.append(below)
        self.uncertainty: ImageLayer | None = None
        if uncertainty:
            below = self.uncertainty = add_layer(
                viewer,
                "image",
                np.zeros(shape, np.uint8),
                like=below,
                name=f"{name} uncertainty",
                link=replace(made, role="uncertainty"),
                colormap=DOUBT,
                **OVERLAY,
            )
        self.labels: Labels = add_layer(
            viewer,
            "labels",
            np.zeros(shape, np.uint8),
            like=below,
            name=f"{name} labels",
            link=replace(made, role="labels"),
            opacity=0.5,
        )
        set_classes(self.labels, classes)
        viewer.layers.selection.active = active  # whoever paints goes on painting
        self._lock(True)

    @property
    def all(self) -> list[ImageLayer | Labels]:
        """Every layer made."""
        return [*self.probabilities, *([] if self.uncertainty is None else [self.uncertainty]), self.labels]

    def fill(self, block: Block) -> None:
        """Write one block and show it; layers that were removed meanwhile are left alone."""
        for layer, plane in zip(self.probabilities, block.probabilities[1:], strict=True):
            layer.data[block.rows, block.cols] = plane
        if self.uncertainty is not None and block.uncertainty is not None:
            self.uncertainty.data[block.rows, block.cols] = block.uncertainty
        self.labels.data[block.rows, block.cols] = block.labels
        for layer in self.all:
            if layer in self.viewer.layers:
                layer.refresh(extent=False, thumbnail=False)

    def finish(self) -> None:
        """Unlock the layers; whoever paints in the labels from now on makes them theirs."""
        self._lock(False)
        remember(self.labels)
        for layer in self.all:
            if layer in self.viewer.layers:
                layer.refresh(extent=False)

    def _lock(self, locked: bool) -> None:
        for layer in self.all:
            layer.locked = locked
        self.labels.editable = not locked
