"""The command line: results on stdout, progress on stderr, one line for a mistake.

Exit codes: 0 = all done, 1 = some inputs failed, 2 = the request was wrong, 130 = interrupted.
Every command imports what it needs when it runs, so ``--help`` waits for nothing.
"""

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cyclopts import CycloptsError
from pydantic import ValidationError

from napari_cellseg.cli import (
    cells,
    classify,
    compress,
    convert,
    demo,
    evaluate,
    explain,
    export,
    inspect,
    points,
    segment,
    straighten,
    study,
    trace,
    train,
)
from napari_cellseg.cli.app import INTERRUPTED, OK, WRONG_REQUEST, app
from napari_cellseg.errors import CellsegError

__all__ = [
    "app",
    "cells",
    "classify",
    "compress",
    "convert",
    "demo",
    "evaluate",
    "explain",
    "export",
    "inspect",
    "main",
    "points",
    "segment",
    "straighten",
    "study",
    "trace",
    "train",
]

REMEDIES = {
    errno.ENOSPC: "free some space or write to another disk",
    errno.EDQUOT: "free some space or write to another disk",
    errno.EACCES: "check who may read and write there",
    errno.EPERM: "check who may read and write there",
    errno.EROFS: "write to another disk",
    errno.EISDIR: "give a file",
    errno.ENOTDIR: "give a folder",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EIO: "check the disk",
}
"""What to do about an error of the system that is not a mistake of this program."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Examples
    --------
    >>> main(["list", "losses"])  # doctest: +ELLIPSIS
    dice+ce ...
    0
    """
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it says of damage is in our own line
    with _terminated_is_interrupted():
        return _run(list(sys.argv[1:] if argv is None else argv))


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """Take SIGTERM (a scheduler's, a `kill`) as Ctrl-C: child processes end and files stay whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(argv: list[str]) -> int:
    try:
        code = app(argv, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except CellsegError as error:
        return _complain(str(error))
    except CycloptsError as error:
        return _complain(_request_line(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept", INTERRUPTED)
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror}; {REMEDIES[error.errno]}")


def _complain(line: str, code: int = WRONG_REQUEST) -> int:
    print(f"napari-cellseg: {' '.join(line.split())}", file=sys.stderr)
    return code


def _request_line(error: CycloptsError) -> str:
    """Return in one line what was wrong with the arguments and where help is to be had."""
    command = " ".join(("napari-cellseg", *(error.command_chain or ())))
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        first = cause.errors()[0]
        flag = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
        return f"{flag} = {first['input']}: {first['msg']}; see `{command} --help`"
    return f"{str(error).rstrip('.')}; see `{command} --help`"
