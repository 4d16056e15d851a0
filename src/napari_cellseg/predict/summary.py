"""`summary.csv`: a row for each file of a batch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_cellseg.images.micrographs import stem
from napari_cellseg.images.whole_files import write_whole

COLUMNS = ("path", "status", "message", "seconds", "pixels", "model")


class Summary:
    """The table of all files: rows of earlier runs stay unless their file is done again.

    Parameters
    ----------
    path : Path
        Read if it is there.
    columns : sequence of str
        The first columns; others follow as they come.
    """

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self.path, self.columns = path, columns
        self.rows: dict[str, dict[str, str]] = {}
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    self.rows[row.get("path", "")] = {key: value or "" for key, value in row.items() if key}

    def add(self, row: Mapping[str, str]) -> None:
        """Put in a file's row and write the table; of a skipped file the row it has stays."""
        if row["status"] == "skipped" and self.rows.get(row["path"], {}).get("status") == "done":
            return
        self.rows[row["path"]] = dict(row)
        self.write()

    def update(self, name: str, values: Mapping[str, str]) -> None:
        """Change the row of the image with this stem, if there is one, and write the table."""
        for path, row in self.rows.items():
            if stem(path) == name:
                row |= values
                self.write()

    def write(self) -> None:
        """Write the table whole."""
        others = {key: None for row in self.rows.values() for key in row}
        columns = list(dict.fromkeys((*self.columns, *others)))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows.values())
        write_whole(self.path, text.getvalue())


def shares(class_pixels: Sequence[int], names: Sequence[str]) -> dict[str, str]:
    """Return the columns that say how much of an image each class covers.

    Examples
    --------
    >>> shares([30, 10], ["background", "cell"])
    {'pixels': '40', 'share_background': '0.750000', 'share_cell': '0.250000'}
    """
    total = sum(class_pixels)
    columns = zip(names, class_pixels, strict=True)
    return {"pixels": str(total)} | {f"share_{name}": f"{count / total:.6f}" for name, count in columns}
