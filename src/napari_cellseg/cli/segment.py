"""`napari-cellseg segment`."""

import sys
from glob import has_magic
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_cellseg.cli.app import INTERRUPTED, OK, SOME_FAILED, WRONG_REQUEST, Flag, app
from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import SegmentSettings

DEFAULTS = SegmentSettings()


@app.command
def segment(
    model: Path,
    images: Annotated[list[str], Parameter(negative=())],
    /,
    *,
    out: Path,
    resume: Flag = False,
    overwrite: Flag = False,
    settings: Annotated[SegmentSettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Segment images: OUT/<stem>.ome.zarr, OUT/<stem>_labels.tif and OUT/summary.csv.

    Parameters
    ----------
    model
        Model file (.safetensors).
    images
        Images: files, folders or quoted globs.
    out
        Folder for the results.
    resume
        Go on with an interrupted call: what is finished is kept.
    overwrite
        Replace existing results.
    """
    from napari_cellseg.predict.batch import FileDone, segment_files
    from napari_cellseg.report.progress import Progress, duration

    if resume and overwrite:
        raise CellsegError("both --resume and --overwrite", "one of them")
    paths = _named(images)
    counts = dict.fromkeys(("done", "skipped", "failed"), 0)
    try:
        with Progress("segmenting") as progress:
            for record in segment_files(
                paths, model, out, settings=settings, resume=resume, overwrite=overwrite
            ):
                if not isinstance(record, FileDone):
                    number = min(sum(counts.values()) + 1, len(paths))
                    text = f"image {number} of {len(paths)}, {duration(record.seconds_left)} left"
                    progress.show(record.done, record.total, text)
                    continue
                counts[record.status] += 1
                if record.status == "failed":
                    progress.say(f"napari-cellseg: {record.message}")
                for output in record.outputs if record.status == "done" else ():
                    print(output, flush=True)
    except KeyboardInterrupt:
        print(
            "napari-cellseg: interrupted; finished blocks and files are kept; "
            "give the same command with --resume to go on",
            file=sys.stderr,
        )
        return INTERRUPTED
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print(f"{summary}; see {out / 'summary.csv'}", file=sys.stderr)
    if counts["failed"] == len(paths) == 1:
        return WRONG_REQUEST
    return SOME_FAILED if counts["failed"] else OK


def _named(images: list[str]) -> list[Path]:
    """Return the images; of several, one that is not there fails by itself and stops no other."""
    from napari_cellseg.images.micrographs import find_images

    if len(images) == 1:
        return find_images(images)
    missing = [image for image in images if not has_magic(image) and not Path(image).expanduser().exists()]
    there = [image for image in images if image not in missing]
    return (find_images(there) if there else []) + [Path(image) for image in missing]
