"""`napari-cellseg straighten`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_cellseg.cli.app import OK, Flag, app
from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import ExportSettings

if TYPE_CHECKING:
    from napari_cellseg.objects.boxes import Boxes

DEFAULTS = ExportSettings()


@app.command
def straighten(
    image: Path,
    coordinates: Path,
    /,
    *,
    out: Path,
    width_px: float | None = None,
    boxes: Flag = False,
    pad: Flag = False,
    source: str = "",
    flip_source: Literal["auto", "yes", "no"] = "auto",
    pixel_nm: float | None = None,
    overwrite: Flag = False,
    settings: Annotated[ExportSettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Write each filament straightened, OUT/<stem>_filament001.tif; or boxes along all with --boxes.

    Parameters
    ----------
    image
        The micrograph.
    coordinates
        Its filaments, as trace or another program wrote them.
    out
        Folder.
    width_px
        Width of the strips in pixels; default: twice that of the filament.
    boxes
        Write OUT/<stem>_segments.mrcs and .star instead: a box at every step, for RELION.
    pad
        Keep boxes that leave the image.
    source
        Format of the coordinates, where suffix and content do not say it.
    flip_source
        Whether they count rows from the bottom; auto = of TIFF micrographs, as RELION and EMAN do.
    pixel_nm
        Pixel size in nm, instead of what the image says.
    overwrite
        Replace existing files.
    """
    from napari_cellseg.formats.coordinates import read_coordinates
    from napari_cellseg.images.micrographs import read_image, stem
    from napari_cellseg.predict.extract import boxes_along, write_strips
    from napari_cellseg.report.progress import Progress

    opened = read_image(image, pixel_nm=pixel_nm)
    found = read_coordinates(
        coordinates,
        format=source or None,
        image=image,
        pixel_nm=opened.pixel_nm,
        shape=opened.shape,
        flip_y=flip_source,
    )
    for notice in found.notices:
        print(f"{coordinates.name}: {notice}", file=sys.stderr)
    if not found.filaments:
        raise CellsegError(f"{coordinates.name}: no filaments", "at least one", "trace the image first")
    plane = opened.read(slice(None), slice(None))[0]
    name = stem(image)
    if boxes:
        return _write_boxes(
            boxes_along(plane, found, settings, pad=pad, pixel_nm=opened.pixel_nm),
            out,
            name,
            micrograph=str(image),
            pixel_nm=opened.pixel_nm,
            overwrite=overwrite,
        )
    with Progress("straightening") as progress:
        strips = write_strips(
            plane,
            found.filaments,
            out,
            name,
            width_px=width_px,
            pixel_nm=opened.pixel_nm,
            overwrite=overwrite,
        )
        for number, path in enumerate(strips, start=1):
            progress.show(number, len(found.filaments), path.name)
            print(path, flush=True)
    return OK


def _write_boxes(
    cut: "Boxes", out: Path, name: str, *, micrograph: str, pixel_nm: float | None, overwrite: bool
) -> int:
    from napari_cellseg.predict.extract import write_boxes

    for path in write_boxes(cut, out, name, micrograph=micrograph, pixel_nm=pixel_nm, overwrite=overwrite):
        print(path)
    left = f"; {cut.left_out} would leave the image" if cut.left_out else ""
    print(f"{len(cut.pixels)} boxes{left}", file=sys.stderr)
    return OK
