"""Tables of crops as text: columns found by what people call them, rows checked."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from napari_cellseg.errors import CellsegError

Table = dict[str, list[str]]


def read_columns(text: str, name: str, *, separators: str = ",;\t") -> Table:
    r"""Return the columns of a table with a head, in their order.

    The separator is the one that is commonest in the head.

    Raises
    ------
    CellsegError
        If a row has another number of cells than the head, or a column comes twice.

    Examples
    --------
    >>> read_columns("path;label\n1.png;Tripos\n", "cells.csv")
    {'path': ['1.png'], 'label': ['Tripos']}
    """
    head = text.partition("\n")[0]
    separator = max(separators, key=head.count)
    # a quote within a field of a tab-separated table is a quote
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separators == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting)
    rows = [row for row in reader if row]
    names = [cell.strip() for cell in rows[0]] if rows else []
    if len(set(names)) < len(names):
        raise CellsegError(f"{name}: a column comes twice", "different names in the first line")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            found = f"{name}: row {number} has {len(row)} cells"
            raise CellsegError(found, f"{len(names)} as in the first line")
    return {column: [row[index] for row in rows[1:]] for index, column in enumerate(names)}


def column(table: Table, names: Sequence[str]) -> list[str] | None:
    """Return the first column of these names, in any case; None if there is none.

    Examples
    --------
    >>> column({"Path": ["a.png"], "Class": ["x"]}, ("label", "class"))
    ['x']
    """
    known = {key.casefold(): key for key in table}
    return next((table[known[name]] for name in names if name in known), None)


def read_text(path: Path) -> str:
    """Return a text file's content, which is UTF-8 (a mark at the beginning is dropped).

    Raises
    ------
    CellsegError
        If it is not.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CellsegError(f"{path}: not in UTF-8", "a table in UTF-8", "save it as 'CSV UTF-8'") from None
