"""Filaments of a micrograph as strips, and as boxes with the STAR file that RELION reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.relion import IMAGE, MICROGRAPH, segment_columns
from napari_cellseg.formats.star import Table, read_tables, star_text
from napari_cellseg.images.whole_files import replace_whole, write_whole
from napari_cellseg.objects.boxes import Boxes, cut_boxes
from napari_cellseg.objects.straighten import straighten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cellseg.images.coordinates import Coordinates
    from napari_cellseg.images.filament import Filament
    from napari_cellseg.settings import ExportSettings

PARTICLE_TABLE, GROUP = "particles", "rlnOpticsGroup"
STRIP_WIDTHS = BOX_WIDTHS = 2.0  # filament widths across a strip or a box, where it is not said


def write_strips(
    plane: NDArray[Any],
    filaments: Sequence[Filament],
    out: Path,
    name: str,
    *,
    width_px: float | None = None,
    pixel_nm: float | None = None,
    overwrite: bool = False,
) -> Iterator[Path]:
    """Write each filament straightened, as ``NAME_filament003.tif`` (float32), and yield the file.

    Parameters
    ----------
    plane : (y, x)
    filaments : sequence of Filament
    out : Path
        Folder; made if it is not there.
    name : str
        What the files' names begin with.
    width_px : float, optional
        Width of the strips; by default twice that of the filament.
    pixel_nm : float, optional
        Written as the resolution.
    overwrite : bool

    Raises
    ------
    CellsegError
        If a file exists, or a filament has no width and none is given.
    """
    import tifffile

    targets = [out / f"{name}_filament{one.id:03d}.tif" for one in filaments]
    _refuse(targets, overwrite)
    density = None if pixel_nm is None else (1e7 / pixel_nm, 1e7 / pixel_nm)
    widths = [width_px or STRIP_WIDTHS * (filament.width_px or 0) for filament in filaments]
    for filament, wide in zip(filaments, widths, strict=True):  # before the first one is written
        if not wide:
            raise CellsegError(f"filament {filament.id} without a width", "a width of the strips", "give it")
    for filament, target, wide in zip(filaments, targets, widths, strict=True):
        strip = straighten(plane, filament, wide)
        with replace_whole(target) as part:
            tifffile.imwrite(
                part,
                strip.pixels,
                resolution=density,
                resolutionunit=None if density is None else "CENTIMETER",
            )
        yield target


def boxes_along(
    plane: NDArray[Any],
    found: Coordinates,
    settings: ExportSettings,
    *,
    pad: bool = False,
    pixel_nm: float | None = None,
) -> Boxes:
    """Return boxes along filaments, of the size and at the step that the settings say.

    Raises
    ------
    CellsegError
        If nothing says how large a box is, or a step in angstrom lacks the pixel size.
    """
    widths = [one.width_px for one in found.filaments if one.width_px]
    box_px = settings.box_px or found.box_px or (BOX_WIDTHS * float(np.median(widths)) if widths else None)
    if box_px is None:
        raise CellsegError("filaments without a width", "the side of a box", "give it with --box-px")
    step_px = settings.step_px
    if step_px is None:
        if pixel_nm is None:
            raise CellsegError(
                f"a rise of {settings.rise_angstrom:g} angstrom and no pixel size",
                "one of the two in pixels",
                "give --step-px or --pixel-nm",
            )
        step_px = settings.units * settings.rise_angstrom / (10 * pixel_nm)
    return cut_boxes(plane, found.filaments, box_px=2 * round(box_px / 2), step_px=step_px, pad=pad)


def write_boxes(
    boxes: Boxes,
    out: Path,
    name: str,
    *,
    micrograph: str,
    pixel_nm: float | None,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Write boxes as an MRC stack and the STAR file that says where each is from.

    Parameters
    ----------
    boxes : Boxes
        At least one.
    out : Path
        Folder.
    name : str
        ``NAME_segments.mrcs`` and ``NAME_segments.star``.
    micrograph : str
        Its path, as the STAR file shall name it.
    pixel_nm : float
    overwrite : bool

    Raises
    ------
    CellsegError
        If a file exists, there are no boxes, the pixel size is unknown, or a path has a space,
        which RELION cannot read.
    """
    import mrcfile

    if pixel_nm is None:
        raise CellsegError(f"{micrograph}: no pixel size", "that of the boxes", "give it with --pixel-nm")

    stack, table = out / f"{name}_segments.mrcs", out / f"{name}_segments.star"
    _refuse([stack, table], overwrite)
    if not len(boxes.pixels):
        raise CellsegError(
            "every box leaves the field" if boxes.left_out else "no filaments",
            "at least one box",
            "make boxes smaller, or pad them",
        )
    count = len(boxes.pixels)
    columns = {MICROGRAPH: [micrograph] * count}
    columns[IMAGE] = [f"{number:06d}@{stack.name}" for number in range(1, count + 1)]
    text = star_text(PARTICLE_TABLE, columns | segment_columns(boxes.filaments, boxes.segments, pixel_nm))
    with replace_whole(stack) as part, mrcfile.new(part, boxes.pixels, overwrite=True) as file:
        file.set_image_stack()
        file.voxel_size = 10 * pixel_nm
    write_whole(table, text)
    return stack, table


def write_particles(path: Path, tables: Sequence[tuple[Path, float, int]], *, folder: Path) -> None:
    """Write the list of the boxes of several micrographs, with the table of optics groups.

    Boxes of one size and pixel size are a group. Of the optics only what an image says is there:
    RELION wants ``rlnVoltage`` and ``rlnSphericalAberration`` added to the groups.

    Parameters
    ----------
    path : Path
        Replaced if it is there.
    tables : sequence of (table, pixel_nm, box_px)
        STAR files that `write_boxes` wrote, each with at least one box.
    folder : Path
        That of the stacks, as the list shall name it: RELION counts paths from its project's root.

    Raises
    ------
    CellsegError
        If the folder has a space, which RELION cannot read.
    """
    groups: dict[tuple[float, int], int] = {}
    read: list[Table] = []
    for file, pixel_nm, box_px in tables:
        table = read_tables(file.read_text(encoding="utf-8"), file.name)[PARTICLE_TABLE]
        boxes = [name.partition("@") for name in table[IMAGE]]
        table[IMAGE] = [f"{number}@{(folder / stack).as_posix()}" for number, _, stack in boxes]
        group = groups.setdefault((pixel_nm, box_px), len(groups) + 1)
        read.append(table | {GROUP: [str(group)] * len(boxes)})
    columns = [name for name in read[0] if all(name in table for table in read)]  # not all have scores
    optics: dict[str, Sequence[object]] = {
        GROUP: list(groups.values()),
        f"{GROUP}Name": [f"opticsGroup{group}" for group in groups.values()],
        "rlnImagePixelSize": [10 * pixel_nm for pixel_nm, _ in groups],
        "rlnImageSize": [box_px for _, box_px in groups],
        "rlnImageDimensionality": [2] * len(groups),
    }
    joint = {name: [value for table in read for value in table[name]] for name in columns}
    write_whole(path, star_text("optics", optics) + star_text(PARTICLE_TABLE, joint))


def _refuse(targets: Sequence[Path], overwrite: bool) -> None:
    there = next((target for target in targets if target.exists()), None)
    if there is not None and not overwrite:
        raise CellsegError(
            f"{there}: exists already", "a new name", "choose another folder or give --overwrite"
        )
