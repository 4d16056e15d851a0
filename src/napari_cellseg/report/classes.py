"""The report of a classifier's training: ``report.html`` and ``scores.json`` in its run folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.classifier_presets import CLASSIFIER_PRESETS
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.model import read_spec
from napari_cellseg.report.class_pictures import draw_class_curves, draw_confusion, draw_honesty
from napari_cellseg.report.metrics.classes import FIGURES, class_scores, compare_classes
from napari_cellseg.report.page import Page, Picture, Section, Table, write_page
from napari_cellseg.report.progress import duration
from napari_cellseg.settings import ClassifierSettings
from napari_cellseg.train.cell_tables import BASELINE, PREDICTIONS, Predictions, read_predictions

PAGE, SCORES = "report.html", "scores.json"
NETWORK, TREES = "network", "boosted trees"
PARTS = {"train": "learned from", "validation": "held out to choose the epoch", "test": "tested once"}
WHOLE = ("accuracy", "macro_f1", "balanced_accuracy", "calibration_error")
TITLES = {"macro_f1": "macro F1", "balanced_accuracy": "balanced accuracy", "f1": "F1"}


@dataclass(frozen=True)
class ClassReport:
    """What came of a training.

    Attributes
    ----------
    run : Path
    spec : ClassifierSpec
    epochs : tuple of dict
        The `Epoch` records.
    scored : str
        The part whose figures count: "test", or "validation" where nothing was kept for a test.
    predictions : dict of Predictions
        By system: the network, and boosted trees where they were grown.
    scores : dict
        By system and part, what `class_scores` returned.
    versus : dict or None
        Network less trees, as `compare_classes` returns it.
    """

    run: Path
    spec: ClassifierSpec
    epochs: tuple[dict[str, Any], ...]
    scored: str
    predictions: dict[str, Predictions]
    scores: dict[str, dict[str, dict[str, Any]]]
    versus: dict[str, Any] | None

    @property
    def own(self) -> dict[str, Any]:
        """The network's figures that count."""
        return self.scores[NETWORK][self.scored]


def read_class_report(run: Path) -> ClassReport:
    """Return what came of the training in a run folder.

    Raises
    ------
    CellsegError
        If it did not end, or a file is damaged.
    """
    spec = read_spec(run / "best.safetensors", task="classify")
    if not (run / PREDICTIONS).is_file():
        raise CellsegError(f"{run}: the training did not end", "a finished run", "give --resume to go on")
    predictions = {NETWORK: read_predictions(run / PREDICTIONS)}
    if (run / BASELINE).is_file():
        predictions[TREES] = read_predictions(run / BASELINE)
    scores = {
        system: {
            part: class_scores(one.truth, one.probabilities, one.classes, samples=one.samples.tolist())
            for part in PARTS
            if len(one := every.part(part))
        }
        for system, every in predictions.items()
    }
    scored = "test" if "test" in scores[NETWORK] else "validation"
    return ClassReport(run, spec, _epochs(run), scored, predictions, scores, _versus(predictions, scored))


def write_class_report(run: str | Path) -> Path:
    """Write page and scores of a finished training into its folder; return the page.

    Raises
    ------
    CellsegError
        If it did not end, or the folder cannot be written.
    """
    run = Path(run)
    report = read_class_report(run)
    values = {"scored": report.scored, "scores": report.scores, "network_less_trees": report.versus}
    write_whole(run / SCORES, json.dumps(values, indent=1) + "\n")
    write_page(run / PAGE, class_page(report))
    return run / PAGE


def class_page(report: ClassReport) -> Page:
    """Return the page: result, training, confusion, figures by class, confidence, baseline, cells."""
    own, spec = report.own, report.spec
    figures = tuple((f"{own[key]:.3f}", TITLES.get(key, key.replace("_", " "))) for key in WHOLE)
    sections = [
        _training(report),
        _confusion(report),
        _by_class(report),
        _confidence(report),
        *([_baseline(report)] if report.versus else []),
        _cells(report),
        _how(report),
    ]
    versions = spec.provenance.get("versions", {})
    footer = "; ".join(f"{name} {version}" for name, version in versions.items())
    return Page(f"Classifier of {' / '.join(spec.classes)}", lead(report), figures, tuple(sections), footer)


def lead(report: ClassReport) -> str:
    """Return the result in one or two sentences."""
    own, over = report.own, report.own["interval"]["over"]
    where = (
        f"On {own['cells']} cells that were looked at once, when all was decided"
        if report.scored == "test"
        else f"No cells were kept for a test. On {own['cells']} cells that also chose the best epoch"
    )
    return (
        f"{where}, {with_range(own, 'accuracy')} of the labels are right, with a macro F1 of "
        f"{with_range(own, 'macro_f1')} (95 % intervals over {over})."
    )


def with_range(scores: Mapping[str, Any], key: str, name: str = "") -> str:
    """Return a figure with its interval: ``0.931 (0.912 to 0.947)``.

    Examples
    --------
    >>> with_range({"accuracy": 0.9, "intervals": {"accuracy": [0.85, 0.95]}}, "accuracy")
    '0.900 (0.850 to 0.950)'
    """
    value = (scores["classes"][name] if name else scores)[key]
    if value is None:
        return "-"
    intervals = scores.get("intervals", {})
    limits = (intervals.get("classes", {}).get(name, {}) if name else intervals).get(key)
    return f"{value:.3f}" + (f" ({limits[0]:.3f} to {limits[1]:.3f})" if limits else "")


def told_apart(versus: Mapping[str, Any], first: str, second: str, cells: int) -> str:
    """Return in a sentence whether two systems differ.

    Examples
    --------
    >>> told_apart({"difference": 0.01, "interval": [-0.02, 0.04], "better": None}, "Ch4", "RGB", 200)
    'Ch4 and RGB cannot be told apart on these 200 cells: macro F1 differs by +0.010 (-0.020 to +0.040).'
    """
    limits = versus["interval"]
    reach = f" ({limits[0]:+.3f} to {limits[1]:+.3f})" if limits else ""
    said = f"macro F1 differs by {versus['difference']:+.3f}{reach}"
    if versus["better"] is None:
        return f"{first} and {second} cannot be told apart on these {cells} cells: {said}."
    better, worse = (first, second) if versus["better"] == "first" else (second, first)
    return f"{better} is better than {worse}: {said}."


def _training(report: ClassReport) -> Section:
    made = report.spec.provenance
    text = (
        f"{duration(made.get('seconds', 0))} on {made.get('device')} in {made.get('precision')}; the best of "
        f"{len(report.epochs)} epochs is {made.get('best_epoch')} ({made.get('ended')}). While learning, "
        "cells are turned and mirrored at random and the network changes, so its accuracy on what it learns "
        "from may lie below that on what was held out.",
    )
    if not report.epochs:
        return Section("Training", text)
    caption = "What the network learned from, and what was held out."
    return Section(
        "Training", text, (Picture("Loss and accuracy", caption, draw_class_curves(report.epochs)),)
    )


def _confusion(report: ClassReport) -> Section:
    pictures = tuple(
        Picture(
            part.capitalize(),
            f"{scores['cells']} cells, {PARTS[part]}: accuracy {scores['accuracy']:.3f}.",
            draw_confusion(scores["confusion"], report.spec.classes),
        )
        for part, scores in report.scores[NETWORK].items()
    )
    return Section("What is taken for what", ("Counts, and shares of each true class.",), pictures)


def _by_class(report: ClassReport) -> Section:
    own, tables = report.own, []
    cells = np.sum(own["confusion"], axis=1)
    keys = ("precision", "recall", "f1")
    rows = tuple(
        (name, str(cells[index]), *(with_range(own, key, name) for key in keys))
        for index, name in enumerate(report.spec.classes)
    )
    tables.append(Table(("class", "cells", *(TITLES.get(key, key) for key in keys)), rows))
    every = tuple(
        (part, str(scores["cells"]), *(with_range(scores, key) for key in WHOLE))
        for part, scores in report.scores[NETWORK].items()
    )
    head = ("part", "cells", *(TITLES.get(key, key.replace("_", " ")) for key in WHOLE))
    tables.append(Table(head, every))
    text = (f"On the {report.scored} part, with 95 % intervals over {own['interval']['over']}.",)
    return Section("Figures", text, tables=tuple(tables))


def _confidence(report: ClassReport) -> Section:
    spec = report.spec
    curves = {system: parts[report.scored]["reliability"] for system, parts in report.scores.items()}
    coverages = {system: parts[report.scored]["coverage"] for system, parts in report.scores.items()}
    part = spec.provenance.get("cells", {}).get("calibration", 0)
    said = (
        f"Confidences are calibrated on {part} cells of their own (temperature {spec.temperature:.2f})."
        if part
        else "Confidences are as the network gives them: no cells were kept to calibrate on."
    )
    picture = Picture(
        "Calibration and coverage",
        "Left, on the dotted line a confidence of 0.8 is right in 8 of 10 cells. Right, what is gained when "
        "doubtful cells stay without label.",
        draw_honesty(curves, coverages),
    )
    limits = [f"{name} {limit:.2f}" for name, limit in zip(spec.classes, spec.limits, strict=True) if limit]
    listed = (f"Below these confidences a cell is unclassified: {', '.join(limits)}.",) if limits else ()
    return Section("Confidence", (said, *listed), (picture,), wide=True)


def _baseline(report: ClassReport) -> Section:
    assert report.versus is not None
    rows = tuple(
        (system, *(with_range(parts[report.scored], key) for key in WHOLE))
        for system, parts in report.scores.items()
    )
    head = ("system", *(TITLES.get(key, key.replace("_", " ")) for key in WHOLE))
    text = (
        "Boosted trees on measured features (shape, intensities, texture) learned from the same cells.",
        told_apart(report.versus, "The network", "the trees", report.own["cells"]),
    )
    return Section("The network beside measured features", text, tables=(Table(head, rows),))


def _cells(report: ClassReport) -> Section:
    every = report.predictions[NETWORK]
    parts = [part for part in ("train", "validation", "calibration", "test") if (every.parts == part).any()]
    rows = tuple(
        (name, *(str(int(((every.parts == part) & (every.truth == index)).sum())) for part in parts))
        for index, name in enumerate(every.classes)
    )
    samples = len({name for name in every.samples.tolist() if name})
    text = (
        f"{len(every)} labelled cells" + (f" of {samples} samples." if samples else "."),
        *report.spec.provenance.get("notices", ()),
    )
    return Section("Cells", text, tables=(Table(("class", *parts), rows),))


def _how(report: ClassReport) -> Section:
    settings = report.spec.provenance.get("settings", {})
    defaults = ClassifierSettings().model_dump(mode="json")
    name = settings.get("preset", "")
    changed = [
        f"{key} = {value}"
        for key, value in settings.items()
        if value != defaults.get(key) and key not in ("preset", "seed")
    ]
    said = [f"Preset {name}: {CLASSIFIER_PRESETS[name].description}."] if name in CLASSIFIER_PRESETS else []
    text = (*said, f"Settings other than the defaults: {', '.join(changed) or 'none'}.")
    meanings = Table(("figure", "what it says"), tuple(FIGURES.items()), numbers=False)
    commands = (f"napari-cellseg classify {report.run / 'best.safetensors'} CELLS --out table.csv",)
    return Section("How it was made, and what the figures mean", text, tables=(meanings,), commands=commands)


def _versus(predictions: Mapping[str, Predictions], scored: str) -> dict[str, Any] | None:
    if TREES not in predictions:
        return None
    one, two = predictions[NETWORK].part(scored), predictions[TREES].part(scored)
    return compare_classes(one.truth, one.probabilities, two.probabilities, samples=one.samples.tolist())


def _epochs(run: Path) -> tuple[dict[str, Any], ...]:
    """Return the epochs of a run; of one that was done again after an interruption the last counts."""
    found: dict[int, dict[str, Any]] = {}
    for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # cut off when the process was killed
            continue
        if record.get("event") == "epoch":
            found[record["epoch"]] = record
    return tuple(found[number] for number in sorted(found))
