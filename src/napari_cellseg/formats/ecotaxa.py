"""EcoTaxa archives: a table with a line of types, and the images, in one zip."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import STATUSES, UNCLASSIFIED, ClassTable, free
from napari_cellseg.images.crops import Crops, LeftOut, channel_bounds, read_each
from napari_cellseg.images.crops.ecotaxa import SAMPLE, read_ecotaxa_columns
from napari_cellseg.images.whole_files import replace_whole

TYPES = {
    "img_file_name": "[t]",
    "img_rank": "[f]",
    "object_id": "[t]",
    "object_annotation_category": "[t]",
    "object_annotation_status": "[t]",
    "object_confidence": "[f]",
    "sample_id": "[t]",
    "acq_id": "[t]",
    "process_id": "[t]",
}
_BLANKS = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def write_ecotaxa(
    path: str | Path, table: ClassTable, crops: Crops, *, overwrite: bool = False
) -> tuple[LeftOut, ...]:
    """Write a zip that EcoTaxa imports: ``ecotaxa_<name>.tsv`` and a PNG for each image.

    Grey and RGB crops of 8 bit are one image each, as they are. Of others every channel is
    an image of its own (``img_rank``), in 8 bit between bounds that hold for all crops. A
    cell that is unclassified has neither category nor status.

    Returns
    -------
    tuple of LeftOut
        Crops that could not be read; they are not in the archive.

    Raises
    ------
    CellsegError
        If table and crops are not of the same cells, or the file exists.
    """
    path = free(path, overwrite)
    if table.ids.tolist() != crops.ids.tolist():
        raise CellsegError(f"{path}: a table of other cells than the crops", "the same ids in the same order")
    left_out: list[LeftOut] = []
    lines = ["\t".join(TYPES), "\t".join(TYPES.values())]
    bounds = None
    with replace_whole(path) as part, zipfile.ZipFile(part, "w") as archive:
        for index, pixels in enumerate(read_each(crops)):
            if isinstance(pixels, LeftOut):
                left_out.append(pixels)
                continue
            plain = pixels.dtype == np.uint8 and len(pixels) in (1, 3)
            if not plain and bounds is None:
                bounds = channel_bounds(crops)
            planes = [pixels] if plain else _in_8_bit(pixels, bounds)
            for rank, plane in enumerate(planes):
                name = f"{index + 1:06d}.png" if plain else f"{index + 1:06d}_{crops.channels[rank]}.png"
                archive.writestr(name, _png(plane))
                lines.append("\t".join(_line(table, index, name, rank)))
        name = "ecotaxa_" + re.sub(r"[^\w.-]", "_", crops.name) + ".tsv"
        archive.writestr(name, "\n".join(lines) + "\n", zipfile.ZIP_DEFLATED)
    return tuple(left_out)


def read_ecotaxa(path: str | Path, classes: tuple[str, ...] = ()) -> ClassTable:
    """Return what an archive or a table of EcoTaxa says of its objects, each once.

    Parameters
    ----------
    path : str or Path
        Zip, table or folder.
    classes : tuple of str
        Order of the classes, such as the model's, which a table of EcoTaxa does not hold;
        others that occur come after them, by name.

    Raises
    ------
    CellsegError
        If there is no table or a column is missing.
    """
    columns = read_ecotaxa_columns(Path(path))
    _, first = np.unique(np.array(columns["object_id"], np.str_), return_index=True)
    rows = np.sort(first).tolist()
    empty = [""] * len(columns["object_id"])
    samples = next((columns[name] for name in SAMPLE if name in columns), empty)
    named = columns.get("object_annotation_category", empty)
    labels = [named[row] or UNCLASSIFIED for row in rows]
    statuses = [columns.get("object_annotation_status", empty)[row].lower() for row in rows]
    others = sorted(set(labels) - {*classes, UNCLASSIFIED})
    names = (*classes, *others)
    return ClassTable(
        names,
        ids=np.array([columns["object_id"][row] for row in rows], np.str_),
        paths=np.array([columns["img_file_name"][row] for row in rows], np.str_),
        samples=np.array([samples[row] for row in rows], np.str_),
        labels=np.array(labels, np.str_),
        statuses=np.array([status if status in STATUSES else STATUSES[0] for status in statuses], np.str_),
        probabilities=np.full((len(rows), len(names)), np.nan),
        model=next(iter(columns.get("process_id", [])), ""),
    )


def _line(table: ClassTable, index: int, name: str, rank: int) -> list[str]:
    label, confidence = str(table.labels[index]), table.confidences[index]
    known = label != UNCLASSIFIED
    sample = str(table.samples[index]) or "unknown"
    cells = {
        "img_file_name": name,
        "img_rank": str(rank),
        "object_id": str(table.ids[index]),
        "object_annotation_category": label if known else "",
        "object_annotation_status": str(table.statuses[index]) if known else "",
        "object_confidence": "" if np.isnan(confidence) else f"{confidence:.6g}",
        "sample_id": sample,
        "acq_id": sample,
        "process_id": table.model or "none",
    }
    return [cells[column].translate(_BLANKS) for column in TYPES]


def _in_8_bit(pixels: NDArray[Any], bounds: NDArray[np.float32] | None) -> list[NDArray[Any]]:
    low, high = (np.zeros((2, len(pixels))) if bounds is None else bounds.T)[..., None, None]
    share = (pixels.astype(np.float32) - low) / np.where(high > low, high - low, 1)
    planes = np.clip(np.round(share * 255), 0, 255).astype(np.uint8)
    return [plane[np.newaxis] for plane in planes]


def _png(pixels: NDArray[Any]) -> bytes:
    """Return a PNG of ``(1, y, x)`` or ``(3, y, x)`` uint8."""
    content = io.BytesIO()
    PIL.Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(content, "PNG")
    return content.getvalue()
