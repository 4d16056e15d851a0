"""Found filaments against true ones: whole ones, fragments, how far they are off.

Either side may be coordinate files, or images: labels, masks and results are traced, and of an image of
numbers each object is a filament.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import READERS, format_of, micrograph_stem, read_coordinates
from napari_cellseg.formats.masks import Polarity, pair_masks, read_mask, suggest_polarity
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.micrographs import read_image, stem
from napari_cellseg.objects.filaments import trace
from napari_cellseg.predict.instance_filaments import trace_instances
from napari_cellseg.predict.refine import final_labels
from napari_cellseg.predict.store import read_own
from napari_cellseg.predict.trace import LABELS_ENDING, find_filaments
from napari_cellseg.report.evaluate import find_predictions
from napari_cellseg.report.evaluate_instances import ENDING as INSTANCES_ENDING
from napari_cellseg.report.metrics.filaments import FilamentScores, filament_scores


@dataclass(frozen=True)
class FilamentEvaluation:
    """Scores of traced filaments.

    Attributes
    ----------
    pooled : dict
        Figures over all micrographs.
    images : tuple of dict
        Those of each, with the files.
    tolerance_px : float
    notices : tuple of str
        What should be said, such as which side of a mask was taken for filaments.
    """

    pooled: dict[str, Any]
    images: tuple[dict[str, Any], ...]
    tolerance_px: float
    notices: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON types."""
        return {
            "kind": "filaments",
            "tolerance_px": self.tolerance_px,
            "pooled": self.pooled,
            "images": list(self.images),
        }


def is_coordinates(path: str | Path) -> bool:
    """Return whether a file is named like one of coordinates.

    Examples
    --------
    >>> is_coordinates("m1_autopick.star"), is_coordinates("m1_labels.tif")
    (True, False)
    """
    return str(path).lower().endswith(tuple(end for reader in READERS.values() for end in reader.suffixes))


def evaluate_filaments(
    predicted: Sequence[Path],
    truth: Sequence[Path],
    *,
    polarity: Polarity | None = None,
    pixel_nm: float | None = None,
    tolerance_px: float | None = None,
    tolerance_nm: float | None = None,
) -> FilamentEvaluation:
    """Return how well filaments were found, file by file and over all.

    Parameters
    ----------
    predicted, truth : sequence of Path
        Coordinate files, labels, masks, results or images of numbers in the same frame, paired by the
        micrograph they are named after; one of each is a pair.
    polarity : str, optional
        Which side of a two-valued mask is the filament; by default the brighter one.
    pixel_nm : float, optional
        Pixel size in nm, instead of what the files say.
    tolerance_px, tolerance_nm : float, optional
        How far a path may lie from the true one; by default half the width of the true filaments,
        or of the found ones where those have none.

    Raises
    ------
    CellsegError
        If files cannot be paired or read, or nothing says how wide filaments are.
    """
    pairs = _paired(_sources(predicted), _sources(truth))
    read = [_read_pair(*pair, polarity, pixel_nm) for pair in pairs]
    if tolerance_px is None and tolerance_nm is not None:
        tolerance_px = tolerance_nm / (pixel_nm or _pixel_nm(read))
    if tolerance_px is None:
        tolerance_px = _half_width([true for _, true in read]) or _half_width([found for found, _ in read])
    if tolerance_px is None:
        raise CellsegError("filaments without a width", "a tolerance", "give it with --tolerance-px")
    scores = [
        filament_scores(found.filaments, true.filaments, tolerance_px=tolerance_px) for found, true in read
    ]
    images = [
        {"predicted": str(one), "truth": str(other)} | _figures([score])
        for (one, other), score in zip(pairs, scores, strict=True)
    ]
    said = (line for found, true in read for line in (*found.notices, *true.notices))
    return FilamentEvaluation(_figures(scores), tuple(images), tolerance_px, tuple(dict.fromkeys(said)))


def with_pixels(traced: FilamentEvaluation, by_pixel: dict[str, Any]) -> dict[str, Any]:
    """Return the scores as JSON types, with those of the same images' pixels where there are any.

    Parameters
    ----------
    traced : FilamentEvaluation
    by_pixel : dict
        As `Evaluation.to_json` returns it, or empty.
    """
    scores = traced.to_json()
    if not by_pixel:
        return scores
    of = {image["truth"]: image for image in scores["images"]}
    images = [of[image["truth"]] | image for image in by_pixel["images"]]
    return by_pixel | scores | {"pooled": by_pixel["pooled"] | scores["pooled"], "images": images}


def read_filaments(
    path: Path, *, polarity: Polarity | None = None, frame: Coordinates | None = None
) -> Coordinates:
    """Return the filaments of a file of coordinates, or those traced in an image of them.

    Parameters
    ----------
    path : Path
        Each object of an image of numbers is a filament; else the class of index 2 is traced.
    polarity : str, optional
        Which side of a two-valued mask is the filament; by default the brighter one.
    frame : Coordinates, optional
        What gives the size and pixel size that coordinates are for; their rows are taken as they
        stand in the file.

    Raises
    ------
    CellsegError
        If the file cannot be read.
    """
    if is_coordinates(path):
        facts: dict[str, Any] = {}
        if frame is not None:
            facts = {"shape": frame.shape, "pixel_nm": frame.pixel_nm}
        found = read_coordinates(path, flip_y="no", **facts)
        if frame is None or not READERS[format_of(path)].flips:
            return found
        notice = f"{path.name}: rows are taken to be counted from the top, as in an MRC"
        return replace(found, notices=(*found.notices, notice))
    said: tuple[str, ...] = ()
    numbers = _numbers(path)
    if numbers is not None:
        filaments, plane = trace_instances(numbers), numbers
        pixel_nm = read_image(path).pixel_nm
    else:
        traced = find_filaments(path, polarity=polarity)
        plane, pixel_nm = traced.plane, traced.pixel_nm
        filaments = trace(plane, pixel_nm=pixel_nm)
        said = (f"filaments were traced in {path.name}", *filter(None, [traced.notice]))
    return Coordinates(
        tuple(filaments), pixel_nm=pixel_nm, shape=(plane.shape[0], plane.shape[1]), notices=said
    )


def _numbers(path: Path) -> Any:
    """Return the plane of an image of numbers, None if it is no such image."""
    if read_own(path) is not None or stem(path).endswith(LABELS_ENDING):
        return None
    plane = read_mask(path)
    if not np.issubdtype(plane.dtype, np.integer):
        return None
    named = stem(path).endswith(INSTANCES_ENDING)
    return plane if named or suggest_polarity(plane).polarity == "instances" else None


def _read_pair(
    predicted: Path, truth: Path, polarity: Polarity | None, pixel_nm: float | None
) -> tuple[Coordinates, Coordinates]:
    """Return the filaments of both files, in pixels of the image where one is an image."""
    read: dict[Path, Coordinates] = {}
    for path in (predicted, truth):
        if not is_coordinates(path):
            found = read_filaments(path, polarity=polarity)
            read[path] = replace(found, pixel_nm=pixel_nm or found.pixel_nm)
    frame = next(iter(read.values()), None)
    found, true = (
        read[path] if path in read else read_filaments(path, frame=frame) for path in (predicted, truth)
    )
    if len(read) == 2 and found.shape != true.shape:
        raise CellsegError(
            f"{predicted}: {found.shape}", f"{true.shape} as in {truth}", "give the mask of the same image"
        )
    return found, true


def _pixel_nm(read: Sequence[tuple[Coordinates, Coordinates]]) -> float:
    known = next((one.pixel_nm for pair in read for one in pair if one.pixel_nm), None)
    if known is None:
        raise CellsegError("a tolerance in nm, and no pixel size", "one of them", "give --pixel-nm")
    return known


def _sources(paths: Sequence[Path]) -> list[Path]:
    """Return one file for each image: of labels and their result that which tracing would take."""
    done = [path for path in paths if is_coordinates(path) or stem(path).endswith(INSTANCES_ENDING)]
    taken = {_named(path) for path in done}
    chosen = []
    for prediction in find_predictions([path for path in paths if _named(path) not in taken]):
        result = prediction.result if prediction.named else None
        labels = prediction.labels
        if result is not None and result != labels:
            # labels that somebody corrected are what counts
            same = np.array_equal(read_mask(labels), np.asarray(final_labels(result)[:]))
            labels = result if same else labels
        chosen.append(labels)
    return done + chosen


def _paired(predicted: Sequence[Path], truth: Sequence[Path]) -> list[tuple[Path, Path]]:
    if len(predicted) == len(truth) == 1:
        return [(predicted[0], truth[0])]
    found, wanted = ({_named(path): path for path in paths} for paths in (predicted, truth))
    if len(found) < len(predicted) or len(wanted) < len(truth):
        raise CellsegError(
            "several files of one micrograph", "one predicted and one true file for each", "leave some out"
        )
    if any(not is_coordinates(path) for path in truth):
        names = pair_masks([Path(name) for name in found], [Path(name) for name in wanted])
        return [(found[str(one)], wanted[str(other)]) for one, other in names]
    missing = [path.name for name, path in found.items() if name not in wanted]
    if missing:
        raise CellsegError(f"no truth for {', '.join(missing)}", "files named after the same micrographs")
    return [(path, wanted[name]) for name, path in found.items()]


def _named(path: Path) -> str:
    if is_coordinates(path):
        return micrograph_stem(path)
    return stem(path).removesuffix(LABELS_ENDING).removesuffix(INSTANCES_ENDING)


def _half_width(many: Sequence[Coordinates]) -> float | None:
    widths = [one.width_px for coordinates in many for one in coordinates.filaments if one.width_px]
    return float(np.median(widths)) / 2 if widths else None


def _figures(scores: Sequence[FilamentScores]) -> dict[str, Any]:
    filaments, whole = sum(s.filaments for s in scores), sum(s.whole for s in scores)
    seen, pieces = sum(s.seen for s in scores), sum(s.pieces for s in scores)
    errors = np.concatenate([np.empty(0), *(s.error_px for s in scores)])
    return {
        "filaments": filaments,
        "traced": sum(s.traced for s in scores),
        "whole": whole,
        "whole_share": whole / filaments if filaments else None,
        "fragments_per_filament": pieces / seen if seen else None,
        "spurious": sum(s.spurious for s in scores),
        "median_error_px": float(np.median(errors)) if len(errors) else None,
    }
