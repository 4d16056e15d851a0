"""STAR files as tables of strings; what is a number is said by whoever reads a column.

Values stay as they are written: a micrograph called ``01`` is not 1. A row that begins with
``data_`` is a row, as it is for RELION, and no new block.
"""

import re
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError

Table = dict[str, list[str]]

MISSING = {"", "<NA>", "nan", "NaN", ".", "?", "None"}
"""How programs write that there is no value; RELION takes some of them for 0."""

_VALUE_LIKE_A_BLOCK = re.compile(r"(?m)^[ \t]*(data_\S*)(?=[ \t]+[^\s#])|(?<=\S)([ \t]+)(data_\S*)")


def read_tables(text: str, file: str) -> dict[str, Table]:
    r"""Return the blocks of a STAR file by name, each with its columns of strings.

    Parameters
    ----------
    text : str
        The file's content.
    file : str
        Its name, for errors.

    Raises
    ------
    CellsegError
        If it is no STAR file.

    Examples
    --------
    >>> read_tables("data_\n\nloop_\n_a #1\n_b #2\ndata_1.mrc 01\n", "x.star")
    {'': {'a': ['data_1.mrc'], 'b': ['01']}}
    """
    try:
        document = cif.read_string(_VALUE_LIKE_A_BLOCK.sub(_quoted, text))
    except (ValueError, RuntimeError) as error:
        line = re.search(r"string:(\d+)", str(error))
        where = f"line {line[1]}: " if line else ""
        why = str(error).rpartition(": ")[2]
        raise CellsegError(f"{file}: {where}{why}", "a STAR file", "write or export it again") from None
    tables: dict[str, Table] = {}
    for block in document:
        name = block.name.strip()
        for number, table in enumerate(_tables(block), 1):
            tables[name if number == 1 else f"{name} {number}"] = table
    return tables


def _quoted(found: re.Match[str]) -> str:
    return f'"{found[1]}"' if found[1] else f'{found[2]}"{found[3]}"'


def _tables(block: cif.Block) -> list[Table]:
    """Return the single values of a block as a table of one row, and its loops."""
    single: Table = {}
    loops: list[Table] = []
    for item in block:
        if item.pair is not None:
            tag, value = cast("list[str]", item.pair)
            single[tag[1:]] = [cif.as_string(value)]
        elif item.loop is not None:
            loop: cif.Loop = item.loop
            values, width = list(loop.values), loop.width()
            loops.append(
                {
                    tag[1:]: [cif.as_string(value) for value in values[index::width]]
                    for index, tag in enumerate(loop.tags)
                }
            )
    return ([single] if single else []) + loops


def table_with(tables: Mapping[str, Table], columns: Sequence[str], file: str) -> Table:
    """Return the first table that has these columns.

    Raises
    ------
    CellsegError
        If none has; what there is is listed.
    """
    for table in tables.values():
        if all(column in table for column in columns):
            return table
    found = ", ".join(f"_{column}" for table in tables.values() for column in table)
    raise CellsegError(
        f"{file}: no table with {' and '.join(f'_{column}' for column in columns)}; "
        f"it has {found or 'no table'}",
        "a file of coordinates",
        "name its format if it is another one",
    )


def numbers(table: Table, column: str, file: str, *, missing: float | None = None) -> NDArray[np.float64]:
    """Return a column as numbers.

    Parameters
    ----------
    table, column : Table, str
    file : str
        For errors.
    missing : float, optional
        What a missing value becomes; by default there may be none.

    Raises
    ------
    CellsegError
        If a value is no finite number; its row is named.
    """
    values = np.empty(len(table[column]))
    for row, text in enumerate(table[column]):
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if text in MISSING and missing is not None:
            value = missing
        elif not np.isfinite(value):
            raise CellsegError(f"{file}: _{column} of row {row + 1} is {text!r}", "a number", "mend that row")
        values[row] = value
    return values


def star_text(block: str, columns: Mapping[str, Sequence[object]]) -> str:
    """Return a STAR file of one table, tab-separated, numbers with six decimals.

    Raises
    ------
    CellsegError
        If a value is NaN, or a text has a space: RELION reads the first as 0 and cannot read
        the second, even in quotes.

    Examples
    --------
    >>> print(star_text("", {"rlnCoordinateX": [1.5], "rlnHelicalTubeID": [1]}).strip())
    # written by napari-cellseg
    <BLANKLINE>
    data_
    <BLANKLINE>
    loop_
    _rlnCoordinateX #1
    _rlnHelicalTubeID #2
    1.500000    1
    """
    head = [f"_{name} #{index}" for index, name in enumerate(columns, 1)]
    rows = zip(*columns.values(), strict=True)
    body = [
        "\t".join(_written(value, name) for name, value in zip(columns, row, strict=True)) for row in rows
    ]
    return "\n".join(["# written by napari-cellseg", "", f"data_{block}", "", "loop_", *head, *body, "", ""])


def _written(value: object, column: str) -> str:
    if isinstance(value, float):
        if not np.isfinite(value):
            raise CellsegError(f"_{column}: {value}", "finite numbers", "mend or delete what has none")
        return f"{value + 0.0:.6f}"
    text = str(value)
    if not text or any(character.isspace() for character in text):
        raise CellsegError(
            f"_{column}: {text!r} has a space", "a name without any", "rename the file; RELION cannot read it"
        )
    return text
