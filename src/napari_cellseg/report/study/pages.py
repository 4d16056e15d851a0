"""The reports of a study: ``report.html``, ``study.json``, ``study.csv`` and ``study.md``."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.presets import PRESETS
from napari_cellseg.report.metrics import FIGURES
from napari_cellseg.report.page import Page, Picture, Section, Table, write_page
from napari_cellseg.report.progress import duration
from napari_cellseg.report.redundancy import draw_information
from napari_cellseg.report.study.layers import read_layers
from napari_cellseg.report.study.pictures import View, draw_panels, draw_ranking, draw_training
from napari_cellseg.report.study.results import StudyReport, SystemResult
from napari_cellseg.report.study.tables import (
    class_table,
    csv_text,
    image_table,
    markdown_text,
    overall_table,
    ranking_table,
)
from napari_cellseg.report.study.words import count, lead, number, verdict, warnings
from napari_cellseg.settings import TrainSettings

COLUMNS = 4
LAYERS_SAID = (
    "How many bits each convolution keeps of what the network is shown, and shares with its answer "
    "(Renyi entropy, windows of the tested images). Layers in a row with the same bits repeat each other: "
    "there the network can be thinner."
)
COLORS_SAID = "blue is right, yellow was missed, red-purple is not there"


def write_reports(report: StudyReport) -> None:
    """Write the reports into the study's folder, each whole.

    Raises
    ------
    CellsegError
        If the folder cannot be written.
    """
    report.write()
    write_whole(report.folder / "study.csv", csv_text(report))
    write_whole(report.folder / "study.md", markdown_text(report))
    write_page(report.folder / "report.html", study_page(report))


def study_page(report: StudyReport) -> Page:
    """Return the page: verdict, ranking, the same place seen by all, then each system."""
    sections = [_ranking(report)]
    if report.ranked:
        views = [(said, View(report, name)) for said, name in shown_images(report)]
        sections += [
            _side_by_side(report, views),
            _all_figures(report),
            *(_system(report, one, rank, views) for rank, one in enumerate(report.ranked, start=1)),
        ]
    sections += [_data(report), _again(report)]
    return Page(report.title, lead(report), _figures(report), tuple(sections), _footer(report))


def shown_images(report: StudyReport) -> list[tuple[str, str]]:
    """Return what is said of the tested images that are shown, and their names: hardest and easiest."""
    scores = {
        name: fmean(
            one.scores[name]["mean_f1"] or 0.0
            for system in report.ranked
            for one in system.outcomes
            if name in one.scores
        )
        for name in report.test_images
    }
    order = sorted(scores, key=lambda name: scores[name])
    if len(order) == 1:
        return [("tested image", order[0])]
    return [("hardest image", order[0]), ("easiest image", order[-1])]


def _figures(report: StudyReport) -> tuple[tuple[str, str], ...]:
    seconds = sum(
        one.training.seconds for system in report.systems for one in system.outcomes if one.training
    )
    best = report.ranked[0] if report.ranked else None
    head = ((best.name, "first of the ranking"), (_f1(best), "its mean F1")) if best else ()
    return (
        *head,
        (str(len(report.systems)), "systems"),
        (str(len(report.test_images)), "tested images"),
        (duration(seconds), "of training together"),
    )


def _ranking(report: StudyReport) -> Section:
    pictures: tuple[Picture, ...] = ()
    if report.ranked:
        caption = "In blue the first and those that cannot be told apart from it, in grey the others."
        pictures = (Picture("Mean F1", caption, draw_ranking(report)),)
    text = (*verdict(report)[1:], *warnings(report))
    return Section("Ranking", text, pictures, (ranking_table(report),), wide=True)


def _side_by_side(report: StudyReport, views: Sequence[tuple[str, View]]) -> Section:
    pictures = []
    for said, view in views:
        panels = [("image", view.image()), ("truth", view.labels(view.truth))]
        for rank, system in enumerate(report.ranked, start=1):
            panels.append((f"{rank} {system.name}", view.errors(system.name)))
        pictures.append(Picture(said.capitalize(), _where(view), draw_panels(panels, COLUMNS)))
    text = (f"Where most of what was looked for lies; {COLORS_SAID}.",)
    return Section("The same place, seen by every system", text, tuple(pictures), wide=True)


def _all_figures(report: StudyReport) -> Section:
    tables = [overall_table(report), *(class_table(report, name) for name in report.classes.names[1:])]
    text = ("All over the tested images together; intervals are in study.csv.",)
    return Section("All figures", text, tables=(*tables, image_table(report)))


def _system(
    report: StudyReport, system: SystemResult, rank: int, views: Sequence[tuple[str, View]]
) -> Section:
    panels = []
    for said, view in views:
        predicted = view.predicted(system.name)
        panels += [
            (said, view.image()),
            ("truth", view.labels(view.truth)),
            ("prediction", view.labels(predicted)),
            ("errors", view.errors(system.name)),
        ]
    shown = " and ".join(_where(view) for _, view in views)
    training = [one.training for one in system.outcomes if one.training]
    ended = ", ".join(f"epoch {one.best_epoch} of {len(one.epochs)} ({one.ended})" for one in training)
    pictures: tuple[Picture, ...] = (
        Picture("Pictures", f"{shown}; errors: {COLORS_SAID}.", draw_panels(panels, COLUMNS)),
        Picture("Training", f"Best: {ended}.", draw_training(system)),
    )
    layers = read_layers(report.folder / system.name / system.outcomes[0].trial)
    if layers:
        pictures += (Picture("What its layers keep", LAYERS_SAID, draw_information(layers)),)
    return Section(f"{rank}. {system.name}", _described(system), pictures, wide=True)


def _described(system: SystemResult) -> tuple[str, ...]:
    """Return what the preset is, and the settings that are not the defaults."""
    name, defaults = str(system.settings["preset"]), TrainSettings().model_dump(mode="json")
    said = [f"Preset {name}: {PRESETS[name].description}."] if name in PRESETS else []
    changed = [
        f"{key} = {value}"
        for key, value in system.settings.items()
        if value != defaults.get(key) and key not in ("preset", "seed")
    ]
    return (*said, f"Settings other than the defaults: {', '.join(changed) or 'none'}.")


def _data(report: StudyReport) -> Section:
    rows = []
    for sample in report.samples:
        trials = [trial for trial, names in report.tested.items() if sample.name in names]
        tested = ("yes" if len(report.tested) == 1 else ", ".join(trials)) if trials else "-"
        share = [f"{100 * pixels / sum(sample.pixels):.1f} %" for pixels in _pixels(report, sample.pixels)]
        rows.append((sample.name, tested, *share))
    head = ("image", "tested", *report.classes.targets)
    text = (
        f"{count(len(report.samples), 'image')}, {len(report.test_images)} of them tested on. No network "
        "was tested on an image it had learned from. The columns give the share of each class in the truth.",
        *report.notices,
    )
    return Section("Images", text, tables=(Table(head, tuple(rows)),))


def _pixels(report: StudyReport, pixels: tuple[int, ...]) -> list[int]:
    return [
        pixels[index] if index < len(pixels) else 0 for index in range(2, 2 + len(report.classes.targets))
    ]


def _again(report: StudyReport) -> Section:
    study, out = shlex.quote(report.study_file), shlex.quote(str(report.folder))
    meanings = tuple((figure.title, figure.description) for figure in FIGURES.values())
    commands = (
        f"napari-cellseg study --view {out}",
        f"napari-cellseg study {study} --out NEW_FOLDER",
        f"napari-cellseg segment {out}/SYSTEM/TRIAL/model.safetensors 'new/*.tif' --out results",
    )
    text = ("Look at it in napari, run it again, or use one of the networks:",)
    table = Table(("figure", "what it says"), meanings, numbers=False)
    return Section("What to do next, and what the figures mean", text, tables=(table,), commands=commands)


def _where(view: View) -> str:
    rows, cols = view.place
    size = f"{rows.stop - rows.start} x {cols.stop - cols.start} pixels"
    return f"{view.name}, {size} from row {rows.start}, column {cols.start}"


def _f1(system: SystemResult) -> str:
    return number(None if system.pooled is None else system.pooled["mean_f1"])


def _footer(report: StudyReport) -> str:
    made = report.made
    versions = ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())
    return f"{made.get('date', '')}; {made.get('machine', '')}; {versions}; {Path(report.study_file).name}"
