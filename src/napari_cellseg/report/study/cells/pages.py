"""The reports of a study of cells: ``report.html``, ``study.json``, ``study.csv`` and ``study.md``."""

import csv
import io
import shlex
from statistics import fmean

from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.classifier_presets import CLASSIFIER_PRESETS
from napari_cellseg.report.class_pictures import draw_class_curves, draw_confusion, draw_honesty
from napari_cellseg.report.classes import TITLES, WHOLE, with_range
from napari_cellseg.report.metrics.classes import FIGURES
from napari_cellseg.report.page import Page, Picture, Section, Table, write_page
from napari_cellseg.report.progress import duration
from napari_cellseg.report.study.cells.results import RANKED_BY, CellReport, CellResult
from napari_cellseg.report.study.pictures import Ranked, draw_ranked
from napari_cellseg.report.study.tables import markdown
from napari_cellseg.settings import ClassifierSettings

HEAD = tuple(TITLES.get(key, key.replace("_", " ")) for key in WHOLE)


def write_cell_reports(report: CellReport) -> None:
    """Write the reports into the study's folder, each whole.

    Raises
    ------
    CellsegError
        If the folder cannot be written.
    """
    report.write()
    write_whole(report.folder / "study.csv", csv_text(report))
    tables = [ranking_table(report), *([class_table(report)] if report.ranked else [])]
    parts = [f"# {report.title}", *report.verdict(), *report.notices, *map(markdown, tables)]
    write_whole(report.folder / "study.md", "\n\n".join(parts) + "\n")
    write_page(report.folder / "report.html", cell_study_page(report))


def cell_study_page(report: CellReport) -> Page:
    """Return the page: verdict, ranking, channels, figures by class, then each system."""
    sections = [_ranking(report)]
    channels = report.about_channels()
    if channels:
        text = "Each set of channels beside the one that follows it in the ranking, system by system."
        sections.append(Section("Channels alone and together", (text, *channels)))
    if report.ranked:
        sections.append(Section("F1 of each class", tables=(class_table(report),)))
        sections += [_system(one, rank, report) for rank, one in enumerate(report.ranked, start=1)]
    sections += [_cells(report), _again(report)]
    best = report.ranked[0] if report.ranked else None
    figures = [(best.name, "first of the ranking")] if best else []
    if best and best.scores:
        figures.append((f"{best.scores[RANKED_BY]:.3f}", "its macro F1"))
    seconds = sum(training.seconds for one in report.systems for training in one.trainings)
    figures += [
        (str(len(report.systems)), "systems"),
        (str(report.tested), "tested cells"),
        (duration(seconds), "of training together"),
    ]
    made = report.made
    versions = ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())
    footer = f"{made.get('date', '')}; {made.get('machine', '')}; {versions}"
    return Page(report.title, " ".join(report.verdict()[:2]), tuple(figures), tuple(sections), footer)


def ranking_table(report: CellReport) -> Table:
    """Return the systems by rank, those without one last."""
    ranks = {one.name: rank for rank, one in enumerate(report.ranked, start=1)}
    rows = []
    for one in report.systems:
        scores = one.scores
        figures = (
            ("failed", *("-" for _ in WHOLE[1:]))
            if scores is None
            else (
                with_range(scores, RANKED_BY),
                *(f"{scores[key]:.3f}" for key in WHOLE if key != RANKED_BY),
            )
        )
        alike = ", ".join(str(ranks[name]) for name in report.alike(one)) or "-"
        weights = f"{one.trainings[0].parameters / 1e6:.1f} M" if one.trainings else "-"
        time = duration(fmean(training.seconds for training in one.trainings)) if one.trainings else "-"
        rows.append((str(ranks.get(one.name, "-")), one.name, *figures, weights, time, alike))
    others = (TITLES.get(key, key.replace("_", " ")) for key in WHOLE if key != RANKED_BY)
    head = (
        "",
        "system",
        "macro F1 (95 % interval)",
        *others,
        "weights",
        "to train",
        "cannot be told apart from",
    )
    return Table(head, tuple(rows), numbers=False)


def class_table(report: CellReport) -> Table:
    """Return the F1 of each class with its interval, a line a system."""
    rows = tuple(
        (one.name, *(with_range(one.scores, "f1", name) for name in report.classes))
        for one in report.ranked
        if one.scores is not None
    )
    return Table(("system", *report.classes), rows)


def csv_text(report: CellReport) -> str:
    """Return ``study.csv``: a line for each system by rank, every figure with its interval."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = [*WHOLE, *(f"{name}_{key}" for name in report.classes for key in ("precision", "recall", "f1"))]
    ranged = [column for key in keys for column in (key, f"{key}_low", f"{key}_high")]
    writer.writerow(("rank", "system", "channels", *ranged, "parameters", "train_seconds", "message"))
    for rank, one in enumerate(report.systems, start=1):
        cells: list[object] = [rank if one.scores else "", one.name, one.channels]
        for name, key in [("", key) for key in WHOLE] + [
            (name, key) for name in report.classes for key in ("precision", "recall", "f1")
        ]:
            cells += _ranged(one, key, name)
        seconds = fmean(training.seconds for training in one.trainings) if one.trainings else ""
        parameters = one.trainings[0].parameters if one.trainings else ""
        writer.writerow((*cells, parameters, seconds, "; ".join(one.failures)))
    return text.getvalue()


def _ranged(one: CellResult, key: str, name: str) -> list[object]:
    if one.scores is None:
        return ["", "", ""]
    values, limits = one.scores, one.scores["intervals"]
    if name:
        values, limits = values["classes"][name], limits["classes"][name]
    value, interval = values[key], limits.get(key) or ("", "")
    return ["" if value is None else value, *interval]


def _ranking(report: CellReport) -> Section:
    pictures: tuple[Picture, ...] = ()
    if report.ranked:
        strong = {report.ranked[0].name, *report.alike(report.ranked[0])}
        rows = [
            Ranked(one.name, one.scores[RANKED_BY], one.scores["intervals"][RANKED_BY], one.name in strong)
            for one in report.ranked
            if one.scores is not None
        ]
        caption = "In blue the first and those that cannot be told apart from it, in grey the others."
        drawn = draw_ranked(rows, "macro F1 on the tested cells (line: 95 % interval)")
        pictures = (Picture("Macro F1", caption, drawn),)
    failed = tuple(f"{one.name} got no rank. {one.failures[0]}." for one in report.systems if one.failures)
    return Section("Ranking", (*report.cautions(), *failed), pictures, (ranking_table(report),), wide=True)


def _system(one: CellResult, rank: int, report: CellReport) -> Section:
    assert one.scores is not None
    pictures = [
        Picture(
            "What is taken for what", "Tested cells.", draw_confusion(one.scores["confusion"], report.classes)
        ),
        Picture(
            "Calibration and coverage",
            f"Calibration error {with_range(one.scores, 'calibration_error')}.",
            draw_honesty({one.name: one.scores["reliability"]}, {one.name: one.scores["coverage"]}),
        ),
    ]
    if one.trainings:
        ended = ", ".join(f"epoch {t.best_epoch} of {len(t.epochs)} ({t.ended})" for t in one.trainings)
        curves = draw_class_curves(one.trainings[0].epochs)
        pictures.append(Picture("Training", f"Best: {ended}. Drawn is the first.", curves))
    text = _described(one)
    return Section(f"{rank}. {one.name}", text, tuple(pictures))


def _described(one: CellResult) -> tuple[str, ...]:
    if not one.settings:
        return ("Boosted trees on measured features: shape, intensities, texture.",)
    name, defaults = str(one.settings["preset"]), ClassifierSettings().model_dump(mode="json")
    changed = [
        f"{key} = {value}"
        for key, value in one.settings.items()
        if value != defaults.get(key) and key not in ("preset", "seed")
    ]
    return (
        f"Preset {name}: {CLASSIFIER_PRESETS[name].description}.",
        f"Settings other than the defaults: {', '.join(changed) or 'none'}.",
    )


def _cells(report: CellReport) -> Section:
    rows = tuple((name, str(count)) for name, count in report.cells.items())
    text = (
        f"{sum(report.cells.values())} labelled cells, {report.tested} of them tested on; no system was "
        "tested on a cell it had learned from, nor on one with the same pixels.",
        *report.notices,
    )
    return Section("Cells", text, tables=(Table(("class", "cells"), rows),))


def _again(report: CellReport) -> Section:
    study, out = shlex.quote(report.study_file), shlex.quote(str(report.folder))
    meanings = Table(("figure", "what it says"), tuple(FIGURES.items()), numbers=False)
    commands = (
        f"napari-cellseg study {study} --out NEW_FOLDER",
        f"napari-cellseg classify {out}/SYSTEM/TRIAL/run/best.safetensors CELLS --out table.csv",
    )
    text = ("Each training has a page of its own: SYSTEM/TRIAL/run/report.html.",)
    return Section("What to do next, and what the figures mean", text, tables=(meanings,), commands=commands)
