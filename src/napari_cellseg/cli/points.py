"""`napari-cellseg points`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_cellseg.cli.app import INTERRUPTED, OK, Flag, Many, app, followed, summed_up
from napari_cellseg.objects.settings import PointSettings

DEFAULTS = PointSettings()


@app.command
def points(
    results: Annotated[list[str], Parameter(negative=())],
    /,
    *,
    out: Path,
    format: str = "csv",
    filaments: Many = None,
    images: Many = None,
    filters: Path | None = None,
    pixel_nm: float | None = None,
    overwrite: Flag = False,
    settings: Annotated[PointSettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Find points, such as troponin, by filters or in what a model says (train --polarity points).

    Parameters
    ----------
    results
        NAME.ome.zarr as segment writes them, or images of probabilities; with --filters the
        micrographs: files, folders or quoted globs.
    out
        Folder for the coordinate files, and summary.csv.
    format
        What to write; see `list writers`.
    filaments
        Filaments of the same micrographs, as trace writes them, found by name: points are looked
        for along them.
    images
        The micrographs, found by name: which way rows are counted.
    filters
        What learn-points wrote: looks for points in the micrographs, along --filaments.
    pixel_nm
        Pixel size in nm, instead of what the files say.
    overwrite
        Replace existing coordinate files.
    """
    from napari_cellseg.formats.point_masks import POINT_FILES
    from napari_cellseg.images.micrographs import find_images
    from napari_cellseg.predict.points import point_files

    paths = [path for path in find_images(results) if not path.name.endswith("_labels.tif")]
    records = point_files(
        paths,
        out,
        format=format,
        filaments=find_images(filaments, suffixes=POINT_FILES) if filaments else (),
        images=find_images(images) if images else (),
        filters=filters,
        pixel_nm=pixel_nm,
        overwrite=overwrite,
        settings=settings,
    )
    counts = followed(
        records,
        len(paths),
        "points",
        lambda record: (f"{len(record.coordinates.points)} points", [record.output]),
    )
    if counts is None:
        return INTERRUPTED
    return summed_up(counts, out)


@app.command
def learn_points(
    filters: Path,
    /,
    *,
    images: Annotated[list[str], Parameter(consume_multiple=True, negative=())],
    points: Annotated[list[str], Parameter(consume_multiple=True, negative=())],
    filaments: Annotated[list[str], Parameter(consume_multiple=True, negative=())],
    strands: Literal[1, 2] = 2,
    pixel_nm: float | None = None,
    overwrite: Flag = False,
) -> int:
    """Learn in seconds what points on filaments look like, for points --filters.

    Parameters
    ----------
    filters
        File to write (.npz).
    images
        Micrographs: files, folders or quoted globs.
    points
        All points on their filaments, found by name: tables with X and Y, or layers saved by napari.
    filaments
        Their filaments, as trace writes them, found by name.
    strands
        Points at a site: 2 = one on either strand, opposite each other.
    pixel_nm
        Pixel size in nm, instead of what the images say.
    overwrite
        Replace an existing file.
    """
    from napari_cellseg.errors import CellsegError
    from napari_cellseg.formats.point_masks import POINT_FILES
    from napari_cellseg.images.micrographs import find_images
    from napari_cellseg.predict.points import learn_files

    if filters.exists() and not overwrite:
        raise CellsegError(f"{filters}: exists already", remedy="choose another name or give --overwrite")
    tables = [find_images(names, suffixes=POINT_FILES) for names in (points, filaments)]
    learned = learn_files(
        find_images(images), *tables, pixel_nm=pixel_nm, settings=PointSettings(strands=strands)
    )
    learned.save(filters)
    print(f"learned from {learned.sites} sites", file=sys.stderr)
    print(filters)
    return OK
