"""`napari-cellseg points`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_cellseg.cli.app import INTERRUPTED, OK, SOME_FAILED, WRONG_REQUEST, Flag, Many, app
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
    pixel_nm: float | None = None,
    overwrite: Flag = False,
    settings: Annotated[PointSettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Find points, such as troponin, in what a model says that was trained with --polarity points.

    Parameters
    ----------
    results
        NAME.ome.zarr as segment writes them, or images of probabilities: files, folders or quoted
        globs.
    out
        Folder for the coordinate files, and summary.csv.
    format
        What to write; see `list writers`.
    filaments
        Filaments of the same micrographs, as trace writes them, found by name: points are looked
        for along them.
    images
        The micrographs, found by name: which way rows are counted.
    pixel_nm
        Pixel size in nm, instead of what the files say.
    overwrite
        Replace existing coordinate files.
    """
    from napari_cellseg.formats.point_masks import POINT_FILES
    from napari_cellseg.images.micrographs import find_images
    from napari_cellseg.predict.points import point_files
    from napari_cellseg.report.progress import Progress

    paths = [path for path in find_images(results) if not path.name.endswith("_labels.tif")]
    counts = dict.fromkeys(("done", "failed"), 0)
    try:
        with Progress("points") as progress:
            for record in point_files(
                paths,
                out,
                format=format,
                filaments=find_images(filaments, suffixes=POINT_FILES) if filaments else (),
                images=find_images(images) if images else (),
                pixel_nm=pixel_nm,
                overwrite=overwrite,
                settings=settings,
            ):
                counts[record.status] += 1
                progress.show(sum(counts.values()), len(paths), record.path.name)
                if record.status == "failed":
                    progress.say(f"napari-cellseg: {record.message}")
                    continue
                said = f"; {record.message}" if record.message else ""
                progress.say(f"{record.path.name}: {len(record.coordinates.points)} points{said}")
                print(record.output, flush=True)
    except KeyboardInterrupt:
        print("napari-cellseg: interrupted; finished files are kept", file=sys.stderr)
        return INTERRUPTED
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print(f"{summary}; see {out / 'summary.csv'}", file=sys.stderr)
    if counts["failed"] == len(paths) == 1:
        return WRONG_REQUEST
    return SOME_FAILED if counts["failed"] else OK
