"""Clicks on the image that are no drags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.components import ViewerModel

STILL_PX = 4.0  # of the window: whoever moves further drags


class Clicks:
    """Tells where in the world somebody clicked, until it is closed.

    Only while the active layer does nothing with clicks itself: drawing and dragging points
    stay napari's.

    Parameters
    ----------
    viewer : ViewerModel
    clicked : callable
        ``clicked(position, add)`` with the position in the world; `add` if Shift or Ctrl was held.
    """

    def __init__(self, viewer: ViewerModel, clicked: Callable[[tuple[float, ...], bool], None]) -> None:
        self.viewer, self._clicked = viewer, clicked
        viewer.mouse_drag_callbacks.append(self._on_press)

    def _on_press(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        active = viewer.layers.selection.active
        if event.button != 1 or (active is not None and str(active.mode) != "pan_zoom"):
            return
        start, position = np.array(event.pos), tuple(event.position)
        add = "Shift" in event.modifiers or "Control" in event.modifiers
        yield
        while event.type == "mouse_move":
            if np.abs(np.array(event.pos) - start).max() > STILL_PX:
                return
            yield
        self._clicked(position, add)

    def closed(self) -> None:
        """Stop telling."""
        if self._on_press in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_press)
