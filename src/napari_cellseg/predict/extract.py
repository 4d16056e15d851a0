"""Filaments of a micrograph as strips, and as boxes with the STAR file that RELION reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.star import star_text
from napari_cellseg.images.whole_files import replace_whole, write_whole
from napari_cellseg.objects.boxes import Boxes, cut_boxes
from napari_cellseg.objects.straighten import straighten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cellseg.images.coordinates import Coordinates
    from napari_cellseg.images.filament import Filament
    from napari_cellseg.settings import ExportSettings

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
    for filament, target in zip(filaments, targets, strict=True):
        wide = width_px or STRIP_WIDTHS * (filament.width_px or 0)
        if not wide:
            raise CellsegError(f"filament {filament.id} without a width", "a width of the strips", "give it")
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
    text = star_text("particles", _columns(boxes, stack.name, micrograph, pixel_nm))
    with replace_whole(stack) as part, mrcfile.new(part, boxes.pixels, overwrite=True) as file:
        file.set_image_stack()
        file.voxel_size = 10 * pixel_nm
    write_whole(table, text)
    return stack, table


def _columns(boxes: Boxes, stack: str, micrograph: str, pixel_nm: float) -> dict[str, list[object]]:
    count = [len(cut.points) for cut in boxes.segments]
    points = np.concatenate([cut.points for cut in boxes.segments])
    owner = np.repeat(np.arange(len(count)), count)
    columns: dict[str, list[object]] = {
        "rlnMicrographName": [micrograph] * len(points),
        "rlnImageName": [f"{number:06d}@{stack}" for number in range(1, len(points) + 1)],
        "rlnCoordinateX": points[:, 1].tolist(),
        "rlnCoordinateY": points[:, 0].tolist(),
        "rlnHelicalTubeID": [boxes.filaments[number].id for number in owner],
        "rlnAngleTiltPrior": [90.0] * len(points),
        "rlnAnglePsiPrior": np.concatenate([cut.psi_degrees for cut in boxes.segments]).tolist(),
        "rlnHelicalTrackLengthAngst": (
            np.concatenate([cut.track_px for cut in boxes.segments]) * 10 * pixel_nm
        ).tolist(),
        "rlnAnglePsiFlipRatio": [0.5] * len(points),
    }
    scores = [one.score for one in boxes.filaments]
    if any(score is not None for score in scores):
        columns["rlnAutopickFigureOfMerit"] = [
            1.0 if scores[number] is None else float(scores[number] or 0.0) for number in owner
        ]
    return columns


def _refuse(targets: Sequence[Path], overwrite: bool) -> None:
    there = next((target for target in targets if target.exists()), None)
    if there is not None and not overwrite:
        raise CellsegError(
            f"{there}: exists already", "a new name", "choose another folder or give --overwrite"
        )
