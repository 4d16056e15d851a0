"""The app the commands hang on, and what they share."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import cyclopts
from cyclopts import Parameter

from napari_cellseg.images.remote import Place, Url

OK, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130

Polarity = Literal["dark", "bright", "labels", "instances", "points"]
Many = Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())]
Flag = Annotated[bool, Parameter(negative=())]
Json = Annotated[bool, Parameter(name="--json", negative=())]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("napari-cellseg")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


app = cyclopts.App(
    name="napari-cellseg",
    help="Train networks on annotated micrographs, segment new ones, score the result.",
    version=_version,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    help_format="plaintext",
)


class Done(Protocol):
    """What became of a file, of whatever was done to it."""

    @property
    def path(self) -> Place:
        """The file."""

    @property
    def status(self) -> str:
        """Done or failed, in these words."""

    @property
    def message(self) -> str:
        """Why it failed, or what else should be said."""


One = TypeVar("One", bound=Done)


def followed(
    records: Iterable[One], total: int, doing: str, told: Callable[[One], tuple[str, Iterable[Any]]]
) -> dict[str, int] | None:
    """Show how files come to an end, and print what was written; return their number by status.

    Parameters
    ----------
    records : iterable
        "done" or "failed", with what to say.
    total : int
        How many there will be.
    doing : str
        What stands before the progress.
    told : callable
        ``told(record)``: what came of a file that is done, in words, and what was written.

    Returns
    -------
    dict or None
        None if it was interrupted, which has been said then.
    """
    from napari_cellseg.report.progress import Progress

    counts = dict.fromkeys(("done", "failed"), 0)
    try:
        with Progress(doing) as progress:
            for record in records:
                counts[record.status] += 1
                progress.show(sum(counts.values()), total, record.path.name)
                if record.status == "failed":
                    progress.say(f"napari-cellseg: {record.message}")
                    continue
                found, outputs = told(record)
                said = f"; {record.message}" if record.message else ""
                progress.say(f"{record.path.name}: {found}{said}")
                print(*outputs, sep="\n", flush=True)
    except KeyboardInterrupt:
        print("napari-cellseg: interrupted; finished files are kept", file=sys.stderr)
        return None
    return counts


def summed_up(counts: Mapping[str, int], out: Path | Url) -> int:
    """Say on stderr how many files went how, and where to read more; return the exit code.

    Parameters
    ----------
    counts : mapping
        Files by their status; every file is counted once.
    out : Path or Url
        The folder with ``summary.csv``.
    """
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print(f"{said}; see {out / 'summary.csv'}", file=sys.stderr)
    if counts["failed"] == sum(counts.values()) == 1:
        return WRONG_REQUEST
    return SOME_FAILED if counts["failed"] else OK
