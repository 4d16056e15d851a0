"""The figures of a study in rows: for the page, ``study.csv`` and ``study.md``."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from napari_cellseg.report.metrics import FIGURES
from napari_cellseg.report.page import Table
from napari_cellseg.report.progress import duration
from napari_cellseg.report.study.results import StudyReport, SystemResult
from napari_cellseg.report.study.words import alike, number, verdict, warnings, with_interval

RANKING = (
    "",
    "system",
    "mean F1 (95 % interval)",
    "accuracy",
    "weights",
    "to train",
    "in memory",
    "to run on an image",
    "in memory",
    "cannot be told apart from",
)


def ranking_table(report: StudyReport) -> Table:
    """Return the systems by rank, those without one last."""
    rows = []
    ranks = {one.name: str(rank) for rank, one in enumerate(report.ranked, start=1)}
    for system in report.systems:
        pooled = system.pooled
        rows.append(
            (
                ranks.get(system.name, "-"),
                system.name,
                "failed" if pooled is None else with_interval(system),
                "-" if pooled is None else number(pooled["accuracy"]),
                "-" if system.parameters is None else f"{system.parameters / 1e6:.1f} M",
                _seconds(system.train_seconds),
                _memory(system.train_peak_mb)
                + ("" if system.device_peak_mb is None else f" + {_memory(system.device_peak_mb)} GPU"),
                _seconds(system.segment_seconds),
                _memory(system.segment_peak_mb),
                ", ".join(f"{ranks[name]} {name}" for name in alike(report, system)) or "-",
            )
        )
    return Table(RANKING, tuple(rows), numbers=False)


def class_table(report: StudyReport, name: str) -> Table:
    """Return every figure of one class, a system a row; figures that nobody has are left out."""
    keys = [key for key, figure in FIGURES.items() if figure.per_class]
    figures = {one.name: one.pooled["classes"][name] for one in report.ranked if one.pooled}
    known = [key for key in keys if any(values.get(key) is not None for values in figures.values())]
    rows = tuple((system, *(number(values.get(key)) for key in known)) for system, values in figures.items())
    return Table((name, *(FIGURES[key].title for key in known)), rows)


def overall_table(report: StudyReport) -> Table:
    """Return the figures over all classes, a system a row."""
    keys = [key for key, figure in FIGURES.items() if not figure.per_class]
    rows = tuple(
        (one.name, *(number(one.pooled[key]) for key in keys)) for one in report.ranked if one.pooled
    )
    return Table(("all classes", *(FIGURES[key].title for key in keys)), rows)


def image_table(report: StudyReport) -> Table:
    """Return the mean F1 of each system on each tested image, the mean of several seeds."""
    rows = []
    for name in report.test_images:
        row = [name]
        for system in report.ranked:
            found = [one.scores[name]["mean_f1"] for one in system.outcomes if name in one.scores]
            known = [value for value in found if value is not None]
            row.append(number(sum(known) / len(known) if known else None))
        rows.append(tuple(row))
    return Table(("mean F1 on", *(one.name for one in report.ranked)), tuple(rows))


def csv_text(report: StudyReport) -> str:
    """Return ``study.csv``: a line for each system by rank, every figure with its interval."""
    rows = [
        {"rank": "" if one.pooled is None else rank, "system": one.name, **_row(report, one)}
        for rank, one in enumerate(report.systems, start=1)
    ]
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_text(report: StudyReport) -> str:
    """Return ``study.md``: the verdict and the tables."""
    tables = [ranking_table(report)]
    if report.ranked:
        tables += [overall_table(report), *(class_table(report, name) for name in report.classes.names[1:])]
    parts = [f"# {report.title}", *verdict(report), *warnings(report), *map(markdown, tables)]
    return "\n\n".join(parts) + "\n"


def _row(report: StudyReport, system: SystemResult) -> dict[str, Any]:
    row: dict[str, Any] = {"status": "failed" if system.failures else "done"}
    if system.pooled is not None:
        for column, value, interval in _figures(system.pooled):
            low, high = interval or ("", "")
            row |= {column: "" if value is None else value, f"{column}_low": low, f"{column}_high": high}
    row |= {
        "parameters": system.parameters,
        "train_seconds": system.train_seconds,
        "train_peak_mb": system.train_peak_mb,
        "train_gpu_peak_mb": system.device_peak_mb,
        "segment_seconds_per_image": system.segment_seconds,
        "segment_peak_mb": system.segment_peak_mb,
        "cannot_be_told_apart_from": " ".join(alike(report, system)),
        "message": "; ".join(system.failures),
    }
    return {key: "" if value is None else value for key, value in row.items()}


def _figures(pooled: dict[str, Any]) -> Iterator[tuple[str, float | None, list[float] | None]]:
    """Yield column, value and interval of every figure."""
    intervals = pooled["intervals"]
    for key, figure in FIGURES.items():
        if not figure.per_class:
            yield key, pooled[key], intervals.get(key)
            continue
        for name, values in pooled["classes"].items():
            if key in values:
                yield f"{name}_{key}", values[key], intervals["classes"].get(name, {}).get(key)


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    rule = "|".join(
        "---" if not number or not table.numbers else "---:" for number in range(len(table.header))
    )
    rows = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.rows)
    return "\n".join(("| " + " | ".join(table.header) + " |", f"|{rule}|", *rows))


def _seconds(value: float | None) -> str:
    return "-" if value is None else duration(value)


def _memory(megabytes: float | None) -> str:
    return "-" if megabytes is None else f"{megabytes / 1000:.1f} GB"
