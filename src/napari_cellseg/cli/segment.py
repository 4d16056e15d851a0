"""`napari-cellseg segment` and `napari-cellseg refine`."""

import sys
from glob import has_magic
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_cellseg.cli.app import INTERRUPTED, OK, SOME_FAILED, WRONG_REQUEST, Flag, Many, app, summed_up
from napari_cellseg.errors import CellsegError
from napari_cellseg.images.remote import Place, is_there, placed
from napari_cellseg.settings import InstanceSettings, SegmentSettings

DEFAULTS, CELLS = SegmentSettings(), InstanceSettings()


@app.command
def segment(
    model: str,
    images: Annotated[list[str], Parameter(negative=())],
    /,
    *,
    out: str,
    ensemble: Many = None,
    post: str = "",
    pixel_nm: float | None = None,
    resume: Flag = False,
    overwrite: Flag = False,
    scheduler: str = "",
    settings: Annotated[SegmentSettings, Parameter(name="*")] = DEFAULTS,
    cells: Annotated[InstanceSettings, Parameter(name="*", group="Single cells")] = CELLS,
) -> int:
    """Segment images: OUT/<stem>.ome.zarr, OUT/<stem>_labels.tif and OUT/summary.csv.

    A model that finds single cells (train --polarity instances) also writes OUT/<stem>_instances.tif.

    Parameters
    ----------
    model
        Model file (.safetensors).
    images
        Images: files, folders or quoted globs; s3://BUCKET/... and other object storage as well.
    out
        Folder for the results, here or in object storage.
    ensemble
        Further model files with the same classes: the mean of all counts.
    post
        Steps that clean up the labels, as in "hysteresis:low=0.3,high=0.6; remove-small:area_px=64".
    pixel_nm
        Pixel size of the images in nm, instead of what their files say.
    resume
        Go on with an interrupted call: what is finished is kept.
    overwrite
        Replace existing results.
    scheduler
        Work on many images at a time: local:N (processes here), tcp://HOST:PORT (a dask cluster) or
        slurm:FILE.yaml.
    """
    from napari_cellseg.objects.instances import CellsFound
    from napari_cellseg.predict.batch import segment_files
    from napari_cellseg.predict.chain import parse_chain
    from napari_cellseg.predict.segment_file import FileDone
    from napari_cellseg.report.progress import Progress, duration

    if resume and overwrite:
        raise CellsegError("both --resume and --overwrite", "one of them")
    paths, models, chain = _named(images), [model, *(ensemble or [])], parse_chain(post)
    counts = dict.fromkeys(("done", "skipped", "failed"), 0)
    try:
        with Progress("segmenting") as progress:
            for record in segment_files(
                paths,
                models,
                out,
                settings=settings,
                post=chain,
                cells=cells,
                pixel_nm=pixel_nm,
                resume=resume,
                overwrite=overwrite,
                scheduler=scheduler,
            ):
                if isinstance(record, CellsFound):
                    progress.show(record.done, record.total, f"{record.cells} cells")
                    continue
                if not isinstance(record, FileDone):
                    number = min(sum(counts.values()) + 1, len(paths))
                    text = f"image {number} of {len(paths)}, {duration(record.seconds_left)} left"
                    progress.show(record.done, record.total, text)
                    continue
                counts[record.status] += 1
                if record.seconds_left is not None:
                    progress.show(sum(counts.values()), len(paths), f"{duration(record.seconds_left)} left")
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
    return summed_up(counts, placed(out))


@app.command
def refine(
    results: Annotated[list[str], Parameter(negative=())],
    /,
    *,
    post: str,
    overwrite: Flag = False,
) -> int:
    """Clean up the labels of earlier results; the network is not needed again.

    Writes the labels into RESULT (labels/refined) and RESULT_labels.tif. The steps always start
    from what the network said, so they can be changed at any time.

    Parameters
    ----------
    results
        NAME.ome.zarr as segment wrote them, or folders of them.
    post
        Steps, as in "hysteresis:low=0.3,high=0.6; remove-small:area_px=64"; "" takes them back.
    overwrite
        Replace a labels TIFF that somebody changed.
    """
    from napari_cellseg.predict.batch import refine_files
    from napari_cellseg.predict.chain import parse_chain
    from napari_cellseg.report.progress import Progress

    paths, failed = _stored(results), 0
    with Progress("refining") as progress:
        for number, done in enumerate(refine_files(paths, parse_chain(post), overwrite=overwrite), start=1):
            progress.show(number, len(paths), done.path.name)
            if done.status == "failed":
                failed += 1
                progress.say(f"napari-cellseg: {done.message}")
            for output in done.outputs:
                print(output, flush=True)
    if failed == len(paths) == 1:
        return WRONG_REQUEST
    return SOME_FAILED if failed else OK


def _stored(results: list[str]) -> list[Path]:
    """Return the results that are named, and those in folders that are none."""
    paths: list[Path] = []
    for path in map(Path, results):
        inside = [] if path.name.endswith(".zarr") or not path.is_dir() else sorted(path.glob("*.ome.zarr"))
        paths += inside or [path]
    return paths


def _named(images: list[str]) -> list[Place]:
    """Return the images; of several, one that is not there fails by itself and stops no other."""
    from napari_cellseg.images.micrographs import find_places

    if len(images) == 1:
        return find_places(images)
    missing = [image for image in images if not has_magic(image) and not is_there(_expanded(image))]
    there = [image for image in images if image not in missing]
    return (find_places(there) if there else []) + [placed(image) for image in missing]


def _expanded(image: str) -> Place:
    place = placed(image)
    return place.expanduser() if isinstance(place, Path) else place
