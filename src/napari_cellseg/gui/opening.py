"""Images of a project in the viewer: opened with their annotation, saved while painted, closed."""

from __future__ import annotations

import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import (
    KEY,
    Link,
    add_layer,
    check_size,
    image_layer,
    is_changed,
    link_of,
    linked,
    set_classes,
    unfinished,
)
from napari_cellseg.gui.overview import start_filling
from napari_cellseg.gui.preferences import preference
from napari_cellseg.images.autosave import Autosave

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_cellseg.images.project import Project
    from napari_cellseg.images.project_image import ProjectImage


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
        seconds = preference("annotate", "autosave_seconds")
        self._autosave = Autosave(_Clocked(project, self), seconds, self._failed)

    @staticmethod
    def _failed(error: BaseException) -> None:
        show_error(f"NOT SAVED: {error}")  # the dock's line may be out of sight

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


def open_image(viewer: ViewerModel, project: Project, name: str, *, alone: bool = False) -> Labels:
    """Show an image of a project with its annotation ready to paint; return the annotation.

    What is open already is only selected. A layer of the same file is used as it is.

    Parameters
    ----------
    viewer : ViewerModel
    project : Project
    name : str
        Of the image.
    alone : bool
        Take the other images of the project off the viewer, see `close_others`. Nothing is
        taken off if this one cannot be shown or one of them cannot be saved.

    Raises
    ------
    CellsegError
        If the image is missing, damaged, too large, or of another size than it was.
    """
    found = linked(viewer, "annotation", project=project.path, image=name)
    if found:
        annotation = found[0]
        if alone:
            close_others(viewer, project, name)
    else:
        _check(project.image(name))
        below = _layer_of(viewer, project, name)
        data = None if below is not None else _read(project, name)
        labels = project.labels(name)
        if alone:  # before the new one: two images with other units at once make napari warn
            close_others(viewer, project, name)
        if data is not None:
            below = _shown(viewer, data)
        annotation = _annotation_layer(viewer, project, name, labels, below)
    for layer in (annotation, *linked(viewer, "image", project=project.path, image=name)):
        layer.visible = True
    viewer.layers.selection.active = annotation
    return annotation


def _check(record: ProjectImage) -> None:
    if record.missing:
        raise CellsegError(
            f"the image '{record.name}' is missing: {record.path}",
            remedy="right-click it in the list of images and choose 'Find the file ...'",
        )
    check_size(record.name, record.shape)


def _layer_of(viewer: ViewerModel, project: Project, name: str) -> Layer | None:
    """Return the layer that shows the file of an image already, from now on as that image."""
    record = project.image(name)
    for layer in viewer.layers:
        link = link_of(layer)
        source = link.path if link is not None and link.role == "image" else layer.source.path
        if source is not None and isinstance(layer, ImageLayer) and Path(source) == record.path:
            layer.metadata[KEY] = Link("image", name, project.path, record.path)
            return layer
    return None


def _read(project: Project, name: str) -> tuple[Any, dict[str, Any], str]:
    from napari_cellseg.images.micrographs import read_image  # with dask: not needed to open a dock

    record = project.image(name)
    image = replace(read_image(record.path, pixel_nm=record.pixel_nm), name=name)
    if image.shape != record.shape:
        raise CellsegError(
            f"'{name}' is now {image.shape[0]} x {image.shape[1]} px: {record.path}",
            f"{record.shape[0]} x {record.shape[1]} px as when it was added",
            "put the former file back, or add this one under another name",
        )
    return image_layer(image, link=Link("image", name, project.path, record.path))


def _shown(viewer: ViewerModel, data: tuple[Any, dict[str, Any], str]) -> Layer:
    pixels, keywords, _ = data
    first = not viewer.layers
    layer = viewer.add_image(pixels, **keywords)
    start_filling(layer.metadata)
    if not first:
        # of a plane beside a stack napari cannot find the place
        viewer.reset_view(layers=[layer] if layer.ndim == viewer.dims.ndim else None)
    return layer


def _annotation_layer(viewer: ViewerModel, project: Project, name: str, labels: Any, below: Layer) -> Labels:
    annotation = add_layer(
        viewer,
        "labels",
        labels.astype(np.uint8) if labels.max(initial=0) <= np.iinfo(np.uint8).max else labels,
        like=below,
        name=f"{name} annotation",
        link=Link("annotation", name, project.path, classes=project.classes),
        opacity=0.6,
    )
    set_classes(annotation, project.classes)
    annotation.brush_size = preference("annotate", "brush_px")
    annotation.selected_label = min(2, len(project.classes) - 1)
    _keep_saved(viewer, project, name, annotation)
    return annotation


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
        if event.value is not annotation:
            return
        try:
            saving.save()
        except CellsegError as error:
            show_error(f"NOT SAVED, the layer is kept: {error}")
            QTimer.singleShot(0, lambda: layers.append(annotation))
            return
        layers.events.removed.disconnect(removed)
        saving.close()

    # functions, not methods: the layer holds them, so saving lives exactly as long as it is needed
    annotation.events.paint.connect(touched)
    annotation.events.labels_update.connect(touched)
    annotation.events.set_data.connect(looked)
    layers.events.removed.connect(removed)


def close_others(viewer: ViewerModel, project: Project, name: str) -> None:
    """Take the other images of a project off the viewer, as `close_image` does."""
    _close(viewer, project, lambda image: image != name)


def close_image(viewer: ViewerModel, project: Project, name: str) -> None:
    """Take an image of a project off the viewer; its annotation is saved first.

    Predictions go with their image, as they can be made again, unless somebody changed them
    or a job still writes them: those are hidden.

    Raises
    ------
    CellsegError
        If an annotation cannot be saved; every layer is still there then.
    """
    _close(viewer, project, lambda image: image == name)


def _close(viewer: ViewerModel, project: Project, meant: Callable[[str], bool]) -> None:
    save_all(viewer, project.path)
    for layer in list(viewer.layers):
        link = link_of(layer)
        if link is None or link.project != project.path or not meant(link.image) or link.role == "copy":
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
