"""Long work beside the window: a generator or a child process becomes a napari worker."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

GRACE_SECONDS = 60.0  # from "please stop" to SIGTERM: a training step and its validation fit in
KILL_SECONDS = 10.0  # from SIGTERM to SIGKILL where the window closes; twice the grace where it stays
BEAT_SECONDS = 0.25  # how often a silent child process is looked at
STDERR_LINES = 20
STOPPED = 130  # how the command line ends where it was asked to: nothing failed
SIGKILL = 9  # the signal module has no such name on Windows


@dataclass(frozen=True)
class Failed:
    """The job came to nothing; `message` is one line for the dock."""

    message: str


@dataclass(frozen=True)
class Beat:
    """Nothing new, but alive after `seconds`."""

    seconds: float


def _relay(steps: Iterator[Any]) -> Generator[Any, None, None]:
    try:
        yield from steps
    except CellsegError as error:
        yield Failed(str(error))
    except RuntimeError as error:
        # a worker takes a bare RuntimeError for its own deletion and ends in silence; torch raises them
        yield Failed(f"{type(error).__name__}: {error}".splitlines()[0])


class StepsWorker(GeneratorWorker):
    """Runs a generator in another thread and always closes it there.

    A `CellsegError` or `RuntimeError` arrives as a `Failed` record; any other exception is our
    own mistake and goes through `errored` to napari's notifications.
    """

    def __init__(self, steps: Generator[Any, Any, Any]) -> None:
        super().__init__(_relay, steps)
        self.steps = steps

    def work(self) -> Any:
        """Run the steps; what they hold is given back here even after `quit`."""
        try:
            return super().work()
        finally:
            self.steps.close()


def start_job(
    steps: Generator[Any, Any, Any],
    *,
    on_record: Callable[[Any], None],
    on_end: Callable[[], None],
) -> StepsWorker:
    """Run a generator in the background; both callables are called on the main thread.

    Parameters
    ----------
    steps : generator
        Yields small records. `worker.quit()` closes it after the record in work.
    on_record : callable
        Called with each record; `Failed` is one of them.
    on_end : callable
        Called once, however the job ended.
    """
    worker = StepsWorker(steps)
    worker.yielded.connect(on_record)
    worker.finished.connect(on_end)
    worker.start()
    return worker


def train_command(run: Path, *, resume: bool = False) -> list[str]:
    """Return the command that trains a prepared run and prints its records."""
    command = [sys.executable, "-m", "napari_cellseg", "train", "--run", str(run), "--events"]
    return [*command, "--resume"] if resume else command


class Child:
    """A child process that prints one record a line; iterate `records()` in a worker.

    Parameters
    ----------
    command : sequence of str
        What to run.
    stop_file : Path
        Creating it asks the process to end by itself.
    parse : callable
        Returns the record in a line; ValueError for a line that a library printed in between.
    grace_seconds : float
        How long it may take to do so before it is terminated.
    """

    def __init__(
        self,
        command: Sequence[str],
        stop_file: Path,
        parse: Callable[[str], Any],
        *,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.command, self.stop_file, self.parse = list(command), stop_file, parse
        self.grace_seconds = grace_seconds
        self.process: subprocess.Popen[str] | None = None
        self._asked: float | None = None  # when it was asked to stop

    def cancel(self) -> None:
        """Ask the process to stop; from any thread, returns at once."""
        self.stop_file.touch()
        self._asked = time.monotonic()

    def records(self) -> Generator[Any, None, None]:
        """Start the process and yield what it prints, `Beat` while it is silent.

        Ends with `Failed` if the process did not end well. Closing the generator ends the
        process: asked first, then terminated, then killed.
        """
        self.stop_file.unlink(missing_ok=True)
        self._asked = None
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        errors: deque[str] = deque(maxlen=STDERR_LINES)
        started = time.monotonic()
        self.process = process = subprocess.Popen(self.command, **_quietly())
        _lower_process(process.pid)
        readers = [
            threading.Thread(target=_read, args=(process.stdout, lines.put, True), daemon=True),
            threading.Thread(target=_read, args=(process.stderr, errors.append, False), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            while True:
                self._press_on(process)
                try:
                    line = lines.get(timeout=BEAT_SECONDS)
                except queue.Empty:
                    yield Beat(time.monotonic() - started)
                    continue
                if line is None:
                    break
                try:
                    record = self.parse(line)
                except ValueError:  # a library printed it
                    continue
                yield record
            process.wait()
            readers[1].join(timeout=1)
            asked = self._asked is not None
            if process.returncode not in ((0, STOPPED) if asked else (0,)):
                yield Failed(_end_of(process.returncode, errors))
        finally:
            self._end(process)
            for reader in readers:
                reader.join(timeout=1)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            self.stop_file.unlink(missing_ok=True)

    def _press_on(self, process: subprocess.Popen[str]) -> None:
        """Terminate, later kill, a process that was asked to stop and did not."""
        if self._asked is None:
            return
        waited = time.monotonic() - self._asked
        if waited > 2 * self.grace_seconds + KILL_SECONDS:
            process.kill()
        elif waited > self.grace_seconds:
            process.terminate()

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is not None:
            return
        self.stop_file.touch()
        for seconds, then in ((1.0, process.terminate), (KILL_SECONDS, process.kill)):
            try:
                process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                then()
        process.wait()


def _quietly() -> dict[str, Any]:
    """Return how a child is started: its records piped, no window of its own."""
    cores = os.cpu_count() or 1
    threads = cores - 1 if cores > 2 else cores  # at lower priority even two cores leave the window room
    options: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "encoding": "utf-8",
        "errors": "replace",
        "env": {"OMP_NUM_THREADS": str(threads)} | os.environ | {"PYTHONUNBUFFERED": "1"},
    }
    if sys.platform == "win32":
        options["creationflags"] = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW
    return options


def _lower_process(pid: int) -> None:
    if sys.platform != "win32":
        try:
            os.setpriority(os.PRIO_PROCESS, pid, 10)
        except ProcessLookupError:  # it ended already
            return


def _read(stream: Any, put: Callable[[Any], None], say_end: bool) -> None:
    for line in stream:
        put(line)
    if say_end:
        put(None)


def _end_of(code: int, errors: Sequence[str]) -> str:
    """Return in one line how a process ended; what it printed last says why only if it ended by itself."""
    if code < 0:
        memory = ", as the system does when the memory runs out" if code == -SIGKILL else ""
        return f"the process was killed (signal {-code}{memory})"
    said = [line.strip() for line in errors if line.strip()]
    if code == 2 and said:
        return said[-1].removeprefix("napari-cellseg: ")
    return f"the process ended with code {code}" + (f": {said[-1]}" if said else "")
