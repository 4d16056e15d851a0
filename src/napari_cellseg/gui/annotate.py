"""The Annotate dock: a project's images and classes, strokes, corrections, always saved."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QInputDialog, QVBoxLayout

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.annotation.class_table import BACKGROUND_KEY, NEXT_CLASS_KEY, ClassTable
from napari_cellseg.gui.annotation.copy_box import COPY_KEY, CopyBox
from napari_cellseg.gui.annotation.image_table import ImageTable
from napari_cellseg.gui.annotation.mask_file import ask_mask
from napari_cellseg.gui.dock import Dock, Message, button
from napari_cellseg.gui.layers import count_pixels, link_of, linked, set_classes, source_files
from napari_cellseg.gui.opening import close_image, next_image, open_image, open_project, save_all
from napari_cellseg.gui.project_row import ProjectRow
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import napari.viewer
    from napari.layers import Labels

COUNT_MS = 400  # after the last stroke
SHOWN = 3  # files that could not be added
NEXT_IMAGE_KEY = "N"
FILES_TIP = "Add image files to the project; OME-Zarr folders: drop them into the window, then 'Add layers'"
NO_PROJECT = CellsegError("no project is open", remedy="press 'New ...' or 'Open ...' above")
NO_IMAGE = CellsegError("no image of the project is open", remedy="add a file, or click one in the list")


class AnnotateDock(Dock):
    """Open a project, paint strokes of its classes, correct predictions."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.project: Project | None = None
        self._watched: Labels | None = None
        self._build()
        self._counting = QTimer(self.native)
        self._counting.setSingleShot(True)
        self._counting.setInterval(COUNT_MS)
        self._counting.timeout.connect(self.count_painted)
        self._clock = QTimer(self.native)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._show_saved)
        self._clock.start()
        layers = self.viewer.layers
        layers.events.inserted.connect(self._follow)
        layers.events.removed.connect(self._follow)
        layers.events.renamed.connect(self._follow)
        layers.selection.events.active.connect(self._follow)
        self._keys = self._bind_keys()
        self._follow()

    def _build(self) -> None:
        self.project_row, self.saved = ProjectRow(), Message()
        self.project_row.opened.connect(self.set_project)
        self.project_row.failed.connect(lambda text: self.message.say(text, "bad"))
        column = QVBoxLayout()
        column.addWidget(self.project_row)
        column.addWidget(self.saved)
        self.section("Project", column)

        self.images = ImageTable()
        self.images.chosen.connect(self.show_image)
        self.images.lost.connect(self._ask_file)
        self.images.unwanted.connect(self.take_off)
        column, row = QVBoxLayout(), QHBoxLayout()
        column.addWidget(self.images)
        row.addWidget(button("Add files ...", self._choose_files, FILES_TIP))
        row.addWidget(
            button("Add layers", self.add_layers, "Add the image layers that were opened from files")
        )
        row.addWidget(
            button(f"Next ({NEXT_IMAGE_KEY})", self.show_next, "Open the next image without strokes")
        )
        column.addLayout(row)
        self.section("Images", column)

        self.classes = ClassTable()
        self.classes.picked.connect(self.paint)
        self.classes.renamed.connect(self.rename_class)
        self.classes.recolored.connect(self.recolor_class)
        column, row = QVBoxLayout(), QHBoxLayout()
        column.addWidget(self.classes)
        row.addWidget(button(f"Background stroke ({BACKGROUND_KEY})", self.paint_background))
        row.addWidget(button(f"Class stroke ({NEXT_CLASS_KEY})", self.paint_class, "Again: the next class"))
        column.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(button("Add class ...", self._ask_class))
        row.addWidget(button("Remove the last", self.remove_class, "Only a class that is painted nowhere"))
        column.addLayout(row)
        self.section("Classes: click one, then paint", column)

        self.copying = CopyBox()
        self.copying.wanted.connect(self.copy_prediction)
        self.copying.area_wanted.connect(self.draw_area)
        self.copying.mask_wanted.connect(self.import_mask)
        column = QVBoxLayout()
        column.addWidget(self.copying)
        self.section("Copy labels into the annotation", column)
        self.column.addStretch(1)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Show what the user can put right in the dock."""
        try:
            self.message.say("")
            yield
        except CellsegError as error:
            self.message.say(str(error), "bad")

    # -- project and images

    def set_project(self, project: Project) -> None:
        """Work on a project; opens its first image that is there in an empty viewer."""
        self.project = project
        self.project_row.show_project(project)
        self.images.show_project(project)
        self.classes.show_classes(project.classes)
        if project.images and not self.viewer.layers:
            there = [image for image in project.images if not image.missing]
            self.show_image((there or project.images)[0].name)
        self._follow()

    @property
    def painted(self) -> Labels | None:
        """The annotation in work: the active layer, else the topmost visible one."""
        if self.project is None:
            return None
        found = linked(self.viewer, "annotation", project=self.project.path)
        active = self.viewer.layers.selection.active
        return next((x for x in found if x == active), next((x for x in found if x.visible), None))

    def show_image(self, name: str) -> None:
        """Open an image of the project with its annotation; the former one is saved and closed."""
        with self._telling():
            open_image(self.viewer, self._project(), name, alone=True)
            self.message.say(self._project().image(name).complaint(), "bad")

    def show_next(self) -> None:
        """Open the next image, one without strokes if there is any."""
        with self._telling():
            layer = self.painted
            name = next_image(self._project(), None if layer is None else link_of(layer).image)
            if name is None:
                raise CellsegError("the project has no other image", remedy="press 'Add files ...'")
            self.show_image(name)

    def add_files(self, paths: Sequence[str | Path], *, pixels_nm: Sequence[float | None] = ()) -> None:
        """Add image files to the project, but those that are none; opens the first if none is open.

        Parameters
        ----------
        paths : sequence of str or Path
        pixels_nm : sequence of float or None
            Their pixel sizes, where they are known better than from the files.
        """
        with self._telling():
            project = self._project()
            added, failed = [], []
            for path, pixel_nm in zip_longest(paths, pixels_nm):
                try:
                    added.append(project.add_image(path, pixel_nm=pixel_nm).name)
                except CellsegError as error:
                    failed.append(str(error))
            self.images.show_project(project)
            if added and self.painted is None:
                self.show_image(added[0])
            if failed:
                more = [f"and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
                self.message.say("\n".join(failed[:SHOWN] + more), "bad")

    def take_off(self, name: str) -> None:
        """Take an image off the project; its strokes come back when it is added again."""
        with self._telling():
            project = self._project()
            close_image(self.viewer, project, name)
            project.remove_image(name)
            self.images.show_project(project)
            self.message.say(f"'{name}' is off the project; its strokes are kept.", "good")

    def find_again(self, name: str, path: str | Path) -> None:
        """Say where the file of an image is now, and open it."""
        with self._telling():
            self._project().relocate_image(name, path)
            self.images.show_project(self._project())
            self.show_image(name)

    def _ask_file(self, name: str) -> None:
        path, _ = QFileDialog.getOpenFileName(self.native, f"Where is {name} now?")
        if path:
            self.find_again(name, path)

    def add_layers(self) -> None:
        """Add the image layers that were opened from files, at the pixel size they have here."""
        with self._telling():
            files = source_files(self.viewer)
            if not files:
                raise CellsegError(
                    "no image here was opened from a file", remedy="save it, then add the file"
                )
            self._project()
            self.add_files(list(files), pixels_nm=list(files.values()))

    def _choose_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self.native, "Images to add")
        if paths:
            self.add_files(paths)

    def _project(self) -> Project:
        if self.project is None:
            raise NO_PROJECT
        return self.project

    # -- classes and strokes

    def paint(self, label: int) -> None:
        """Paint with this label from now on."""
        with self._telling():
            layer = self._in_work()
            self.viewer.layers.selection.active = layer
            layer.selected_label = label
            layer.mode = "paint"

    def paint_background(self, _viewer: object = None) -> None:
        """Paint background strokes."""
        self.paint(1)

    def paint_class(self, _viewer: object = None) -> None:
        """Paint with the first class, at each further call with the next."""
        with self._telling():
            layer, classes = self._in_work(), len(self._project().classes)
            if classes < 3:
                raise CellsegError("there is no class but the background", remedy="press 'Add class ...'")
            again = str(layer.mode) == "paint" and layer.selected_label >= 2
            self.paint((layer.selected_label - 1) % (classes - 2) + 2 if again else 2)

    def _in_work(self) -> Labels:
        self._project()
        if self.painted is None:
            raise NO_IMAGE
        return self.painted

    def add_class(self, name: str) -> None:
        """Add a class at the end, in the next free colour."""
        with self._telling():
            self._set_classes(self._project().classes.added(name.strip()))

    def remove_class(self) -> None:
        """Remove the last class, if it is painted nowhere."""
        with self._telling():
            classes = self._project().classes
            if not classes.targets:
                raise CellsegError("there is no class but the background", remedy="press 'Add class ...'")
            save_all(self.viewer, self._project().path)
            self._set_classes(Classes(classes.names[:-1], classes.colors[:-1]))

    def rename_class(self, label: int, name: str) -> None:
        """Call a class something else; what is painted stays."""
        with self._telling():
            classes = self._project().classes
            names = (*classes.names[:label], name, *classes.names[label + 1 :])
            self._set_classes(replace(classes, names=names))
        self.classes.show_classes(self._project().classes)
        self.count_painted()

    def recolor_class(self, label: int, color: str) -> None:
        """Give a class another colour, in every layer of the project."""
        with self._telling():
            classes = self._project().classes
            colors = (*classes.colors[:label], color, *classes.colors[label + 1 :])
            self._set_classes(replace(classes, colors=colors))

    def _set_classes(self, classes: Classes) -> None:
        project = self._project()
        project.set_classes(classes)
        for role in ("annotation", "labels"):
            for layer in linked(self.viewer, role, project=project.path):
                set_classes(layer, classes)
        self.classes.show_classes(classes)
        self.count_painted()

    def _ask_class(self) -> None:
        name, agreed = QInputDialog.getText(self.native, "New class", "What is it called?")
        if agreed:
            self.add_class(name)

    # -- corrections

    def draw_area(self) -> None:
        """Draw with the lasso what is to be copied."""
        with self._telling():
            self.copying.draw_area(self.viewer, self._in_work())

    def copy_prediction(self, _viewer: object = None) -> None:
        """Copy the chosen prediction into the annotation."""
        with self._telling():
            self.message.say(self.copying.copy(self.viewer, self.painted), "good")

    def import_mask(self) -> None:
        """Fill the annotation from a mask file that the user chooses."""
        with self._telling():
            layer = self._in_work()
            labels = ask_mask(self.native, layer)
            if labels is not None:
                self.message.say(self.copying.copy_mask(layer, labels), "good")

    # -- keeping up with the viewer

    def _follow(self, event: object = None) -> None:
        path = open_project(self.viewer)
        if path is not None and (self.project is None or self.project.path != path):
            with self._telling():
                self.set_project(Project.open(path))
        self._watch(self.painted)
        self.copying.offer(self.viewer, self.painted)
        self._show_saved()

    def _watch(self, layer: Labels | None) -> None:
        if layer is not None and self._watched is not None and layer == self._watched:
            return
        if self._watched is not None:
            events = self._watched.events
            for signal, slot in ((events.set_data, self._count_soon), (events.paint, self._count_soon)):
                signal.disconnect(slot)
            events.selected_label.disconnect(self._show_label)
        self._watched = layer
        if layer is not None:
            layer.events.set_data.connect(self._count_soon)
            layer.events.paint.connect(self._count_soon)
            layer.events.selected_label.connect(self._show_label)
            self.images.show_current(link_of(layer).image)
            self._show_label()
            self.count_painted()

    def _count_soon(self, event: object = None) -> None:
        self._counting.start()

    def count_painted(self) -> None:
        """Count the pixels of each class in the annotation in work."""
        layer = self.painted
        if layer is not None:
            counts = count_pixels(np.asarray(layer.data), self._project().classes)
            self.classes.show_counts(counts)
            self.images.show_count(link_of(layer).image, sum(counts.values()))

    def _show_label(self, event: object = None) -> None:
        if self._watched is not None:
            self.classes.show_label(int(self._watched.selected_label))

    def _show_saved(self) -> None:
        """Show whether the strokes are on the disk; before there are any, what to do next."""
        layer = self.painted
        if layer is None:
            self.saved.say(self._next_step(), "wait")
            return
        saving = link_of(layer).saving
        text = "" if saving is None else saving.state()
        self.saved.say(text, "bad" if text.startswith("NOT") else "good")

    def _next_step(self) -> str:
        if self.project is None:
            return "Press 'New ...' to make a project, or 'Open ...'."
        if not self.project.images:
            return "Next: 'Add files ...', or 'Add layers' for the images that are open."
        return "Next: click an image in the list to open it."

    def _bind_keys(self) -> dict[str, object]:
        keys = {
            BACKGROUND_KEY: self.paint_background,
            NEXT_CLASS_KEY: self.paint_class,
            COPY_KEY: self.copy_prediction,
            NEXT_IMAGE_KEY: lambda viewer: self.show_next(),
        }
        return {key: self.viewer.bind_key(key, pressed, overwrite=True) for key, pressed in keys.items()}

    def closed(self) -> None:
        """Give the keys back; open annotations go on being saved."""
        for key, former in self._keys.items():
            self.viewer.bind_key(key, former, overwrite=True)
        self._clock.stop()
        self._counting.stop()
        self.images.stop()
        self._watch(None)
