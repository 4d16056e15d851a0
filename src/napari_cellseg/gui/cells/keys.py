"""What the keys mean while the gallery has the focus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent

ALL = "all"
KEYS = {
    Qt.Key.Key_V: "validate",
    Qt.Key.Key_Return: "validate",
    Qt.Key.Key_D: "doubt",
    Qt.Key.Key_0: "clear",
    Qt.Key.Key_Delete: "clear",
    **{getattr(Qt.Key, f"Key_{number}"): str(number) for number in range(1, 10)},
}
MOVES = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
SEQUENCES = {
    QKeySequence.StandardKey.Undo: "undo",
    QKeySequence.StandardKey.Redo: "redo",
    QKeySequence.StandardKey.SelectAll: ALL,
}
HELP = "\u2002 ".join(
    ("1-9 class", "V validate", "D dubious", "0 take label back", "Ctrl+Z undo", "Ctrl+Y redo", "Ctrl+A all")
)


def meaning_of(event: QKeyEvent) -> str | tuple[int, int]:
    """Return an action, a move (columns, rows), or "" for a key that means nothing here."""
    for sequence, action in SEQUENCES.items():
        if event.matches(sequence):
            return action
    if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
        return "redo" if event.key() == Qt.Key.Key_Y else ""
    if event.key() in MOVES:
        return MOVES[Qt.Key(event.key())]
    return KEYS.get(Qt.Key(event.key()), "") if event.key() in KEYS else ""
