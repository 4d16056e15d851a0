"""`napari-cellseg classify`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_cellseg.cli.app import OK, SOME_FAILED, Flag, app
from napari_cellseg.errors import CellsegError
from napari_cellseg.images.remote import Place, is_there, placed
from napari_cellseg.settings import ClassifySettings

DEFAULTS = ClassifySettings()
NAMED = 20  # of the cells left out; the rest are in the table of them


@app.command
def classify(
    model: Path,
    crops: str,
    /,
    *,
    out: str,
    format: str = "",
    group: str = "",
    overwrite: Flag = False,
    scheduler: str = "",
    settings: Annotated[ClassifySettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Name single cells: OUT with columns path,id,sample,label,confidence,p_<class>...,model.

    Parameters
    ----------
    model
        Model file (.safetensors) of a classifier.
    crops
        Images of single cells: a folder or a file, s3://BUCKET/... and other object storage as well; see
        napari-cellseg list crop-readers.
    out
        CSV file to write, here or in object storage. Cells that cannot be read are named in
        OUT_left_out.csv beside it.
    format
        How the cells are stored, instead of what is found.
    group
        What names the sample: a column, or a regular expression in the file name.
    overwrite
        Replace an existing OUT.
    scheduler
        Work on many parts of the cells at a time: local:N (processes here), tcp://HOST:PORT (a dask
        cluster) or slurm:FILE.yaml.
    """
    from napari_cellseg.nets.model import load_model
    from napari_cellseg.predict.classify import TableDone, classify_to_table
    from napari_cellseg.predict.classify_elsewhere import ClassifyPart, classify_elsewhere, read_fetched
    from napari_cellseg.predict.staging import staged
    from napari_cellseg.report.progress import Progress

    where, table = placed(crops), placed(out)
    if not table.name.lower().endswith(".csv"):
        raise CellsegError(f"--out {out}", "a table to write: NAME.csv")
    if is_there(table) and not overwrite:
        raise CellsegError(f"{out}: exists already", remedy="choose another --out or give --overwrite")
    trained = load_model(model, task="classify")
    with staged() as stage:
        cells = read_fetched(where, stage, format=format, group=group, channels=trained.spec.channels)
        for notice in cells.notices:
            print(notice, file=sys.stderr)
        batches = None
        if scheduler:
            work = ClassifyPart(model.absolute(), where.absolute(), format, group, settings)
            batches = classify_elsewhere(cells, work, scheduler)
        near = stage.near(table)
        with Progress("classifying") as progress:
            for record in classify_to_table(cells, trained, near, settings=settings, batches=batches):
                if isinstance(record, TableDone):
                    done = record
                else:
                    progress.show(record.done, record.total, f"{record.done} of {record.total} cells")
        stage.send(near, table)
        beside = None
        if done.left_out_table is not None:
            beside = table.with_name(done.left_out_table.name)
            stage.send(done.left_out_table, beside)
    for name, count in done.counts.items():
        if count:
            print(f"{name:<24} {count}")
    print(out)
    return _said(done.left_out, beside)


def _said(left_out: tuple[object, ...], table: Place | None) -> int:
    """Name what was left out on stderr; return the exit code."""
    if not left_out:
        return OK
    for one in left_out[:NAMED]:
        print(f"napari-cellseg: {getattr(one, 'id', '')}: {getattr(one, 'reason', '')}", file=sys.stderr)
    print(f"napari-cellseg: {len(left_out)} cells left out; see {table}", file=sys.stderr)
    return SOME_FAILED
