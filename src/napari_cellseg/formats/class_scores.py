"""Class scores of IFCB bins as HDF5, version 3, as the IFCB dashboard reads them; one file a bin."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import STATUSES, UNCLASSIFIED, ClassTable, free
from napari_cellseg.images.whole_files import replace_whole

ENDING = "_class.h5"
_ID = re.compile(r"(?P<bin>.+)_(?P<roi>[0-9]+)")


def write_class_scores(folder: str | Path, table: ClassTable, *, overwrite: bool = False) -> list[Path]:
    """Write ``<bin>_class.h5`` for each bin of the table, its images in order of their numbers.

    Each holds `output_scores` (image, class), `class_labels` in the model's order,
    `roi_numbers`, and `class_name`, where "unclassified" stays.

    Parameters
    ----------
    folder : str or Path
        Made if missing.
    table : ClassTable
        With ids such as ``D20220519T124533_IFCB134_00017`` and a probability for each.
    overwrite : bool
        Whether existing files may be replaced.

    Returns
    -------
    list of Path

    Raises
    ------
    CellsegError
        If an id is none of an IFCB image, a probability is missing, or a file exists.
    """
    import h5py

    matches = [_ID.fullmatch(identity) for identity in table.ids.tolist()]
    for identity, match in zip(table.ids.tolist(), matches, strict=True):
        if match is None:
            found = f"id {identity!r}"
            raise CellsegError(found, "a bin and a number, as in D20220519T124533_IFCB134_00017")
    if np.isnan(table.probabilities).any():
        raise CellsegError(
            "cells without probabilities", "class scores of all of them", "classify them first"
        )
    bins = np.array([match["bin"] for match in matches if match], np.str_)
    rois = np.array([int(match["roi"]) for match in matches if match], np.uint32)
    names = np.unique(bins).tolist()
    paths = [free(Path(folder) / f"{name}{ENDING}", overwrite) for name in names]
    for name, path in zip(names, paths, strict=True):
        own = np.flatnonzero(bins == name)
        own = own[np.argsort(rois[own], kind="stable")]
        with replace_whole(path) as part, h5py.File(part, "w") as file:
            about = file.create_dataset("metadata", data=h5py.Empty("f"))
            about.attrs.update({"version": "v3", "model_id": table.model, "bin_id": name})
            text = h5py.string_dtype()
            file.create_dataset(
                "output_scores", data=table.probabilities[own].astype(np.float32), compression="gzip"
            )
            file.create_dataset("class_labels", data=list(table.classes), dtype=text)
            file.create_dataset("roi_numbers", data=rois[own])
            file.create_dataset("class_name", data=table.labels[own].tolist(), dtype=text)
            file.create_dataset("status", data=table.statuses[own].tolist(), dtype=text)
    return paths


def read_class_scores(path: str | Path) -> ClassTable:
    """Return what a ``<bin>_class.h5`` says, of any program that writes version 3.

    Raises
    ------
    CellsegError
        If the file is damaged, or has not what a class_scores file has.
    """
    import h5py

    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            missing = {"output_scores", "class_labels", "roi_numbers"} - set(file)
            if missing:
                raise CellsegError(f"{path}: no {min(missing)}", "a class_scores file of version 3")
            scores = np.asarray(file["output_scores"][()], np.float64)
            rois = np.asarray(file["roi_numbers"][()], np.int64)
            texts = {
                key: _texts(file[key]) for key in ("class_labels", "class_name", "status") if key in file
            }
            about = dict(file["metadata"].attrs) if "metadata" in file else {}
    except OSError as error:
        raise CellsegError(f"{path}: cannot be read ({error})", "an HDF5 file of class scores") from error
    classes = tuple(texts["class_labels"])
    if scores.ndim != 2 or scores.shape != (len(rois), len(classes)):
        found = f"{path}: scores of shape {scores.shape}"
        raise CellsegError(found, f"({len(rois)}, {len(classes)}): images and classes")
    name = path.name.removesuffix(ENDING)
    best = [classes[k] for k in scores.argmax(axis=1)] if scores.size else [UNCLASSIFIED] * len(rois)
    return ClassTable(
        classes,
        ids=np.array([f"{name}_{roi:05d}" for roi in rois.tolist()], np.str_),
        paths=np.full(len(rois), f"{name}.roi"),
        samples=np.full(len(rois), name),
        labels=np.array(texts.get("class_name", best), np.str_),
        statuses=np.array(texts.get("status", [STATUSES[0]] * len(rois)), np.str_),
        probabilities=scores,
        model=_text(about.get("model_id", "")),
    )


def _texts(dataset: object) -> list[str]:
    values: NDArray[np.object_] = np.asarray(dataset)
    return [_text(value) for value in values.ravel().tolist()]


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
