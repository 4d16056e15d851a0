"""A command in a process of its own, whose time and memory are measured."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import psutil

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import write_whole

GRACE_SECONDS = 60.0  # from "please end" to the kill: a training step and its checkpoint fit in
SAMPLE_SECONDS = 0.1
SAME_SECONDS = 2.0  # how far the start of a process may seem to move when the clock is set
ROW_OF_PEAK = "VmHWM:"


class Child:
    """``napari-cellseg ARGUMENTS`` as a process; iterate `lines()`, then look at what it took.

    Its standard error goes to a file. While it runs, ``child.json`` beside that file names it, so
    that one which outlived a killed study is ended before its work is taken up again.

    Parameters
    ----------
    arguments : sequence of str
        Of the command line.
    log : Path
        File for its standard error; made anew.
    stop : Path, optional
        A file whose existence asks the process to end; without one it is terminated.

    Attributes
    ----------
    seconds : float
        Wall time from start to end.
    peak_mb : float
        Most memory it held, in 10**6 bytes; that of a graphics card is not in it.
    """

    def __init__(self, arguments: Sequence[str], log: Path, *, stop: Path | None = None) -> None:
        self.command = [sys.executable, "-m", "napari_cellseg", *arguments]
        self.log, self.stop = log, stop
        self.seconds = self.peak_mb = 0.0

    def lines(self) -> Generator[str, None, None]:
        """Start the process and yield what it prints; closing this ends the process.

        Raises
        ------
        CellsegError
            If it ends with an error; the last line it wrote says which.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        note = self.log.with_name("child.json")
        _end_orphan(note)
        began = time.monotonic()
        with self.log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(process.pid, over), daemon=True)
        watcher.start()
        try:
            write_whole(note, json.dumps(note_of(process.pid)))
            assert process.stdout is not None
            for line in process.stdout:  # noqa: UP028 (it would close the pipe before the process is asked)
                yield line
            process.wait()
        finally:
            self._end(process)
            over.set()
            watcher.join()
            self.seconds = time.monotonic() - began
            note.unlink(missing_ok=True)
        if process.returncode:
            raise CellsegError(_end_of(process.returncode, self.log))

    def _watch(self, pid: int, over: threading.Event) -> None:
        try:
            process = psutil.Process(pid)
            while not over.wait(SAMPLE_SECONDS):
                self.peak_mb = max(self.peak_mb, peak_bytes(process) / 1e6)
        except psutil.Error:  # it ended
            return

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            if self.stop is None:
                process.terminate()
            else:
                self.stop.touch()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def peak_bytes(process: psutil.Process) -> int:
    """Return the most memory a process has held so far, or holds now where the system keeps no peak.

    Raises
    ------
    psutil.Error
        If the process has ended.

    Examples
    --------
    >>> peak_bytes(psutil.Process()) >= 10**6
    True
    """
    held = process.memory_info()
    if sys.platform == "linux":
        try:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            raise psutil.NoSuchProcess(process.pid) from None
        row = next((line for line in status.splitlines() if line.startswith(ROW_OF_PEAK)), "")
        return 1024 * int(row.split()[1]) if row else int(held.rss)
    return int(getattr(held, "peak_wset", held.rss))


def note_of(pid: int | None = None) -> dict[str, float]:
    """Return what tells a process, by default this one, from a later one with its number."""
    try:
        process = psutil.Process(pid)
        return {"pid": process.pid, "started": process.create_time()}
    except psutil.Error:  # it ended already
        return {"pid": 0, "started": 0.0}


def running(note: Path) -> psutil.Process | None:
    """Return the process that a note names, if it is still there."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        process = psutil.Process(known["pid"])
        same = abs(process.create_time() - known["started"]) < SAME_SECONDS
    except (OSError, ValueError, TypeError, KeyError, psutil.Error):
        return None
    return process if same else None


def _end_orphan(note: Path) -> None:
    process = running(note)
    if process is not None:
        process.kill()
        process.wait()


def _end_of(code: int, log: Path) -> str:
    said = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    last = next((line for line in reversed(said) if line), "").removeprefix("napari-cellseg: ")
    if code == 2 and last:
        return last
    if code == -9:
        return "the process was killed, as a system does that runs out of memory"
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"the process {how}" + (f": {last}" if last else "")
