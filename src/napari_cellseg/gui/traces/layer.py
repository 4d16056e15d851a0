"""A layer of filaments in the viewer: written, coloured, read back when somebody draws in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Shapes

from napari_cellseg.gui.coordinates import coordinate_layers, filament_features, filaments_from
from napari_cellseg.gui.layers import link_of, pixel_nm_of, plane_of
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament_edits import Corrected, History, mean_curvature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_cellseg.images.filament import Filament

HISTORY = "filament history"  # where a layer's metadata holds its edits, so that they outlive the dock
TRACED, BY_HAND, CHOSEN = "#ff7f0e", "#00b4ff", "#ff3bff"
DONE = ("added", "removed", "changed")  # what napari says after a change, not before it
NM_PER_UM = 1000.0
NEW_SHAPE = {"id": 0, "length_nm": np.nan, "score": np.nan, "width_px": np.nan, "locked": True}


class FilamentLayer:
    """The filaments of a layer; every change of them, here or in the viewer, can be taken back.

    Parameters
    ----------
    layer : Shapes layer
    changed : callable
        Called when they changed.
    picked : callable
        ``picked(numbers)`` when somebody selected shapes with napari's own tools.
    """

    def __init__(
        self,
        layer: Shapes,
        changed: Callable[[], None],
        picked: Callable[[list[int]], None] = lambda numbers: None,
    ) -> None:
        self.layer, self._tell, self._picked, self._quiet = layer, changed, picked, False
        self.chosen: set[int] = set()
        self._width = float(np.median(layer.edge_width) if layer.nshapes else layer.current_edge_width)
        if HISTORY not in layer.metadata:
            layer.metadata[HISTORY] = History(Corrected(filaments_from(layer)))
        self.history: History = layer.metadata[HISTORY]
        layer.events.data.connect(self._on_data)
        layer.selected_data.events.items_changed.connect(self._on_selected)
        self._follow_viewer()

    @property
    def filaments(self) -> tuple[Filament, ...]:
        """Those there are now, in pixels of the layer."""
        return self.history.now.filaments

    @property
    def pixel_nm(self) -> float | None:
        """Size of the layer's pixels."""
        return pixel_nm_of(self.layer)

    def do(self, what: str, result: Corrected) -> None:
        """Show the result of an edit and note it."""
        self.history.do(what, result)
        self._show()

    def undo(self) -> str | None:
        """Take the last edit back and return what it was."""
        what = self.history.undo()
        self._show()
        return what

    def redo(self) -> str | None:
        """Do again what was taken back and return what it was."""
        what = self.history.redo()
        self._show()
        return what

    def choose(self, numbers: Collection[int]) -> None:
        """Highlight the filaments with these numbers."""
        self.chosen = set(numbers)
        self._paint()

    def released(self) -> None:
        """Stop looking at the layer."""
        self.layer.events.data.disconnect(self._on_data)
        self.layer.selected_data.events.items_changed.disconnect(self._on_selected)
        if self.layer.nshapes:
            self.choose(())

    def _show(self) -> None:
        with self._writing():
            show_filaments(self.layer, self.filaments, self.pixel_nm)
        self.chosen &= {one.id for one in self.filaments}
        self._paint()
        self._tell()

    def _on_data(self, event: Any) -> None:
        if not self._quiet and getattr(event, "action", "") in DONE:
            self._follow_viewer()

    def _on_selected(self, *changes: object) -> None:
        rows = sorted(self.layer.selected_data)
        if rows and not self._quiet and self.layer.nshapes == len(self.filaments) > rows[-1]:
            self._picked([self.filaments[row].id for row in rows])

    def _follow_viewer(self) -> None:
        """Note what somebody drew, moved or took out in the layer itself."""
        found = filaments_from(self.layer)
        before = [(one.id, one.path.tolist()) for one in self.filaments]
        if [(one.id, one.path.tolist()) for one in found] != before:
            self.history.do("change by hand", self.history.now.changed_by(found))
            if len(self.filaments) == self.layer.nshapes:
                set_features(self.layer, self.filaments, self.pixel_nm)
            self._paint()
            self._tell()

    def _paint(self) -> None:
        if self.layer.nshapes != len(self.filaments):
            return  # areas lie among them
        colors = [
            CHOSEN if one.id in self.chosen else BY_HAND if one.locked else TRACED for one in self.filaments
        ]
        if colors:
            width = self._width
            with self._writing():
                self.layer.edge_color = colors
                self.layer.edge_width = [
                    2 * width if one.id in self.chosen else width for one in self.filaments
                ]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        former, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = former


def new_filament_layer(viewer: ViewerModel, base: Layer) -> Shapes:
    """Add an empty layer of filaments upon a micrograph; never replaces one."""
    link = link_of(base)
    name = f"{link.image if link is not None else base.name} filaments"
    rows, cols = plane_of(base).shape[:2] if getattr(base, "rgb", False) else plane_of(base).shape[-2:]
    found = Coordinates(pixel_nm=pixel_nm_of(base), shape=(rows, cols))
    data, keywords, kind = coordinate_layers(found, name, like=base)[0]
    keywords["edge_width"] *= 1.5  # beside the noise of a micrograph
    active = viewer.layers.selection.active
    layer = viewer.add_layer(Layer.create(data, keywords, kind))
    layer.current_edge_width = keywords["edge_width"]
    layer.current_edge_color = BY_HAND
    viewer.layers.selection.active = active
    return layer


def show_filaments(layer: Shapes, filaments: Collection[Filament], pixel_nm: float | None) -> None:
    """Put filaments into a layer in place of those it has."""
    layer.selected_data = set()
    layer.data = [(one.path, "path") for one in filaments]
    set_features(layer, filaments, pixel_nm)


def set_features(layer: Shapes, filaments: Collection[Filament], pixel_nm: float | None) -> None:
    """Give a layer the features of its filaments, one a row."""
    nm = pixel_nm or np.nan
    layer.features = filament_features(tuple(filaments), pixel_nm) | {
        "curvature_per_um": [mean_curvature(one) / nm * NM_PER_UM for one in filaments]
    }
    layer.feature_defaults = NEW_SHAPE | {"curvature_per_um": np.nan}


def go_to(viewer: ViewerModel, layer: Layer, points: NDArray[np.float64], *, closer_to: float = 0.0) -> None:
    """Bring points (n, 2) of a layer into the middle of the window; nothing moves if they are in sight.

    Parameters
    ----------
    viewer : ViewerModel
    layer : Layer
    points : (n, 2) float64
        In pixels of the layer.
    closer_to : float
        Least size of a pixel in the window; if given, the middle is always moved.
    """
    world = np.array([np.asarray(layer.data_to_world(point))[-2:] for point in points])
    camera = viewer.scene.camera
    half = np.asarray(viewer.canvas.size, float) / max(camera.zoom, 1e-12) / 2
    camera.zoom = max(camera.zoom, closer_to / float(layer.scale[-1]))
    if closer_to or (np.abs(world - np.asarray(camera.center)[-2:]) > half).any():
        camera.center = (0.0, *((world.min(axis=0) + world.max(axis=0)) / 2))
