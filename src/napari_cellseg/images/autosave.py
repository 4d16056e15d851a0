"""Painted labels on their way to the disk, a few seconds behind and never forgotten."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from concurrent.futures import Future


class LabelStore(Protocol):
    """Where planes go: a `Project`, or what stands before it."""

    def save_labels(self, name: str, labels: Any) -> None:
        """Save the plane (y, x) of an image."""


class Autosave:
    """Save changed label planes of a project in the background.

    A change is on the disk `interval_seconds` later (and the time of writing). What cannot
    be written stays pending and is tried again; `error` holds the reason until it works.

    Parameters
    ----------
    project : Project, or anything with its `save_labels`
        Where to save.
    interval_seconds : float
        Longest time from a change to the start of its writing.
    on_error : callable, optional
        Called with the exception when saving begins to fail, **in the background thread**.

    Examples
    --------
    >>> class Shelf:
    ...     def save_labels(self, name, labels):
    ...         print("saved", name, labels)
    >>> autosave = Autosave(Shelf(), interval_seconds=0.1)
    >>> autosave.changed("mic_001", lambda: [[0, 1]])
    >>> autosave.close()
    saved mic_001 [[0, 1]]
    """

    def __init__(
        self,
        project: LabelStore,
        interval_seconds: float = 2.0,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.project, self.interval_seconds, self.on_error = project, interval_seconds, on_error
        self.error: BaseException | None = None
        self._pending: dict[str, _Change] = {}
        self._scheduled = False
        self._guard = threading.RLock()  # of the two above
        self._saving = threading.Lock()  # one writer at a time, so that the newest plane is written last
        self._closing = threading.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="autosave")

    @property
    def pending(self) -> tuple[str, ...]:
        """Names of the images whose last change is not on the disk yet."""
        with self._guard:
            return tuple(self._pending)

    def changed(self, name: str, get_labels: Callable[[], Any]) -> None:
        """Note that the labels of an image changed; returns at once (after `close` it saves first).

        Parameters
        ----------
        name : str
            The image's name in the project.
        get_labels : callable
            Returns the plane (y, x) to save; called later, in the background thread.
        """
        with self._guard:
            self._pending[name] = _Change(get_labels)
        if self._closing.is_set():
            self._save(name)
        self._schedule()

    def flush(self) -> None:
        """Save everything pending now, in this thread.

        Raises
        ------
        CellsegError
            If something could not be written; it stays pending.
        """
        self._save_all()
        self.error = None

    def close(self) -> None:
        """Save everything pending and end the background thread.

        Raises
        ------
        CellsegError
            If something could not be written.
        """
        with self._guard:
            self._closing.set()
        self._worker.shutdown(wait=True)
        self.flush()

    def _schedule(self) -> None:
        with self._guard:
            if self._scheduled or self._closing.is_set() or not self._pending:
                return
            self._scheduled = True
            # the future keeps whatever goes wrong in the thread, so nothing is caught and lost here
            self._worker.submit(self._save_later).add_done_callback(self._done)

    def _save_later(self) -> None:
        self._closing.wait(self.interval_seconds)
        with self._guard:
            self._scheduled = False  # a change from here on needs a new round
        self._save_all()

    def _save_all(self) -> None:
        with ExitStack() as saves:  # runs all of them, also after one that raised
            for name in reversed(self.pending):
                saves.callback(self._save, name)

    def _save(self, name: str) -> None:
        with self._saving:
            with self._guard:
                waiting = self._pending.get(name)
            if waiting is None:
                return
            self.project.save_labels(name, waiting.get_labels())
            with self._guard:
                if self._pending[name] is waiting:  # else it was painted on meanwhile
                    del self._pending[name]

    def _done(self, round_: "Future[None]") -> None:
        error = round_.exception() if self.pending else None
        began = self.error is None
        self.error = error
        self._schedule()
        if began and error is not None and self.on_error is not None:
            self.on_error(error)


@dataclass(frozen=True, eq=False)
class _Change:
    """The last change of a plane; a later one is another object."""

    get_labels: Callable[[], Any]
