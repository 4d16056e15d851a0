"""The app the commands hang on, and what they share."""

from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

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
