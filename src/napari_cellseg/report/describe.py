"""What a file is, as plain values: images, models, crops, coordinates, project and run folders."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import LeftOut, read_each
from napari_cellseg.images.crops.reading import crop_format, holds_crops, read_crops

MOST_SAMPLES = 20  # named; a large set has thousands


def describe(path: Path) -> dict[str, Any]:
    """Return what `path` is, as JSON types; ``"kind"`` tells which it is.

    Parameters
    ----------
    path : Path
        An image, a model (.safetensors), images of single cells, a file of coordinates, a project
        folder (.cellseg) or a run folder.

    Raises
    ------
    CellsegError
        If it is missing, damaged, or none of these.
    """
    if path.suffix.lower() == ".safetensors":
        return {"path": str(path), "kind": "model", **_describe_model(path)}
    if (path / "project.json").is_file():
        return {"path": str(path), "kind": "project", **_describe_project(path)}
    if (path / "settings.json").is_file():
        return {"path": str(path), "kind": "run", **_describe_run(path)}
    if holds_crops(path):
        return {"path": str(path), "kind": "crops", **_describe_crops(path)}
    if path.is_file() and path.name.lower().endswith(_coordinate_suffixes()):
        return {"path": str(path), "kind": "coordinates", **_describe_coordinates(path)}
    return {"path": str(path), "kind": "image", **_describe_image(path)}


def _coordinate_suffixes() -> tuple[str, ...]:
    from napari_cellseg.formats.coordinates import READERS

    return tuple(suffix for reader in READERS.values() for suffix in reader.suffixes)


def _describe_coordinates(path: Path) -> dict[str, Any]:
    from napari_cellseg.formats.coordinates import SeveralMicrographs, format_of, read_coordinates

    format = format_of(path)
    try:
        found = read_coordinates(path, format=format, flip_y="no")
    except SeveralMicrographs as several:
        return {"format": format, "micrographs": list(several.names)}
    length = sum(filament.length_px for filament in found.filaments)
    return {
        "format": format,
        "micrograph": found.micrograph or None,
        "filaments": len(found.filaments),
        "points": len(found.points),
        "length_px": round(length, 1),
        "pixel_nm": found.pixel_nm,
        "box_px": found.box_px,
    }


def _describe_image(path: Path) -> dict[str, Any]:
    from napari_cellseg.images.micrographs import read_image

    image = read_image(path)
    return {
        "shape": list(image.shape),
        "channels": image.channels,
        "dtype": str(image.data.dtype),
        "pixel_nm": image.pixel_nm,
        "chunks": [int(chunks[0]) for chunks in image.data.chunks],
    }


def _describe_crops(path: Path) -> dict[str, Any]:
    format = crop_format(path)
    crops = read_crops(path, format=format)
    first = next((one for one in read_each(crops) if not isinstance(one, LeftOut)), None)
    labels, counts = (values.tolist() for values in np.unique(crops.labels, return_counts=True))
    samples = np.unique(crops.samples[crops.samples != ""]).tolist()
    more = len(samples) - MOST_SAMPLES
    return {
        "format": format,
        "crops": len(crops),
        "left_out": len(crops.left_out),
        "channels": list(crops.channels),
        "dtype": None if first is None else str(first.dtype),
        "first_shape": None if first is None else list(first.shape[1:]),
        "classes": {label: count for label, count in zip(labels, counts, strict=True) if label},
        "samples": samples[:MOST_SAMPLES] + [f"and {more} more"] * (more > 0),
        "notices": list(crops.notices),
    }


def _describe_model(path: Path) -> dict[str, Any]:
    from napari_cellseg.nets.model import read_spec

    return read_spec(path, task="any").to_json()


def _describe_project(path: Path) -> dict[str, Any]:
    from napari_cellseg.images.project import Project

    project = Project.open(path)
    return {
        "classes": list(project.classes.names[1:]),
        "images": [image.name for image in project.images],
        "models": [str(model.relative_to(path)) for model in project.models()],
        "runs": [run.name for run in project.runs()],
    }


def _describe_run(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads((path / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CellsegError(
            f"{path / 'settings.json'}: {error}", "a run folder written by napari-cellseg"
        ) from None
    last: dict[str, Any] = {}
    events = path / "events.jsonl"
    for line in events.read_text(encoding="utf-8").splitlines() if events.is_file() else ():
        try:
            record = json.loads(line)
        except ValueError:  # the line being written when the run was killed
            continue
        if record.get("event") in {"epoch", "finished"}:
            last = record
    return {"settings": settings, "last": last, "trained": (path / "best.safetensors").is_file()}
