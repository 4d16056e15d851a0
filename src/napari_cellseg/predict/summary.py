"""`summary.csv`: a row for each file of a batch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from napari_cellseg.images.micrographs import stem
from napari_cellseg.images.whole_files import write_errors, write_whole

COLUMNS = ("path", "status", "message", "seconds", "pixels", "model")


class Summary:
    """The table of all files: rows of earlier runs stay unless their file is done again.

    A new file's row is put at the end of the table on the disk, so a million files take no longer each
    than a hundred; everything else writes the table anew.

    Parameters
    ----------
    path : Path
        Read if it is there.
    columns : sequence of str
        The first columns; others follow as they come.
    """

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self.path, self.columns = path, list(columns)
        self.rows: dict[str, dict[str, str]] = {}
        if path.exists():
            text = path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]  # killed in the middle of a row: that file is not through
            for row in csv.DictReader(io.StringIO(whole)):
                self._put({key: value or "" for key, value in row.items() if key})

    def add(self, row: Mapping[str, str]) -> None:
        """Put in a file's row, on the disk as well; of a skipped file the row it has stays."""
        before = self.rows.get(row["path"], {})
        if row["status"] == "skipped" and before.get("status") == "done":
            return
        known = len(self.columns)
        self._put(row)
        if before or len(self.columns) > known or not self.path.exists():
            self.write()
            return
        with write_errors(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            self._writer(file).writerow(row)

    def update(self, name: str, values: Mapping[str, str]) -> None:
        """Change the row of the image with this stem, if there is one, and write the table."""
        for path, row in self.rows.items():
            if stem(path) == name:
                self._put({**row, **values})
                self.write()

    def write(self) -> None:
        """Write the table whole."""
        text = io.StringIO()
        writer = self._writer(text)
        writer.writeheader()
        writer.writerows(self.rows.values())
        write_whole(self.path, text.getvalue())

    def _put(self, row: Mapping[str, str]) -> None:
        self.rows[row.get("path", "")] = dict(row)
        self.columns += [name for name in row if name not in self.columns]

    def _writer(self, file: TextIO) -> csv.DictWriter[str]:
        return csv.DictWriter(file, self.columns, restval="", lineterminator="\n")


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
