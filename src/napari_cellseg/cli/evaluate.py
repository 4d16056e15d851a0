"""`napari-cellseg evaluate`."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

from napari_cellseg.cli.app import OK, Flag, Polarity, app
from napari_cellseg.errors import CellsegError

PIXELS = {key: key for key in ("precision", "recall", "f1", "iou")}
CLASSES = {key: key for key in ("precision", "recall", "f1")}
WHOLE = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "calibration_error": "calib. error",
}
RANKING = {"auroc": "auroc", "average_precision": "ap"}
FILAMENTS = {
    "cl_dice": "clDice",
    "centreline_precision": "line prec.",
    "centreline_recall": "line recall",
    "centreline_f1": "line f1",
    "gap_rate": "gap rate",
    "fragments_per_filament": "fragments",
}


@app.command
def evaluate(
    predicted: str,
    truth: str,
    /,
    *,
    out: Path,
    kind: Literal["pixels", "filaments", "instances", "points", "classes"] = "pixels",
    polarity: Polarity | None = None,
    classes: str = "",
    tolerance_px: float | None = None,
    tolerance_nm: float | None = None,
    pixel_nm: float | None = None,
    overwrite: Flag = False,
) -> int:
    """Score predicted labels against the truth; the table on stdout, all figures in OUT (JSON).

    Parameters
    ----------
    predicted
        A *_labels.tif, a mask or a *.ome.zarr that segment wrote, or a folder or quoted glob of
        them. Probabilities are scored where there is a *.ome.zarr. For instances: an
        *_instances.tif, or a *.ome.zarr or other image of numbers. For filaments any of these, which are
        traced, or coordinate files; for points such files. For classes: the CSV that classify wrote.
    truth
        Mask or labels of the same image, or a folder or glob; paired by stem. For filaments also
        coordinate files. For classes: the cells in folders named after their class, or a CSV with
        columns id (or path) and label.
    out
        JSON file to write.
    kind
        What is compared: pixels, filaments (which are found whole; of images the pixels and centrelines
        as well), instances (which single cells are found), points, or classes of single cells.
    polarity
        Which side of a two-valued mask is the class; default: the brighter side.
    classes
        Names of the classes, separated by commas.
    tolerance_px
        How far a filament's centreline may be off, in pixels; default: half the width. How far a
        point may be off; has to be given.
    tolerance_nm
        The same in nm.
    pixel_nm
        Pixel size in nm, instead of what the files say.
    overwrite
        Replace an existing OUT.
    """
    from napari_cellseg.images.micrographs import find_images

    if out.exists() and not overwrite:
        raise CellsegError(f"{out}: exists already", remedy="choose another --out or give --overwrite")
    if kind == "classes":
        return _evaluate_classes(Path(predicted), Path(truth), out)
    if kind == "instances":
        return _evaluate_instances(find_images(predicted), find_images(truth), out)
    if kind == "points":
        return _evaluate_points(predicted, truth, out, tolerance_px, tolerance_nm, pixel_nm)
    how: dict[str, Any] = {"polarity": polarity, "pixel_nm": pixel_nm}
    how |= {"tolerance_px": tolerance_px, "tolerance_nm": tolerance_nm}
    names = [name.strip() for name in classes.split(",") if name.strip()]
    return _evaluate_images(predicted, truth, out, kind, names, how)


def _evaluate_images(
    predicted: str,
    truth: str,
    out: Path,
    kind: Literal["pixels", "filaments"],
    names: list[str],
    how: dict[str, Any],
) -> int:
    """Score labels pixel by pixel, and whole filaments, of images or of coordinate files."""
    from napari_cellseg.images.micrographs import find_images
    from napari_cellseg.images.whole_files import write_whole
    from napari_cellseg.report.evaluate import evaluate_files
    from napari_cellseg.report.evaluate_filaments import evaluate_filaments, is_coordinates, with_pixels

    notices: tuple[str, ...] = ()
    scores: dict[str, Any] = {}
    coordinates = kind == "filaments" and (is_coordinates(predicted) or is_coordinates(truth))
    if not coordinates:
        by_pixel = evaluate_files(find_images(predicted), find_images(truth), kind=kind, names=names, **how)
        notices, scores = by_pixel.notices, by_pixel.to_json()
    if kind == "filaments":
        traced = evaluate_filaments(_files(predicted), _files(truth), **how)
        notices = tuple(dict.fromkeys(notices + traced.notices))
        scores = with_pixels(traced, scores)
    for line in notices:
        print(line, file=sys.stderr)
    write_whole(out, json.dumps(scores, indent=2) + "\n")
    if kind == "filaments":
        _print_filaments(scores["pooled"])
    if not coordinates:
        _print_scores(scores["pooled"], kind)
    return OK


def _evaluate_points(
    predicted: str,
    truth: str,
    out: Path,
    tolerance_px: float | None,
    tolerance_nm: float | None,
    pixel_nm: float | None,
) -> int:
    from napari_cellseg.formats.point_masks import POINT_FILES
    from napari_cellseg.images.micrographs import find_images
    from napari_cellseg.images.whole_files import write_whole
    from napari_cellseg.objects.settings import PointSettings
    from napari_cellseg.report.evaluate_points import evaluate_points
    from napari_cellseg.report.figures import draw_spacings

    if tolerance_px is None and (tolerance_nm is None or pixel_nm is None):
        raise CellsegError(
            "points without a tolerance", "--tolerance-px, or --tolerance-nm and --pixel-nm", "give it"
        )
    spacing_nm = PointSettings().spacing_nm
    scores = evaluate_points(
        find_images(predicted, suffixes=POINT_FILES),
        find_images(truth, suffixes=POINT_FILES),
        tolerance_px=tolerance_px or (tolerance_nm or 0) / (pixel_nm or 1),
        spacing_px=spacing_nm / (pixel_nm or 1),
    )
    write_whole(out, json.dumps(scores.to_json(), indent=2) + "\n")
    if len(scores.spacings_px) and pixel_nm:
        picture = out.with_name(f"{out.stem}_spacings.png")
        write_whole(picture, draw_spacings(scores.spacings_px * pixel_nm, spacing_nm))
        print(picture, file=sys.stderr)
    pooled = scores.pooled
    print(f"{pooled.matched} of {pooled.true} points found; {pooled.found} found in all")
    for key in ("precision", "recall", "f1"):
        print(f"{key:<16}{_figure(getattr(pooled, key)):>11}")
    return OK


def _files(named: str) -> list[Path]:
    """Return the files that a name, a folder or a glob stands for, images or coordinates."""
    from glob import glob, has_magic

    from napari_cellseg.images.micrographs import find_images
    from napari_cellseg.report.evaluate_filaments import is_coordinates

    if not is_coordinates(named):
        return find_images(named)
    return sorted(map(Path, glob(named))) if has_magic(named) else [Path(named)]


def _print_filaments(pooled: dict[str, Any]) -> None:
    print(f"{pooled['whole']} of {pooled['filaments']} filaments found whole; {pooled['traced']} traced")
    for key in ("whole_share", "fragments_per_filament", "median_error_px"):
        print(f"{key:<24}{_figure(pooled[key]):>9}")


def _evaluate_classes(predicted: Path, truth: Path, out: Path) -> int:
    from napari_cellseg.images.whole_files import write_whole
    from napari_cellseg.report.evaluate_classes import evaluate_classes

    scores = evaluate_classes(predicted, truth)
    for line in scores["notices"]:
        print(line, file=sys.stderr)
    write_whole(out, json.dumps({"kind": "classes"} | scores, indent=2) + "\n")
    _print_table(scores, CLASSES, "f1")
    for key, title in WHOLE.items():
        low, high = scores["intervals"][key]
        print(f"{title:<20}{_figure(scores[key]):>11}  {_figure(low)} to {_figure(high)}")
    labelled = scores["labelled"]
    if labelled["unclassified"]:
        print(f"{'labelled':<20}{_figure(labelled['share']):>11}  right {_figure(labelled['accuracy'])}")
    return OK


def _evaluate_instances(predicted: list[Path], truth: list[Path], out: Path) -> int:
    from napari_cellseg.images.whole_files import write_whole
    from napari_cellseg.report.evaluate_instances import evaluate_instances
    from napari_cellseg.report.metrics.instances import INSTANCE_FIGURES

    scores = evaluate_instances(predicted, truth)
    for line in scores.notices:
        print(line, file=sys.stderr)
    write_whole(out, json.dumps(scores.to_json(), indent=2) + "\n")
    pooled = scores.pooled
    print(f"{pooled['true_cells']} cells in {pooled['images']} images, {pooled['predicted_cells']} predicted")
    for key, figure in INSTANCE_FIGURES.items():
        limits = pooled["intervals"][key]
        said = "-" if limits is None else " to ".join(map(_figure, limits))
        print(f"{figure.title:<26}{_figure(pooled[key]):>8}  {said}")
    return OK


def _print_scores(pooled: dict[str, Any], kind: str) -> None:
    scored = pooled["calibration_error"] is not None
    _print_table(pooled, PIXELS | (RANKING if scored else {}), "f1")
    print(f"{'accuracy':<16}{_figure(pooled['accuracy']):>11}")
    if scored:
        print(f"{'calib. error':<16}{_figure(pooled['calibration_error']):>11}")
    if kind == "filaments":
        _print_table(pooled, FILAMENTS, "centreline_f1")


def _print_table(pooled: dict[str, Any], columns: dict[str, str], ranged: str) -> None:
    """Print a row for each class that has such figures, and the interval of one of them."""
    heads = (*columns.values(), f"95 % of {columns[ranged]}")
    print(f"{'class':<16}" + "".join(f"{head:>{_width(head)}}" for head in heads))
    for name, figures in pooled["classes"].items():
        if ranged in figures:
            limits = pooled["intervals"]["classes"][name][ranged]
            cells = [_figure(figures[key]) for key in columns]
            cells.append("-" if limits is None else " to ".join(map(_figure, limits)))
            print(
                f"{name:<16}"
                + "".join(f"{cell:>{_width(head)}}" for cell, head in zip(cells, heads, strict=True))
            )


def _width(head: str) -> int:
    return max(11, len(head) + 2, 18 if head.startswith("95 %") else 0)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
