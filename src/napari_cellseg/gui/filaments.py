"""The Filaments dock: filaments traced, listed, corrected, straightened and written for other programs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QVBoxLayout

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.correct import pixel_map
from napari_cellseg.gui.dock import Dock
from napari_cellseg.gui.layers import link_of, linked
from napari_cellseg.gui.traces.clicks import Clicks
from napari_cellseg.gui.traces.export import ExportBox
from napari_cellseg.gui.traces.layer import (
    BY_HAND,
    CHOSEN,
    TRACED,
    FilamentLayer,
    go_to,
    new_filament_layer,
)
from napari_cellseg.gui.traces.ridge import Ridge
from napari_cellseg.gui.traces.source import micrograph_for
from napari_cellseg.gui.traces.strip import StripView
from napari_cellseg.gui.traces.table import FilamentTable
from napari_cellseg.gui.traces.tools import EditBox
from napari_cellseg.gui.traces.trace import NOTHING, TraceBox
from napari_cellseg.images.filament_edits import Corrected, nearest_filament

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_cellseg.gui.traces.source import Source
    from napari_cellseg.images.filament import Filament

NO_FILAMENTS = "no filaments yet"
HIT_PX = 8.0  # of the window: so near to a filament a click chooses it
LEGEND = " ".join(
    f"<span style='color: {color}'>&#9632;</span>&nbsp;{name}"
    for name, color in (("traced", TRACED), ("by hand", BY_HAND), ("chosen", CHOSEN))
)


class FilamentsDock(Dock):
    """Trace filaments, correct them, look at them straightened, and export them."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.edited: FilamentLayer | None = None
        self._build()
        events = self.viewer.layers.events
        for signal in (events.inserted, events.removed, events.renamed):
            signal.connect(self._follow)
        self.clicks = Clicks(self.viewer, self._clicked)
        self._follow()

    def _build(self) -> None:
        self.tracing = TraceBox(self.viewer)
        self.tracing.said.connect(self.message.say)
        self.tracing.traced.connect(self._take)
        self.keep = QCheckBox("keep what was done by hand")
        self.keep.setChecked(True)
        self.keep.setToolTip("Filaments corrected by hand stay, deleted ones stay out")
        column = QVBoxLayout()
        column.addWidget(self.tracing)
        column.addWidget(self.keep)
        self.section("Trace", column)

        self.layers, self.table, legend = QComboBox(), FilamentTable(), QLabel(LEGEND)
        self.layers.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.table.chosen.connect(self._choose_listed)
        self.layers.currentIndexChanged.connect(lambda index: self._open_layer())
        self.count = QLabel(NO_FILAMENTS)
        self.tools = EditBox(self.viewer, self._present, self._ridge, lambda: self.table.numbers)
        self.tools.said.connect(self.message.say)
        self.tools.choose.connect(self._choose)
        self.strip, self.strip_title = StripView(), QLabel()
        self.strip.clicked.connect(self._go_along)
        rows, column = QFormLayout(), QVBoxLayout()
        rows.addRow("layer", self.layers)
        column.addLayout(rows)
        column.addWidget(self.table)
        column.addWidget(self.count)
        column.addWidget(legend)
        column.addWidget(self.tools)
        column.addWidget(self.strip_title)
        column.addWidget(self.strip)
        self.section("Filaments", column)

        self.exporting = ExportBox(lambda: self._present().layer)
        self.exporting.said.connect(self.message.say)
        column = QVBoxLayout()
        column.addWidget(self.exporting)
        self.section("Export", column)
        self.column.addStretch(1)

    # -- tracing

    def _take(self, source: Source, base: Layer, filaments: list[Filament]) -> None:
        """Show what was traced: in the layer of before, if there is one, else in a new one."""
        former = self.edited
        if former is None or former.layer not in self.viewer.layers or not _same_image(former.layer, base):
            layer = new_filament_layer(self.viewer, base)
            self._follow()
            self.layers.setCurrentIndex(self.layers.findData(layer.name))
        edited = self._present()
        edited.layer.visible = True
        before = edited.history.now if self.keep.isChecked() else Corrected()
        kept = sum(one.locked for one in before.filaments)
        edited.do("trace", before.retraced(filaments))
        self._choose([])
        self.viewer.layers.selection.active = edited.layer
        found = len(edited.filaments) - kept
        also = f", and {kept} by hand kept" if kept else ""
        if found or kept:
            self.message.say(f"{found} filaments traced{also}.", "good")
        else:
            tip = "try a lower threshold or a shorter length"
            self.message.say(f"No filament found in '{source.title}': {tip}.", "wait")

    # -- the list and the layer

    def _present(self) -> FilamentLayer:
        """Return the filaments that are listed.

        Raises
        ------
        CellsegError
            If there are none.
        """
        if self.edited is None or self.edited.layer not in self.viewer.layers:
            raise CellsegError("there are no filaments", remedy="trace them, or open a file of coordinates")
        return self.edited

    def _follow(self, event: object = None) -> None:
        self.tracing.offer()
        names = [layer.name for layer in linked(self.viewer, "filaments") if isinstance(layer, Shapes)]
        if names != [self.layers.itemText(i) for i in range(self.layers.count())]:
            former = self.edited.layer.name if self.edited is not None else ""
            self.layers.blockSignals(True)
            self.layers.clear()
            for name in names:
                self.layers.addItem(name, name)
            self.layers.setCurrentIndex(names.index(former) if former in names else 0 if names else -1)
            self.layers.blockSignals(False)
            self._open_layer()

    def _open_layer(self) -> None:
        name = self.layers.currentText()
        layer = next((one for one in linked(self.viewer, "filaments") if one.name == name), None)
        if self.edited is not None and self.edited.layer == layer:
            return
        if self.edited is not None:
            self.edited.released()
        calls = self.while_alive(self._show_list), self.while_alive(self._choose)
        self.edited = None if layer is None else FilamentLayer(layer, *calls)
        self._bind_keys()
        self._show_list()

    def _show_list(self) -> None:
        filaments = () if self.edited is None else self.edited.filaments
        pixel_nm = None if self.edited is None else self.edited.pixel_nm
        self.table.show_filaments(filaments, pixel_nm)
        total = sum(one.length_px for one in filaments)
        length = f"{total * pixel_nm / 1000:.2f} \u00b5m" if pixel_nm else f"{total:,.0f} px"
        many = f"{len(filaments)} filament{'s' * (len(filaments) != 1)}"
        self.count.setText(f"{many}, {length} in all" if filaments else NO_FILAMENTS)
        self.tools.show_state()
        self._show_strip()

    def _bind_keys(self) -> None:
        """Let keys work while the layer is the active one; they go with it."""
        if self.edited is not None:
            for key, call in (
                ("Control-Z", self.tools.undo),
                ("Control-Shift-Z", self.tools.redo),
                ("Enter", self.tools.take_proposal),
                ("Escape", self.tools.drop_proposal),
                ("Delete", self.tools.delete),
            ):
                act = self.while_alive(lambda call=call: call())
                self.edited.layer.bind_key(key, lambda layer, act=act: act(), overwrite=True)

    def _choose(self, numbers: list[int]) -> None:
        """Choose filaments, in the list and in the image."""
        if self.edited is not None:
            self.edited.choose(numbers)
            self.table.choose(numbers)
            self._show_strip()

    def _choose_listed(self, numbers: list[int]) -> None:
        """Highlight what was chosen in the list, and bring it into sight."""
        if self.edited is None or self.edited.layer not in self.viewer.layers:
            return
        self._choose(numbers)
        self.viewer.layers.selection.active = self.edited.layer  # so that its keys work
        paths = [self.edited.history.now.filament(number).path for number in numbers]
        if paths:
            go_to(self.viewer, self.edited.layer, np.concatenate(paths))

    def _clicked(self, position: tuple[float, ...], add: bool) -> None:
        """Hand a click to the tool in use, else choose the filament; with `add` beside those chosen."""
        if self.edited is None or self.viewer.layers.selection.active != self.edited.layer:
            return
        layer = self.edited.layer
        place = np.asarray(layer.world_to_data(position))[-2:]
        near = HIT_PX / self.viewer.scene.camera.zoom / float(layer.scale[-1])
        if self.tools.tool:
            self.tools.click(place, near)
            return
        found = nearest_filament(self.edited.filaments, place, near)
        chosen = set(self.table.numbers) if add else set()
        if found is not None:
            chosen ^= {found.id}
        self._choose(sorted(chosen))

    def _ridge(self) -> Ridge:
        """Return what there is to draw along.

        Raises
        ------
        CellsegError
            If there are no filaments, or nothing to trace in.
        """
        layer, source = self._present().layer, self.tracing.source
        if source is None:
            raise CellsegError(NOTHING)
        return Ridge(source, layer, self.tracing.settings.threshold)

    # -- the strip

    def _show_strip(self) -> None:
        """Show the filament straightened, if a single one is chosen and its micrograph is open."""
        numbers = self.table.numbers
        image = None
        if self.edited is not None and len(numbers) == 1:
            image = micrograph_for(self.viewer, self.edited.layer)
        self.strip_title.setVisible(image is not None)
        if image is None:
            self.strip.show_strip(None)
            return
        found, to_image = self.edited.history.now.filament(numbers[0]), pixel_map(self.edited.layer, image)
        path = found.path @ to_image[:, :2].T + to_image[:, 2]
        self.strip_title.setText(f"Filament {found.id} straightened; a click goes there")
        try:
            self.strip.show_filament(image, replace(found, path=path), self.viewer.dims.current_step)
        except CellsegError as error:
            self.strip.show_strip(None)
            self.message.say(str(error), "bad")

    def _go_along(self, place: NDArray[np.float64]) -> None:
        """Bring a place of the micrograph into the middle, at least as large as on the strip."""
        image = micrograph_for(self.viewer, self.edited.layer)
        if image is not None:
            go_to(self.viewer, image, place[None], closer_to=self.strip.scale)

    def closed(self) -> None:
        """Give the viewer back as it was; filaments and their history stay with their layers."""
        self.tracing.closed()
        self.tools.drop_proposal()
        self.clicks.closed()
        events = self.viewer.layers.events
        for signal in (events.inserted, events.removed, events.renamed):
            signal.disconnect(self._follow)
        if self.edited is not None and self.edited.layer in self.viewer.layers:
            self.edited.released()


def _same_image(layer: Layer, base: Layer) -> bool:
    link = link_of(base)
    return link_of(layer).image == (base.name if link is None else link.image)
