"""What can be made of classified cells."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_cellseg.formats.class_folders import write_class_folders
from napari_cellseg.formats.class_scores import write_class_scores
from napari_cellseg.formats.class_table import ClassTable, write_class_table
from napari_cellseg.formats.ecotaxa import write_ecotaxa
from napari_cellseg.images.crops import Crops, LeftOut


@dataclass(frozen=True)
class ClassWriter:
    """One kind of output: `write` takes path, table and crops and returns what had to be left out.

    `suffix` is that of the file; empty for a folder.
    """

    suffix: str
    write: Callable[[Path, ClassTable, Crops], tuple[LeftOut, ...]]
    description: str


def _table(path: Path, table: ClassTable, _: Crops) -> tuple[LeftOut, ...]:
    write_class_table(path, table)
    return ()


def _scores(path: Path, table: ClassTable, _: Crops) -> tuple[LeftOut, ...]:
    write_class_scores(path, table)
    return ()


CLASS_WRITERS: dict[str, ClassWriter] = {
    "csv": ClassWriter(".csv", _table, "table: label, status, all probabilities, model"),
    "ecotaxa": ClassWriter(".zip", write_ecotaxa, "EcoTaxa archive: images and table in a zip"),
    "class-scores": ClassWriter("", _scores, "IFCB class scores, version 3: an HDF5 file for each bin"),
    "class-folders": ClassWriter("", write_class_folders, "the images, copied into a folder for each class"),
}
