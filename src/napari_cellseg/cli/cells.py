"""`napari-cellseg measure` and `napari-cellseg write-classes`: tables of single cells."""

import sys
from pathlib import Path

from napari_cellseg.cli.app import OK, SOME_FAILED, Flag, Many, app
from napari_cellseg.errors import CellsegError


@app.command
def measure(
    crops: Path,
    /,
    *,
    out: Path,
    pixel_nm: float | None = None,
    source: str = "",
    group: str = "",
    overwrite: Flag = False,
) -> int:
    """Measure single cells: OUT with id,path,sample,label and a column for each figure.

    Parameters
    ----------
    crops
        Images of single cells: a folder or a file; see `list crop-readers`.
    out
        CSV file to write.
    pixel_nm
        Pixel size in nm; with it lengths are in micrometres.
    source
        How the cells are stored, instead of what is found.
    group
        What names the sample: a column, or a regular expression in the file name.
    overwrite
        Replace an existing OUT.
    """
    import numpy as np

    from napari_cellseg.formats.class_table import free, write_measurements
    from napari_cellseg.images.crops import Measurements, measure_each, measured_names, read_crops
    from napari_cellseg.report.progress import Progress

    if pixel_nm is not None and not pixel_nm > 0:
        raise CellsegError(f"--pixel-nm {pixel_nm}", "more than 0")
    free(out, overwrite)
    cells = read_crops(crops, format=source or None, group=group)
    rows = []
    with Progress("measuring") as progress:
        for done, row in enumerate(measure_each(cells), start=1):
            rows.append(row)
            progress.show(done, len(cells), f"{done} of {len(cells)} cells")
    measured = Measurements(measured_names(cells.channels), np.stack(rows))
    write_measurements(out, cells, measured, pixel_nm=pixel_nm, overwrite=overwrite)
    print(out)
    bad = np.isnan(measured.values).all(axis=1)
    for identity in cells.ids[bad].tolist():
        print(f"napari-cellseg: {identity}: cannot be read", file=sys.stderr)
    return SOME_FAILED if bad.any() or cells.left_out else OK


@app.command
def write_classes(
    table: Path,
    crops: Path,
    /,
    *,
    format: str,
    out: Path,
    source: str = "",
    group: str = "",
    channels: Many = None,
) -> int:
    """Write classified cells for another program, from the table of `classify`.

    Parameters
    ----------
    table
        What `classify` wrote; labels may have been changed since.
    crops
        The same cells; those that are not in the table are left out.
    format
        What to write; see `list class-writers`.
    out
        File or folder to write.
    source
        How the cells are stored, instead of what is found.
    group
        What names the sample: a column, or a regular expression in the file name.
    channels
        Channels to read, where cells lack one that the model does not need.
    """
    from napari_cellseg.formats.class_kinds import CLASS_WRITERS
    from napari_cellseg.formats.class_table import read_class_table
    from napari_cellseg.images.crops import read_crops

    if format not in CLASS_WRITERS:
        raise CellsegError(f"--format {format}", " or ".join(CLASS_WRITERS))
    writer = CLASS_WRITERS[format]
    if writer.suffix and out.suffix.lower() != writer.suffix:
        raise CellsegError(f"--out {out}", f"a file to write: NAME{writer.suffix}")
    said = read_class_table(table)
    cells = read_crops(crops, format=source or None, group=group, channels=channels or ())
    places = {identity: index for index, identity in enumerate(cells.ids.tolist())}
    missing = [identity for identity in said.ids.tolist() if identity not in places]
    if missing:
        found = f"{table}: {len(missing):,} cells that are not in {crops}, such as {missing[0]!r}"
        raise CellsegError(found, "the cells that were classified", "give the folder that classify was given")
    left_out = writer.write(out, said, cells.take([places[identity] for identity in said.ids.tolist()]))
    for one in left_out:
        print(f"napari-cellseg: {one.id}: {one.reason}", file=sys.stderr)
    print(out)
    return SOME_FAILED if left_out else OK
