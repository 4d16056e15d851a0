"""Images of a project in the viewer: opened with their annotation, saved while painted, closed."""

from __future__ import annotations

import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image as ImageLayer

from napari_cellseg.gui.layers import (
    KEY,
    Link,
    add_layer,
    image_layer,
    is_changed,
    link_of,
    linked,
    set_classes,
    unfinished,
)
from napari_cellseg.gui.preferences import preference
from napari_cellseg.images.autosave import Autosave

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_cellseg.images.project import Project


class Saving:
    """Keeps one annotation layer on the disk; follows strokes, undo and fills.

    Attributes
    ----------
    saved_at : float or None
        When the plane last reached the disk (`time.time`); None before the first change.
    """

    def __init__(self, project: Project, name: str, layer: Labels) -> None:
        self.project, self.name, self.data = project, name, layer.data
        self.saved_at: float | None = None
        self._sum = zlib.adler32(np.ascontiguousarray(self.data))
        self._autosave = Autosave(_Clocked(project, self), preference("annotate", "autosave_seconds"))

    def touch(self) -> None:
        """Note that something was painted."""
        self._autosave.changed(self.name, lambda: self.data)

    def look(self, layer: Labels) -> None:
        """Note a change that came without a stroke: undo, redo, a script."""
        self.data = layer.data
        now = zlib.adler32(np.ascontiguousarray(self.data))
        if now != self._sum:
            self._sum = now
            self.touch()

    def save(self) -> None:
        """Write now what is not on the disk yet."""
        self._autosave.flush()

    def close(self) -> None:
        """Write what is not on the disk yet and end."""
        self._autosave.close()

    def state(self) -> str:
        """Return one short line: saved, waiting, or why not."""
        if self._autosave.error is not None:
            return f"NOT SAVED: {self._autosave.error}"
        if self._autosave.pending:
            return "saving ..."
        if self.saved_at is None:
            return "all saved"
        seconds = max(0, round(time.time() - self.saved_at))
        ago = f"{seconds} s" if seconds < 90 else f"{seconds // 60} min"
        return f"saved {ago} ago"


class _Clocked:
    """A project as `Autosave` sees it, noting when a plane was written."""

    def __init__(self, project: Project, saving: Saving) -> None:
        self.project, self.saving = project, saving

    def save_labels(self, name: str, labels: np.ndarray) -> None:
        self.project.save_labels(name, labels)
        self.saving.saved_at = time.time()


def open_image(viewer: ViewerModel, project: Project, name: str) -> Labels:
    """Show an image of a project with its annotation ready to paint; return the annotation.

    What is open already is only selected. A layer of the same file is used as it is.
    """
    found = linked(viewer, "annotation", project=project.path, image=name)
    if found:
        annotation = found[0]
    else:
        below = _shown_image(viewer, project, name)
        labels = project.labels(name)
        annotation = add_layer(
            viewer,
            "labels",
            labels.astype(np.uint8 if len(project.classes) <= 256 else np.uint16),
            like=below,
            name=f"{name} annotation",
            link=Link("annotation", name, project.path, classes=project.classes),
            opacity=0.6,
        )
        set_classes(annotation, project.classes)
        annotation.brush_size = preference("annotate", "brush_px")
        annotation.selected_label = min(2, len(project.classes) - 1)
        _keep_saved(viewer, project, name, annotation)
    for layer in (annotation, *linked(viewer, "image", project=project.path, image=name)):
        layer.visible = True
    viewer.layers.selection.active = annotation
    return annotation


def _shown_image(viewer: ViewerModel, project: Project, name: str) -> Layer:
    record = project.image(name)
    path = record.path
    for layer in viewer.layers:
        link = link_of(layer)
        source = link.path if link is not None and link.role == "image" else layer.source.path
        if source is not None and isinstance(layer, ImageLayer) and Path(source) == path:
            layer.metadata[KEY] = Link("image", name, project.path, path)
            return layer
    from napari_cellseg.images.micrographs import read_image  # with dask: not needed to open a dock

    image = read_image(path, pixel_nm=record.pixel_nm)
    data, keywords, _ = image_layer(replace(image, name=name), link=Link("image", name, project.path, path))
    first = not viewer.layers
    layer = viewer.add_image(data, **keywords)
    if not first:
        viewer.reset_view(layers=[layer])
    return layer


def _keep_saved(viewer: ViewerModel, project: Project, name: str, annotation: Labels) -> None:
    import zarr  # noqa: F401 (now, so that the first save does not wait for it)

    saving = Saving(project, name, annotation)
    annotation.metadata[KEY] = replace(annotation.metadata[KEY], saving=saving)
    layers = viewer.layers

    def touched(event: object = None) -> None:
        saving.touch()

    def looked(event: object = None) -> None:
        saving.look(annotation)

    def removed(event: object) -> None:
        if event.value is annotation:
            layers.events.removed.disconnect(removed)
            saving.close()

    # functions, not methods: the layer holds them, so saving lives exactly as long as it is needed
    annotation.events.paint.connect(touched)
    annotation.events.labels_update.connect(touched)
    annotation.events.set_data.connect(looked)
    layers.events.removed.connect(removed)


def close_others(viewer: ViewerModel, project: Project, name: str) -> None:
    """Take the other images of a project off the viewer; their annotations are saved first.

    Predictions go with their image, as they can be made again, unless somebody changed them
    or a job still writes them: those are hidden.
    """
    for layer in list(viewer.layers):
        link = link_of(layer)
        if link is None or link.project != project.path or link.image == name or link.role == "copy":
            continue
        if (link.role == "labels" and is_changed(layer)) or unfinished([layer]):
            layer.visible = False
        else:
            viewer.layers.remove(layer)


def save_all(viewer: ViewerModel, project: Path) -> None:
    """Write every open annotation of a project that is not on the disk yet."""
    for layer in linked(viewer, "annotation", project=project):
        saving = layer.metadata[KEY].saving
        if saving is not None:
            saving.save()


def open_project(viewer: ViewerModel) -> Path | None:
    """Return the folder of the project that is open in the viewer, or None."""
    active = viewer.layers.selection.active
    for layer in ([active] if active is not None else []) + list(reversed(viewer.layers)):
        link = link_of(layer)
        if link is not None and link.project is not None:
            return link.project
    return None


def next_image(project: Project, after: str | None) -> str | None:
    """Return the image to annotate next: the first without labels after this one, else the next one.

    None if there is no other.
    """
    names = [record.name for record in project.images]
    if after not in names:
        return names[0] if names else None
    order = names[names.index(after) + 1 :] + names[: names.index(after)]
    annotated = set(project.labelled())
    return next((name for name in order if name not in annotated), order[0] if order else None)
