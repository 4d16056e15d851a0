"""The app the commands hang on, and what they share."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from napari_cellseg.images.remote import Url

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
