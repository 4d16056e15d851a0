"""Progress of long work on a terminal: a bar where somebody watches, else a line now and then."""

import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO


class Progress:
    """A bar on a terminal, plain lines elsewhere (log files, pipes), always on stderr.

    Parameters
    ----------
    title : str
        What is being done: ``"training"``.
    stream : text stream, optional
        Where to draw; stderr by default.
    every_s : float
        Seconds between two plain lines.

    Examples
    --------
    >>> import sys
    >>> with Progress("reading", stream=sys.stdout) as progress:
    ...     progress.say("2 files")
    ...     progress.show(1, 2, "a.tif")
    2 files
    reading: 50 %, a.tif
    """

    def __init__(self, title: str, *, stream: TextIO | None = None, every_s: float = 10.0) -> None:
        self.title, self.stream, self.every_s = title, stream or sys.stderr, every_s
        self._last = -float("inf")
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self.stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.percentage:>3.0f} %"),
            )
            self._bar = Bar(*columns, TextColumn("{task.fields[text]}"), console=Console(file=self.stream))
            self._task = self._bar.add_task(self.title, total=1.0, text="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: float, total: float, text: str = "") -> None:
        """Draw that `done` of `total` is behind us; `text` says what goes on."""
        share = min(1.0, done / total) if total else 1.0
        if self._bar is not None:
            self._bar.update(self._task, completed=share, text=text)
            return
        now = time.monotonic()
        if now - self._last >= self.every_s:
            self._last = now
            self._line(f"{self.title}: {100 * share:.0f} %" + (f", {text}" if text else ""))

    def say(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()


def duration(seconds: float) -> str:
    """Return a length of time as people say it.

    Examples
    --------
    >>> duration(7.31), duration(200), duration(7300)
    ('7.3 s', '3 min 20 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
