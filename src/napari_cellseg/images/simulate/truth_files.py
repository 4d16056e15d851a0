"""Simulated images and their truth as files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import replace_whole

if TYPE_CHECKING:
    from napari_cellseg.images.simulate.cell_field import SimulatedCells
    from napari_cellseg.images.simulate.simulated import Simulated


def write_micrograph(
    path: Path | str, simulated: Simulated | SimulatedCells, *, overwrite: bool = False
) -> Path:
    """Write the image with its pixel size: ``.tif`` as uint16, ``.mrc`` as float32.

    Parameters
    ----------
    path : Path
        Where to; its suffix decides the kind. The TIFF's counts are stretched to use the
        range of uint16, the MRC holds the electrons themselves.
    simulated : Simulated or SimulatedCells
        What to write.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CellsegError
        If the suffix is unknown or the file exists.
    """
    target = Path(path)
    writers = {".tif": _write_tiff, ".tiff": _write_tiff, ".mrc": _write_mrc}
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise CellsegError(
            f"{target}: no writer for {target.suffix!r}", " or ".join(writers), "choose another suffix"
        )
    return _written(target, overwrite, lambda part: writer(part, simulated.image, simulated.pixel_nm))


def write_mask(path: Path | str, simulated: Simulated | SimulatedCells, *, overwrite: bool = False) -> Path:
    """Write the mask as a two-valued PNG: **black = filament** (or cell), white = not.

    Raises
    ------
    CellsegError
        If the file exists.
    """
    plane = np.where(simulated.mask == 2, 0, 255).astype(np.uint8)
    return _written(Path(path), overwrite, lambda part: _write_png(part, plane))


def write_truth(
    folder: Path | str, simulated: Simulated, *, stem: str, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write mask, filament coordinates and troponin positions next to each other.

    Parameters
    ----------
    folder : Path
        Made if missing.
    simulated : Simulated
        What to write.
    stem : str
        The micrograph's name: ``<stem>_mask.png``, ``<stem>_filaments.csv`` (columns
        filament, row, col) and ``<stem>_troponin.csv`` (X = col, Y = row).
    overwrite : bool
        Whether existing files may be replaced.

    Returns
    -------
    tuple of Path
        The three files.

    Raises
    ------
    CellsegError
        If one of them exists.
    """
    base = Path(folder)
    axes = [(i, f"{r:.3f}", f"{c:.3f}") for i, path in enumerate(simulated.filaments) for r, c in path]
    sites = [(f"{col:.3f}", f"{row:.3f}") for row, col in simulated.troponins]
    return (
        write_mask(base / f"{stem}_mask.png", simulated, overwrite=overwrite),
        _written(
            base / f"{stem}_filaments.csv",
            overwrite,
            lambda part: _write_csv(part, ("filament", "row", "col"), axes),
        ),
        _written(base / f"{stem}_troponin.csv", overwrite, lambda part: _write_csv(part, ("X", "Y"), sites)),
    )


def _written(target: Path, overwrite: bool, write: Callable[[Path], None]) -> Path:
    """Write a file that is whole or not there."""
    if target.exists() and not overwrite:
        raise CellsegError(
            f"{target}: the file exists", "a new name", "choose another name or allow overwriting"
        )
    with replace_whole(target) as part:
        write(part)
    return target


def _write_tiff(path: Path, image: NDArray[np.float32], pixel_nm: float) -> None:
    import tifffile

    scale = 50_000 / max(float(image.max()), 1e-6)
    plane = np.clip(np.round(image * np.float32(scale)), 0, 65_535).astype(np.uint16)
    per_pixel = (1 / pixel_nm, 1 / pixel_nm)
    tifffile.imwrite(path, plane, imagej=True, resolution=per_pixel, metadata={"unit": "nm", "axes": "YX"})


def _write_mrc(path: Path, image: NDArray[np.float32], pixel_nm: float) -> None:
    import mrcfile

    with mrcfile.new(path, np.asarray(image, np.float32), overwrite=True) as file:
        file.voxel_size = (pixel_nm * 10, pixel_nm * 10, pixel_nm * 10)


def _write_png(path: Path, plane: NDArray[np.uint8]) -> None:
    import imageio.v3 as iio

    iio.imwrite(path, plane, extension=".png")


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
