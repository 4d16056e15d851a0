"""Predicted labels against truth masks: which file belongs to which, then the scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import Polarity, mask_to_labels, pair_masks, read_mask, suggest_polarity
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.predict.refine import final_labels
from napari_cellseg.predict.store import read_own
from napari_cellseg.report.metrics import image_scores, pool_scores

LABELS_ENDING = "_labels"  # as `segment` names its outputs

Kind = Literal["pixels", "filaments", "instances"]


@dataclass(frozen=True)
class Evaluation:
    """Scores of some predictions.

    Parameters
    ----------
    pooled : dict
        Scores over all images together, as `pool_scores` returns them.
    images : tuple of dict
        Those of each image, as `image_scores` returns them, without counts and with the files
        under ``"predicted"``, ``"truth"`` and, if there is one, ``"probabilities"``.
    notices : tuple of str
        What should be said, such as the polarity that was chosen.
    kind : str
        What was compared.
    """

    pooled: dict[str, Any]
    images: tuple[dict[str, Any], ...]
    notices: tuple[str, ...] = ()
    kind: Kind = "pixels"

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON types."""
        return {"kind": self.kind, "pooled": self.pooled, "images": list(self.images)}


@dataclass(frozen=True)
class Prediction:
    """What is said about an image.

    Parameters
    ----------
    labels : Path
        A labels or mask file, or an OME-Zarr result.
    result : Path, optional
        The OME-Zarr result with the probabilities.
    named : bool
        Whether the result was asked for: then its classes have the names it gives them.
    """

    labels: Path
    result: Path | None = None
    named: bool = False


@dataclass(frozen=True)
class _Pair:
    prediction: Prediction
    truth: Path
    highest: int
    shape: tuple[int, int]


def evaluate_files(
    predicted: Sequence[Path],
    truth: Sequence[Path],
    *,
    kind: Literal["pixels", "filaments"] = "pixels",
    polarity: Polarity | None = None,
    names: Sequence[str] = (),
    pixel_nm: float | None = None,
    tolerance_px: float | None = None,
    tolerance_nm: float | None = None,
) -> Evaluation:
    """Return the scores of predictions against truth masks, paired by stem.

    Parameters
    ----------
    predicted, truth : sequence of Path
        Labels as `segment` writes them (named ``..._labels``, annotation indices), OME-Zarr
        results, or masks. Labels and result of one image are one prediction.
    kind : {"pixels", "filaments"}
        Whether all classes but background are measured as thin structures too.
    polarity : str, optional
        Which side of a two-valued mask is the class; by default the brighter one.
    names : sequence of str
        Names of the classes from index 2 on; by default those that named OME-Zarr results
        give, or "class 1", "class 2", ...
    pixel_nm : float, optional
        Pixel size in nm, instead of what the files say.
    tolerance_px, tolerance_nm : float, optional
        See `image_scores`.

    Raises
    ------
    CellsegError
        If files cannot be paired, read, or differ in size.
    """
    notices: list[str] = []
    pairs = [
        _looked_at(prediction, mask, polarity, notices) for prediction, mask in _paired(predicted, truth)
    ]
    classes = _classes(pairs, names)
    with_probabilities = _has_probabilities(pairs, classes, notices)
    images = []
    for pair in pairs:
        result = pair.prediction.result if with_probabilities else None
        scores = image_scores(
            _labels(pair.prediction.labels, polarity)[0],
            _labels(pair.truth, polarity)[0],
            classes,
            probabilities=None if result is None else zarr.open_array(result / "probabilities/0", mode="r"),
            pixel_nm=pixel_nm or _pixel_nm(pair),
            tolerance_px=tolerance_px,
            tolerance_nm=tolerance_nm,
            thin=None if kind == "filaments" else (),
        )
        files = {"predicted": str(pair.prediction.labels), "truth": str(pair.truth)}
        images.append(files | ({} if result is None else {"probabilities": str(result)}) | scores)
    pooled = pool_scores(images)
    if pooled["interval"]["note"]:
        notices.append(f"95 % intervals: {pooled['interval']['note']}")
    shown = tuple({key: value for key, value in image.items() if key != "counts"} for image in images)
    return Evaluation(pooled, shown, tuple(notices), kind)


def find_predictions(paths: Sequence[Path]) -> list[Prediction]:
    """Return the predictions that files are, a ``STEM_labels`` file and its ``STEM.ome.zarr`` as one.

    The labels are those of the file, which may have been corrected; the probabilities come from
    the OME-Zarr, also where only the labels beside it are named. Next to finished results,
    files that are no labels are left out.
    """
    results = {path for path in paths if _is_result(path)}
    labels = [path for path in paths if path.stem.endswith(LABELS_ENDING)]
    predictions = []
    for path in labels:
        beside = path.with_name(f"{path.stem.removesuffix(LABELS_ENDING)}.ome.zarr")
        named = beside in results
        predictions.append(Prediction(path, beside if named or _is_result(beside) else None, named))
    taken = {prediction.result for prediction in predictions}
    predictions += [Prediction(path, path, named=True) for path in paths if path in results - taken]
    if not results:
        predictions += [Prediction(path) for path in paths if path not in labels]
    return predictions


def read_labels(path: Path, polarity: Polarity | None = None) -> tuple[NDArray[Any], str]:
    """Return the annotation indices (y, x) in a labels or mask file, and what to say about it."""
    plane = read_mask(path)
    if path.stem.endswith(LABELS_ENDING):
        return plane, ""
    if polarity is not None:
        return mask_to_labels(plane, polarity), ""
    suggestion = suggest_polarity(plane)
    if suggestion.polarity in ("labels", "instances"):
        return mask_to_labels(plane, "labels"), ""
    said = "masks: the brighter side is the class (--polarity dark for the other)"
    if suggestion.polarity == "dark":
        said = f"warning: {said}; {suggestion.reason}"
    return mask_to_labels(plane, "bright"), said


def _is_result(path: Path) -> bool:
    own = read_own(path)
    return own is not None and bool(own["complete"])


def _labels(path: Path, polarity: Polarity | None) -> tuple[NDArray[Any], str]:
    if _is_result(path):
        return np.asarray(final_labels(path)[:]), ""
    return read_labels(path, polarity)


def _paired(predicted: Sequence[Path], truth: Sequence[Path]) -> list[tuple[Prediction, Path]]:
    predictions = find_predictions(predicted)
    if len(predictions) == len(truth) == 1:
        return [(predictions[0], truth[0])]
    plain = {}
    for prediction in predictions:
        path = prediction.labels
        plain[path.with_name(path.name.replace(f"{LABELS_ENDING}.", "."))] = prediction
    return [(plain[image], mask) for image, mask in pair_masks(list(plain), list(truth))]


def _looked_at(prediction: Prediction, truth: Path, polarity: Polarity | None, notices: list[str]) -> _Pair:
    """Return a pair with what has to be known of all pairs before the first is scored."""
    found, said = _labels(prediction.labels, polarity)
    wanted, also_said = _labels(truth, polarity)
    notices += [line for line in (said, also_said) if line and line not in notices]
    if found.shape != wanted.shape:
        raise CellsegError(
            f"{prediction.labels}: {found.shape[0]} x {found.shape[1]} pixels",
            f"{wanted.shape[0]} x {wanted.shape[1]} as in {truth}",
            "give the mask of the same image",
        )
    return _Pair(prediction, truth, max(int(found.max()), int(wanted.max())), wanted.shape)


def _classes(pairs: Sequence[_Pair], names: Sequence[str]) -> Classes:
    results = [_classes_of(pair.prediction.result) for pair in pairs if pair.prediction.result]
    highest = max(pair.highest for pair in pairs)
    count = max(1, highest - 1, *(len(classes.targets) for classes in results))
    if names and len(names) < count:
        raise CellsegError(f"{count} classes in the files, {len(names)} names", "a name for each")
    named = {classes.targets for classes in results if all(pair.prediction.named for pair in pairs)}
    if not names and len(named) == 1 and count == len(min(named)):
        names = min(named)
    return Classes.of(*(names or (f"class {number}" for number in range(1, count + 1))))


def _classes_of(result: Path) -> Classes:
    own = read_own(result)
    assert own is not None
    return Classes.from_json(own["classes"])


def _has_probabilities(pairs: Sequence[_Pair], classes: Classes, notices: list[str]) -> bool:
    """Return whether there are fitting probabilities for all; says why if there are some."""
    reasons = [reason for pair in pairs if (reason := _why_not(pair, classes))]
    if reasons and any(pair.prediction.result for pair in pairs):
        notices.append(f"probabilities are not scored: {reasons[0]}")
    return not reasons


def _why_not(pair: _Pair, classes: Classes) -> str:
    result = pair.prediction.result
    if result is None:
        return f"{pair.prediction.labels.name} has none"
    shape = zarr.open_array(result / "probabilities/0", mode="r").shape
    wanted = (len(classes) - 1, *pair.shape)
    return "" if shape == wanted else f"those in {result.name} have the shape {shape}, not {wanted}"


def _pixel_nm(pair: _Pair) -> float | None:
    sizes = (read_image(path).pixel_nm for path in (pair.prediction.labels, pair.truth))
    return next((size for size in sizes if size), None)
