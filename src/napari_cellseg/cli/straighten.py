"""`napari-cellseg straighten`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_cellseg.cli.app import INTERRUPTED, OK, WRONG_REQUEST, Flag, app, followed, summed_up
from napari_cellseg.images.remote import Place, placed
from napari_cellseg.settings import ExportSettings

if TYPE_CHECKING:
    from napari_cellseg.predict.straighten import Straightened

DEFAULTS = ExportSettings()


@app.command
def straighten(
    image: str,
    coordinates: str,
    /,
    *,
    out: str,
    width_px: float | None = None,
    boxes: Flag = False,
    pad: Flag = False,
    source: str = "",
    flip_source: Literal["auto", "yes", "no"] = "auto",
    pixel_nm: float | None = None,
    overwrite: Flag = False,
    scheduler: str = "",
    settings: Annotated[ExportSettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Write each filament straightened, OUT/<stem>_filament001.tif; or boxes along all with --boxes.

    Of many micrographs there is OUT/summary.csv as well, and with --boxes OUT/particles.star.

    Parameters
    ----------
    image
        The micrograph; or many: a folder or a quoted glob; s3://BUCKET/... and other object storage
        as well.
    coordinates
        Its filaments, as trace or another program wrote them. Of many micrographs a folder or quoted
        glob of such files, found by name, or one file with the filaments of all.
    out
        Folder, here or in object storage.
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
    scheduler
        Work on many micrographs at a time: local:N (processes here), tcp://HOST:PORT (a dask cluster)
        or slurm:FILE.yaml.
    """
    from napari_cellseg.formats.point_masks import POINT_FILES
    from napari_cellseg.images.micrographs import find_places
    from napari_cellseg.predict.straighten import (
        PARTICLES,
        Job,
        StraightenFile,
        pair_coordinates,
        straighten_files,
    )

    paths, files, folder = find_places([image]), find_places([coordinates], suffixes=POINT_FILES), placed(out)
    how = StraightenFile(width_px, boxes, pad, source, flip_source, pixel_nm, overwrite, settings)
    single = not scheduler and _is_one(image, paths) and _is_one(coordinates, files)
    records: Iterator[Straightened]
    if single:
        records = map(how, [Job(paths[0], files[0], folder, str(paths[0]))])
    else:
        _, lone = pair_coordinates(paths, files, source=source)
        if lone:
            shown = ", ".join(lone[:5]) + (f" and {len(lone) - 5} more" if len(lone) > 5 else "")
            print(f"no micrograph of {shown}", file=sys.stderr)
        records = straighten_files(paths, files, folder, scheduler=scheduler, how=how)

    def told(record: "Straightened") -> tuple[str, tuple[Place, ...]]:
        kind = ("box" if record.count == 1 else "boxes") if boxes else "strip" + "s" * (record.count != 1)
        return f"{record.count} {kind}", record.outputs

    counts = followed(records, len(paths), "straightening", told)
    if counts is None:
        return INTERRUPTED
    if single:
        return WRONG_REQUEST if counts["failed"] else OK
    if isinstance(folder, Path) and boxes and len(paths) > 1 and counts["done"]:
        print(folder / PARTICLES)
    return summed_up(counts, folder)


def _is_one(named: str, found: list[Place]) -> bool:
    """Tell whether a file was named outright, and not a folder or a pattern."""
    place = placed(named)
    return found == [place.expanduser() if isinstance(place, Path) else place]
