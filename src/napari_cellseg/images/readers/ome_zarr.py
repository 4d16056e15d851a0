"""OME-Zarr 0.4 and 0.5, and plain zarr arrays."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.readers.pixel_size import isotropic_nm, nm_per_unit
from napari_cellseg.images.readers.pixels import Handle, Source

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a zarr group or array."""
    return any((path / mark).is_file() for mark in MARKS)


def open_ome_zarr(path: Path) -> Source:
    """Return what an OME-Zarr image holds: its full resolution.

    A plain zarr array is read too, as ``(y, x)`` or ``(c, y, x)`` without a pixel size.

    Raises
    ------
    CellsegError
        If the folder is no zarr, or a zarr group without an image.
    """
    import zarr

    if not is_zarr(path):
        raise CellsegError(
            f"{path.name}: a folder without zarr metadata ({' or '.join(MARKS[:3])})",
            "an OME-Zarr image",
            "name the image itself, or a glob of files in the folder",
        )
    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        plain = "qyx"[-node.ndim :] if node.ndim < 4 else "tczyx"[-node.ndim :]
        return _source(node, _open_array, plain, None)
    multiscale, root = _multiscale(node, path)
    array = _level(node, multiscale, root, 0)
    if not isinstance(array, zarr.Array):
        raise CellsegError(f"{path.name}: its full resolution is no array", "an OME-Zarr image")
    axes = _axes(multiscale, array.ndim)
    size = _pixel_nm(multiscale, axes, path.name)
    return _source(array, partial(_open_level, level=0), _names(axes), size)


def smaller_ome_zarr(path: Path) -> list[Source]:
    """Return the smaller copies an OME-Zarr image holds, the largest first; none for a plain array."""
    import zarr

    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return []
    multiscale, root = _multiscale(node, path)
    arrays = [(k, _level(node, multiscale, root, k)) for k in range(1, len(multiscale["datasets"]))]
    return [
        _source(array, partial(_open_level, level=k), _names(_axes(multiscale, array.ndim)), None)
        for k, array in arrays
        if isinstance(array, zarr.Array)
    ]


def _source(array: Any, opener: Any, axes: str, pixel_nm: float | None) -> Source:
    sides = dict(zip(axes, array.chunks, strict=True))
    chunk_px = (int(sides.get("y", 1)), int(sides.get("x", 1)))
    return Source(opener, axes, tuple(array.shape), np.dtype(array.dtype), chunk_px, pixel_nm)


def _open_array(path: Path) -> Handle:
    import zarr

    return Handle(zarr.open_array(str(path), mode="r"))


def _open_level(path: Path, *, level: int) -> Handle:
    import zarr

    group = zarr.open_group(str(path), mode="r")
    return Handle(_level(group, *_multiscale(group, path), level))


def _level(group: Any, multiscale: dict[str, Any], root: str, level: int) -> Any:
    return group[f"{root}{multiscale['datasets'][level]['path']}"]


def _names(axes: list[dict[str, Any]]) -> str:
    return "".join(str(axis["name"]).lower()[:1] for axis in axes)


def _multiscale(group: Any, path: Path) -> tuple[dict[str, Any], str]:
    """Return the metadata of the image and where it lies in the group (``"0/"`` in Bio-Formats' layout)."""
    for root in ("", "0/"):
        if root and root.rstrip("/") not in group:
            break
        attributes = (group[root.rstrip("/")] if root else group).attrs.asdict()
        found = attributes.get("ome", attributes).get("multiscales")
        if found:
            return found[0], root
    kind = next((key for key in ("plate", "well") if key in group.attrs.get("ome", group.attrs)), "group")
    raise CellsegError(
        f"{path.name}: a zarr {kind} without an image",
        "an OME-Zarr image (0.4 or 0.5)",
        f"name one of its members: {', '.join(sorted(group.keys())[:5]) or 'it is empty'}",
    )


def _axes(multiscale: dict[str, Any], ndim: int) -> list[dict[str, Any]]:
    axes = multiscale.get("axes") or list("tczyx"[-ndim:])
    return [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]


def _pixel_nm(multiscale: dict[str, Any], axes: list[dict[str, Any]], name: str) -> float | None:
    scale = np.ones(len(axes))
    for owner in (multiscale["datasets"][0], multiscale):
        for transform in owner.get("coordinateTransformations") or ():
            if transform.get("type") == "scale" and len(transform.get("scale", ())) == len(axes):
                scale *= np.asarray(transform["scale"], float)
    sizes: dict[str, float] = {}
    for axis, step in zip(axes, scale, strict=True):
        nm = nm_per_unit(str(axis.get("unit", "")))
        if nm:
            sizes[str(axis["name"]).lower()] = float(step) * nm
    return isotropic_nm(sizes.get("y"), sizes.get("x"), name)
