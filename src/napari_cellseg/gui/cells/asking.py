"""Asking the process that names and measures cells; answers arrive on the main thread."""

from __future__ import annotations

import json
import queue
import sys
import threading
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_cellseg.gui.cells.process import Answered, Question, Refused, Working, from_line
from napari_cellseg.gui.cells.set import Scratch
from napari_cellseg.gui.job import Child, Failed
from napari_cellseg.images.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cellseg.gui.cells.process import Record

GRACE_SECONDS = 2.0
LOOK_MS = 8  # while an answer is awaited


class Answers(QObject):
    """One process for many questions, started with the first; it has a thread of its own.

    napari's workers share a few threads, which a process that stays would take from the others.
    The thread may outlive the window, so it fills a queue and touches nothing of Qt.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._scratch = Scratch()
        self._child: Child | None = None
        self._thread: threading.Thread | None = None
        self._numbers = 0
        self._waiting: dict[int, Callable[[Record], None]] = {}
        self._told: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._look = QTimer(self)
        self._look.setInterval(LOOK_MS)
        self._look.timeout.connect(self._hand_over)

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._waiting)

    def ask(self, question: Question, on_record: Callable[[Record], None]) -> int:
        """Ask; `on_record` is called with each `Working`, then with `Answered` or `Refused`."""
        self._numbers += 1
        self._waiting[self._numbers] = on_record
        asked = replace(question, number=self._numbers)
        write_whole(self._scratch.path / f"{self._numbers}.json", json.dumps(asdict(asked)))
        if self._thread is None or not self._thread.is_alive():
            command = [sys.executable, "-m", "napari_cellseg.gui.cells.process", str(self._scratch.path)]
            stop = self._scratch.path / "stop"
            self._child = Child(command, stop, from_line, grace_seconds=GRACE_SECONDS)
            self._thread = threading.Thread(
                target=_listen, args=(self._child, self._told.put), name="asking about cells", daemon=True
            )
            self._thread.start()
        self._look.start()
        return self._numbers

    def drop(self) -> None:
        """Ask for no more; what is in work ends after the batch."""
        for number in self._waiting:
            (self._scratch.path / f"{number}.json").unlink(missing_ok=True)
            (self._scratch.path / f"{number}.drop").touch()

    def end(self) -> None:
        """End the process."""
        self._waiting.clear()
        self._look.stop()
        if self._child is not None:
            self._child.cancel()
        if self._thread is not None:
            self._thread.join(timeout=GRACE_SECONDS)

    def _hand_over(self) -> None:
        while not self._told.empty():
            self._take(self._told.get())
        if not self._waiting:
            self._look.stop()

    def _take(self, record: object) -> None:
        if isinstance(record, Failed):
            waiting, self._waiting = self._waiting, {}
            for number, call in waiting.items():
                call(Refused(number, record.message))
        elif isinstance(record, (Working, Answered, Refused)):
            call = self._waiting.get(record.number)
            if not isinstance(record, Working):
                self._waiting.pop(record.number, None)
            if call is not None:
                call(record)


def _listen(child: Child, tell: Callable[[object], None]) -> None:
    for record in child.records():
        if isinstance(record, (Working, Answered, Refused, Failed)):
            tell(record)
