"""`napari-cellseg evaluate`."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

from napari_cellseg.cli.app import OK, Flag, Polarity, app
from napari_cellseg.errors import CellsegError


@app.command
def evaluate(
    predicted: str,
    truth: str,
    /,
    *,
    out: Path,
    kind: Literal["pixels"] = "pixels",
    polarity: Polarity | None = None,
    classes: str = "",
    overwrite: Flag = False,
) -> int:
    """Score predicted labels against the truth; the table on stdout, all figures in OUT (JSON).

    Parameters
    ----------
    predicted
        A *_labels.tif, a mask, or a folder or quoted glob of them.
    truth
        Mask or labels of the same image, or a folder or glob; paired by stem.
    out
        JSON file to write.
    kind
        What is compared.
    polarity
        Which side of a two-valued mask is the class; default: the brighter side.
    classes
        Names of the classes, separated by commas.
    overwrite
        Replace an existing OUT.
    """
    from napari_cellseg.images.micrographs import find_images
    from napari_cellseg.images.whole_files import write_whole
    from napari_cellseg.report.evaluate import evaluate_pixels

    if out.exists() and not overwrite:
        raise CellsegError(f"{out}: exists already", remedy="choose another --out or give --overwrite")
    names = [name.strip() for name in classes.split(",") if name.strip()]
    scores = evaluate_pixels(find_images(predicted), find_images(truth), polarity=polarity, names=names)
    for line in scores.notices:
        print(line, file=sys.stderr)
    write_whole(out, json.dumps(scores.to_json(), indent=2) + "\n")
    _print_table(scores.pooled)
    return OK


def _print_table(pooled: dict[str, Any]) -> None:
    columns = ("precision", "recall", "f1", "iou")
    print(f"{'class':<16}" + "".join(f"{column:>11}" for column in columns))
    for name, figures in pooled["classes"].items():
        print(f"{name:<16}" + "".join(f"{_figure(figures[column]):>11}" for column in columns))
    print(f"{'accuracy':<16}{_figure(pooled['accuracy']):>11}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
