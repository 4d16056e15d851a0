"""The part of the Filaments dock that corrects filaments: cut, join, delete, extend, draw; undo and redo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.dock import button
from napari_cellseg.gui.job import Failed, start_job
from napari_cellseg.gui.layers import KEY, Link, link_of, linked, place_of
from napari_cellseg.gui.traces.layer import CHOSEN
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.filament_edits import nearest_filament

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_cellseg.gui.job import StepsWorker
    from napari_cellseg.gui.traces.layer import FilamentLayer
    from napari_cellseg.gui.traces.ridge import Ridge
    from napari_cellseg.images.filament_edits import Corrected

PROPOSAL = "filaments proposal"
USUAL_WIDTH_PX = 10.0  # where no filament says it
NEAR_END_WIDTHS = 1.5  # a click as near to an end as that is one on the end
ASKS = {
    "split": "Click on the filament where it is to be cut.",
    "extend": "Click on an end, to follow the filament on from there; or where it should go to.",
    "redraw": "Click on one end of the filament ...",
    "draw": "Click on one end of the filament ...",
}
TIPS = {
    "split": "Cut a filament in two at a click",
    "extend": "Continue the chosen filament along the ridge, from an end or to a click",
    "redraw": "Click two ends: the way along the ridge is proposed for the chosen filament",
    "draw": "Click two ends: the way along the ridge is proposed as a new filament",
}


class EditBox(QWidget):
    """What can be done by hand to the filaments of the list.

    Parameters
    ----------
    viewer : ViewerModel
    present : callable
        Returns the `FilamentLayer` that is listed.
    ridge : callable
        Returns what there is to draw along.
    chosen : callable
        Returns the numbers that are chosen.

    All three raise `CellsegError` where something is missing.

    Signals
    -------
    said(text, tone)
        Something for the message line.
    choose(numbers)
        These filaments should be chosen now.
    """

    said = Signal(str, str)
    choose = Signal(list)

    def __init__(
        self,
        viewer: ViewerModel,
        present: Callable[[], FilamentLayer],
        ridge: Callable[[], Ridge],
        chosen: Callable[[], list[int]],
    ) -> None:
        super().__init__()
        self.viewer, self._present, self._ridge, self._chosen = viewer, present, ridge, chosen
        self.tool = ""  # the one that waits for clicks
        self.job: StepsWorker | None = None
        self._first: NDArray[np.float64] | None = None  # the first of two ends
        self._proposed: tuple[str, Filament] | None = None
        self.tools: dict[str, QPushButton] = {}
        for name, tip in TIPS.items():
            self.tools[name] = made = QPushButton(name.capitalize())
            made.setCheckable(True)
            made.setToolTip(tip)
            made.clicked.connect(lambda checked, name=name: self.take_tool(name if checked else ""))
        self.join_button = button("Join", self.join, "Make one of two chosen filaments")
        self.delete_button = button("Delete", self.delete, "Del: the chosen ones; they stay out later")
        self.undo_button, self.redo_button = button("Undo", self.undo), button("Redo", self.redo)
        self.take_button = button("Take it (Enter)", self.take_proposal)
        self.drop_button = button("Drop it (Esc)", self.drop_proposal)
        column, grid, row = QVBoxLayout(self), QGridLayout(), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        every = [
            *(self.tools["split"], self.join_button, self.delete_button),
            *(self.tools["extend"], self.tools["redraw"], self.tools["draw"]),
            *(self.undo_button, self.redo_button),
        ]
        for number, one in enumerate(every):
            grid.addWidget(one, *divmod(number, 3))
        row.addWidget(self.take_button)
        row.addWidget(self.drop_button)
        column.addLayout(grid)
        column.addLayout(row)
        self.show_state()

    # -- at once

    def join(self) -> None:
        """Make one of the two chosen filaments."""
        numbers = self._chosen()
        if len(numbers) != 2:
            self.said.emit("Choose two filaments to join: the second with Ctrl.", "bad")
            return
        self._edit("join", lambda now: now.join(*numbers), [min(numbers)])

    def delete(self) -> None:
        """Take the chosen filaments out."""
        numbers = self._chosen()
        if not numbers:
            self.said.emit("Choose the filaments to delete.", "bad")
            return
        self._edit("delete", lambda now: now.without(numbers), [])

    def undo(self) -> None:
        """Take the last edit back."""
        self._step("undo")

    def redo(self) -> None:
        """Do again what was taken back."""
        self._step("redo")

    def _step(self, way: str) -> None:
        try:
            what = getattr(self._present(), way)()
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return
        self.said.emit(f"{way.capitalize()}: {what}." if what else f"Nothing to {way}.", "plain")
        self.show_state()

    def _edit(self, what: str, edit: Callable[[Corrected], Corrected], choose: list[int]) -> None:
        try:
            present = self._present()
            present.do(what, edit(present.history.now))
        except CellsegError as error:
            self.said.emit(str(error), "bad")
            return
        self.choose.emit(choose)
        self.said.emit(f"Done: {what}. Undo takes it back.", "good")
        self.show_state()

    # -- with clicks

    def take_tool(self, name: str) -> None:
        """Wait for the clicks of a tool; "" ends waiting."""
        self.drop_proposal()
        try:
            layer = self._present().layer
            if name == "redraw" and len(self._chosen()) != 1:
                raise CellsegError("none or several chosen", "one filament to redraw", "choose it first")
            if name in ("extend", "redraw", "draw"):
                self._ridge()
        except CellsegError as error:
            name = ""
            self.said.emit(str(error), "bad")
        else:
            self.said.emit(ASKS.get(name, ""), "wait")
        self.tool, self._first = name, None
        if name:
            self.viewer.layers.selection.active = layer
            layer.mode = "pan_zoom"
        self.show_state()

    def click(self, place: NDArray[np.float64], within_px: float) -> None:
        """Take a click of somebody who works with a tool.

        Parameters
        ----------
        place : (row, col)
            In pixels of the layer.
        within_px : float
            How near to a filament a click counts as one on it.
        """
        try:
            if self.tool == "split":
                self._split(place, within_px)
            elif self.tool == "extend":
                self._extend(place)
            elif self._first is None:
                self._first = place
                self.said.emit("... and on the other end.", "wait")
            else:
                self._propose_between(self._first, place)
        except CellsegError as error:
            self.said.emit(str(error), "bad")

    def _split(self, place: NDArray[np.float64], within_px: float) -> None:
        present, chosen = self._present(), self._chosen()
        candidates = [one for one in present.filaments if one.id in chosen] or present.filaments
        found = nearest_filament(candidates, place, within_px)
        found = found or nearest_filament(present.filaments, place, within_px)
        if found is None:
            raise CellsegError("no filament there", "a click on one")
        new = max(one.id for one in present.filaments) + 1
        self._end_tool()
        self._edit("split", lambda now: now.split(found.id, place), [found.id, new])

    def _extend(self, place: NDArray[np.float64]) -> None:
        present, chosen, ridge = self._present(), self._chosen(), self._ridge()
        candidates = [one for one in present.filaments if one.id in chosen] or list(present.filaments)
        if not candidates:
            raise CellsegError("no filament to extend", "a filament", "draw one")
        away = [np.linalg.norm(one.ends - place, axis=1) for one in candidates]
        nearest = int(np.argmin([one.min() for one in away]))
        filament, end = candidates[nearest], -int(away[nearest].argmin())  # 0 or -1
        width = filament.width_px or self._width()
        on_end = away[nearest].min() < NEAR_END_WIDTHS * width

        def steps() -> Generator[Filament, None, None]:
            if on_end:
                yield ridge.beyond(filament, end)
                return
            more = ridge.between(filament.ends[end], place, width).path
            path = np.concatenate([filament.path, more[1:]] if end else [more[:0:-1], filament.path])
            yield ridge.scored(Filament(path, filament.id, filament.width_px))

        self._end_tool()
        self._propose("extend", steps(), filament.id)

    def _propose_between(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
        ridge, what, chosen = self._ridge(), self.tool, self._chosen()
        width = self._width()

        def steps() -> Generator[Filament, None, None]:
            yield ridge.between(start, end, width)

        self._end_tool()
        self._propose(what, steps(), chosen[0] if what == "redraw" and chosen else 0)

    def _width(self) -> float:
        """Return how wide filaments of this layer are."""
        widths = [one.width_px for one in self._present().filaments if one.width_px]
        return float(np.median(widths)) if widths else USUAL_WIDTH_PX

    def _end_tool(self) -> None:
        self.tool, self._first = "", None
        self.show_state()

    # -- proposals

    def _propose(self, what: str, steps: Generator[Filament, None, None], number: int) -> None:
        if self.job is not None:
            return
        layer = self._present().layer
        self.said.emit("Looking for the way along the ridge ...", "wait")

        def record(found: object) -> None:
            if not isalive(self):
                return  # the dock was closed
            if isinstance(found, Failed):
                self.said.emit(found.message.removeprefix("napari-cellseg: "), "bad")
            elif layer in self.viewer.layers:
                self._show_proposal(layer, found.path)
                self._proposed = what, replace(found, id=number)
                self.said.emit("Take the way that is shown?", "wait")
                self.show_state()

        def ended() -> None:
            self.job = None

        self.job = start_job(steps, on_record=record, on_end=ended)

    def _show_proposal(self, like: Shapes, path: NDArray[np.float64]) -> None:
        active, link = self.viewer.layers.selection.active, link_of(like)
        width = 1.5 * float(np.median(like.edge_width) if like.nshapes else like.current_edge_width)
        made = Shapes(
            [path],
            shape_type="path",
            edge_color=CHOSEN,
            edge_width=width,
            name="proposal",
            metadata={KEY: Link(PROPOSAL, link.image)},
            **place_of(like),
        )
        made.editable = False
        self.viewer.add_layer(made)
        self.viewer.layers.selection.active = active

    def take_proposal(self) -> None:
        """Make an edit of what is proposed."""
        if self._proposed is None:
            return
        what, found = self._proposed
        self.drop_proposal()
        if what == "draw":
            new = max((one.id for one in self._present().filaments), default=0) + 1
            self._edit(what, lambda now: now.with_new(found), [new])
        else:
            self._edit(what, lambda now: now.with_course(found.id, found), [found.id])

    def drop_proposal(self) -> None:
        """Take the proposal off, and end the tool."""
        for layer in linked(self.viewer, PROPOSAL):
            self.viewer.layers.remove(layer)
        if self._proposed is not None or self.tool:
            self.said.emit("", "plain")
        self._proposed, self.tool, self._first = None, "", None
        self.show_state()

    def show_state(self) -> None:
        """Enable what can be done now."""
        for name, one in self.tools.items():
            one.setChecked(name == self.tool)
        for one in (self.take_button, self.drop_button):
            one.setVisible(self._proposed is not None)
        try:
            history = self._present().history
            before, after = history.next_undo, history.next_redo
        except CellsegError:
            before = after = None
        for one, what in ((self.undo_button, before), (self.redo_button, after)):
            one.setEnabled(what is not None)
            one.setToolTip(what or "")
