"""`napari-cellseg trace`."""

import sys
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cellseg.cli.app import INTERRUPTED, Flag, Many, Polarity, app, followed, summed_up
from napari_cellseg.images.remote import Place, is_there, placed
from napari_cellseg.objects.settings import TraceSettings
from napari_cellseg.settings import ExportSettings

if TYPE_CHECKING:
    from napari_cellseg.predict.trace import Traced

DEFAULTS, EXPORT_DEFAULTS = TraceSettings(), ExportSettings()


@app.command
def trace(
    labels: Annotated[list[str], Parameter(negative=())],
    /,
    *,
    out: str,
    format: str,
    images: Many = None,
    polarity: Polarity | None = None,
    pixel_nm: float | None = None,
    avoid_contamination: Flag = False,
    overwrite: Flag = False,
    scheduler: str = "",
    settings: Annotated[TraceSettings, Parameter(name="*")] = DEFAULTS,
    export: Annotated[ExportSettings, Parameter(name="*")] = EXPORT_DEFAULTS,
) -> int:
    """Trace filaments through crossings and write them for another program, with OUT/summary.csv.

    Parameters
    ----------
    labels
        NAME.ome.zarr or NAME_labels.tif as segment writes them, masks, or images of probabilities:
        files, folders or quoted globs; s3://BUCKET/... and other object storage as well.
    out
        Folder for the coordinate files, here or in object storage.
    format
        What to write; see `list writers`.
    images
        The micrographs, found by name: which way rows are counted, and the list RELION imports.
    polarity
        Which side of a two-valued mask is the filament; default: the brighter side.
    pixel_nm
        Pixel size in nm, instead of what the files say.
    avoid_contamination
        Trace nothing on carbon or ice: where the model learned a class called so, or contamination,
        that class; else what is dark in the micrographs.
    overwrite
        Replace existing coordinate files.
    scheduler
        Work on many files at a time: local:N (processes here), tcp://HOST:PORT (a dask cluster) or
        slurm:FILE.yaml.
    """
    from napari_cellseg.formats.coordinates import WRITERS
    from napari_cellseg.images.micrographs import find_places
    from napari_cellseg.predict.trace import LIST, trace_files

    paths, folder = _named(labels), placed(out)
    records = trace_files(
        paths,
        out,
        format=format,
        images=find_places(images) if images else (),
        polarity=polarity,
        pixel_nm=pixel_nm,
        avoid_contamination=avoid_contamination,
        overwrite=overwrite,
        scheduler=scheduler,
        settings=settings,
        export=export,
    )

    def told(record: "Traced") -> tuple[str, list[Place | None]]:
        found = len(record.coordinates.filaments) if record.coordinates else 0
        return f"{found} filament{'s' * (found != 1)}", [record.output]

    counts = followed(records, len(paths), "tracing", told)
    if counts is None:
        return INTERRUPTED
    if isinstance(folder, Path) and (folder / LIST).exists():
        print(folder / LIST)
    code = summed_up(counts, folder)
    print(f"next: {WRITERS[format].next_step}", file=sys.stderr)
    return code


def _named(labels: list[str]) -> list[Place]:
    """Return the files; of a folder with results only those. One of several that is not there fails alone."""
    from napari_cellseg.images.micrographs import find_places

    paths: list[Place] = []
    for name in labels:
        place = placed(name)
        path = place.expanduser() if isinstance(place, Path) else place
        if len(labels) > 1 and not has_magic(name) and not is_there(path):
            paths.append(path)
            continue
        found = find_places([name])
        results = [one for one in found if one.name.endswith(".ome.zarr")]
        paths += results if results and path not in found and not has_magic(name) else found
    return list(dict.fromkeys(paths))
