"""The page that shows what the demo did."""

from __future__ import annotations

import os
import platform
import shlex
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellseg.formats.coordinates import WRITERS
from napari_cellseg.report.demo_troponin import FILTERS, troponin_sections
from napari_cellseg.report.figures import (
    ADDED,
    MISSED,
    RIGHT,
    draw_curves,
    draw_differences,
    draw_image,
    draw_labels,
    draw_strokes,
)
from napari_cellseg.report.filament_pictures import draw_filaments
from napari_cellseg.report.page import Page, Picture, Section, Table
from napari_cellseg.report.progress import duration

if TYPE_CHECKING:
    from napari_cellseg.report.demo import DemoState

PACKAGES = ("napari-cellseg", "torch", "segmentation-models-pytorch", "dask", "zarr", "numpy")
CLASS = "filament"
COLOR = "#e69f00"
COLORS = ("#000000", "#ffffff", COLOR)


def demo_page(state: DemoState) -> Page:
    """Return the page: pictures, curves, scores, times, settings, what to do next."""
    score = state.scores["classes"][CLASS]
    seconds = sum(state.seconds.values())
    assert state.unseen is not None
    truth, count = state.unseen[1], len(state.seen)
    shape = " x ".join(str(side) for side in reversed(state.labels.shape))
    lead = (
        f"From strokes on {count} simulated micrographs of {shape} pixels a network learned to find "
        f"filaments in {duration(state.seconds['train'])}. On a micrograph it never saw it finds them "
        f"with F1 {_number(score['f1'])}."
    )
    assert state.tracing is not None
    whole, troponin = state.tracing, state.troponin
    figures = (
        (_number(score["f1"]), "F1 of filament, unseen micrograph"),
        (f"{whole.whole} of {whole.filaments}", "true filaments traced in one piece"),
        ("-" if isinstance(troponin, str) else _number(troponin.scores.f1), "F1 of troponin, within 4 nm"),
        (duration(seconds), "everything together"),
    )
    sections = (
        _result(state),
        _filaments(state),
        *troponin_sections(state.troponin, state.strip, truth, len(state.seen)),
        _learned_from(state),
        _training(state),
        _scores(state),
        _how(state),
        _next(state),
    )
    return Page("napari-cellseg demo", lead, figures, sections, _footer())


def _result(state: DemoState) -> Section:
    assert state.unseen is not None
    path, truth = state.unseen
    found = state.labels == 2
    pictures = (
        Picture(
            "Image",
            f"{path.name}: {truth.dose:.0f} electrons per square angstrom, "
            f"{truth.defocus_um:.1f} um under focus.",
            draw_image(truth.image),
        ),
        Picture("Truth", "Where the simulation put filaments.", draw_labels(truth.mask, COLORS)),
        Picture("Prediction", "What the network found.", draw_labels(state.labels, COLORS)),
        Picture(
            "Overlay",
            "Blue is right, yellow was missed, red-purple is not there.",
            draw_differences(truth.image, found, truth.mask == 2),
        ),
    )
    assert (RIGHT, MISSED, ADDED) == ("#56b4e9", "#f0e442", "#cc3370")  # named in the caption above
    return Section("A micrograph the network never saw", pictures=pictures)


def _filaments(state: DemoState) -> Section:
    """Return the section on traces: who is who, what was found whole, a straightened filament."""
    assert state.unseen is not None
    assert state.traced is not None
    assert state.tracing is not None
    (path, truth), traced, scores = state.unseen, state.traced, state.tracing
    text = [
        f"{len(traced.filaments)} filaments were traced, through the places where they cross: "
        f"{scores.whole} of {scores.filaments} true ones in one piece (at least 80 % of the length).",
        "For other programs they lie in the folder filaments: a STAR file that RELION extracts "
        f"(next: {WRITERS['relion'].next_step}), CSV and SVG, and each filament straightened.",
    ]
    pictures = [
        Picture(
            "Traces",
            f"{path.name}: each filament in a colour of its own.",
            draw_filaments(truth.image, traced.filaments),
        )
    ]
    if state.strip is not None:
        length_nm = state.strip.filament.length_px * truth.pixel_nm
        caption = f"The longest, {length_nm:.0f} nm, straightened."
        pictures.append(Picture("Straightened", caption, draw_image(state.strip.pixels)))
    return Section("Which filament is which", tuple(text), tuple(pictures))


def _learned_from(state: DemoState) -> Section:
    pictures = []
    for path, simulated in state.seen:
        strokes = state.strokes[path.stem]
        shares = [f"{100 * np.mean(strokes == label):.1f} %" for label in (2, 1)]
        caption = (
            f"{path.name}: filament on {shares[0]} of the pixels, background on {shares[1]}; "
            "the rest is ignored."
        )
        pictures.append(Picture("Strokes", caption, draw_strokes(simulated.image, strokes, COLORS)))
    text = (
        "As a person would draw them: filament in orange, background in white, most of the image left alone."
    )
    return Section("What it learned from", (text,), tuple(pictures))


def _training(state: DemoState) -> Section:
    assert state.finished is not None
    assert state.started is not None
    epochs = state.epochs
    curves = draw_curves(
        [epoch.epoch for epoch in epochs],
        {
            "training": [epoch.train_loss for epoch in epochs],
            "held out": [epoch.validation_loss for epoch in epochs],
        },
        {CLASS: [epoch.dice.get(CLASS) or 0.0 for epoch in epochs]},
    )
    caption = (
        f"Best after epoch {state.finished.best_epoch} of {len(epochs)}, Dice {state.finished.score:.3f} "
        "on strokes that were held out."
    )
    start = "started from ImageNet weights" if state.settings.training.pretrained else "started from scratch"
    text = (
        f"{state.started.parameters / 1e6:.1f} million weights on {state.started.device} "
        f"in {state.started.precision}, {start}.",
        *state.started.notices,
        *_cut_short(state),
    )
    return Section("Training", text, (Picture("Loss and score", caption, curves),))


def _cut_short(state: DemoState) -> tuple[str, ...]:
    """Return a sentence where the time limit ended the training before its last epoch."""
    assert state.finished is not None
    training = state.settings.training
    if state.finished.reason != "time":
        return ()
    return (
        f"The time limit of {training.minutes} minutes ended it after {len(state.epochs)} of "
        f"{training.epochs} epochs, so the scores are lower than they would be on a faster or idle machine.",
    )


def _scores(state: DemoState) -> Section:
    columns = ("precision", "recall", "f1", "iou")
    rows = tuple(
        (name, *(_number(figures[column]) for column in columns))
        for name, figures in state.scores["classes"].items()
    )
    text = (
        "Every pixel of the unseen micrograph counts, those on the border of a filament, on carbon "
        f"and under ice too; accuracy over all pixels is {_number(state.scores['accuracy'])}.",
        "These are simulated micrographs. Real ones are harder: read no promise for them in these numbers.",
    )
    return Section("Scores", text, tables=(Table(("class", "precision", "recall", "F1", "IoU"), rows),))


def _how(state: DemoState) -> Section:
    times = tuple((name, duration(seconds)) for name, seconds in state.seconds.items())
    preset = type(state.settings.training)()
    values: dict[str, Any] = state.settings.training.model_dump()
    changed = {name: value for name, value in values.items() if value != getattr(preset, name)}
    settings = tuple((name, str(value)) for name, value in changed.items())
    return Section(
        "Times and settings",
        ("Settings of the training that are not the defaults:",),
        tables=(Table(("setting", "value"), settings, numbers=False), Table(("part", "time"), times)),
    )


def _next(state: DemoState) -> Section:
    out = state.out
    assert state.unseen is not None
    assert state.run is not None
    path, model = state.unseen[0], state.run / "best.safetensors"
    again = out / "again"
    places = [model, path, again, out / "demo.cellseg", again / "filaments"]
    places += [out / "troponin" / FILTERS, again / "troponin"]
    quoted = [shlex.quote(str(part)) for part in places]
    return Section(
        "What to do next",
        (
            "Segment with this model from the command line, look at the result in napari, or open the "
            f"project {out / 'demo.cellseg'} in the Annotate dock, correct the prediction and train again.",
            "With images and masks of your own:",
        ),
        commands=(
            "napari-cellseg train my_model.safetensors --images 'images/*.tif' --masks 'masks/*.png'\n"
            "napari-cellseg segment my_model.safetensors 'new/*.tif' --out results",
            f"napari-cellseg segment {quoted[0]} {quoted[1]} --out {quoted[2]}\n"
            f"napari-cellseg trace {quoted[2]} --out {quoted[4]} --format csv\n"
            f"napari-cellseg points {quoted[1]} --filters {quoted[5]} --filaments {quoted[4]} "
            f"--out {quoted[6]}\n"
            f"napari-cellseg info {quoted[3]}",
        ),
    )


def _footer() -> str:
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a source tree
            continue
    system = f"{platform.system()} {platform.machine()}"
    machine = f"{system}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{datetime.now():%Y-%m-%d %H:%M}; {machine}; {', '.join(versions)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
