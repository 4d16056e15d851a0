"""What a study of single cells found: systems ranked by macro F1, and who can be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.classes import told_apart, with_range
from napari_cellseg.report.metrics.classes import class_scores, compare_classes
from napari_cellseg.report.study.cells.plan import CellPlan
from napari_cellseg.report.study.cells.trial import RUN
from napari_cellseg.report.study.outcome import Outcome, Training, read_json, write_json
from napari_cellseg.report.study.results import circumstances
from napari_cellseg.report.study.words import cautions, listed
from napari_cellseg.train.cell_tables import BASELINE, PREDICTIONS, read_predictions

SCHEMA = 1
REPORT = "study.json"
RANKED_BY = "macro_f1"


@dataclass(frozen=True, eq=False)
class Tested:
    """What a system said of the tested cells, sorted by id.

    Attributes
    ----------
    ids, samples : (n,) str
    truth : (n,) int
    probabilities : (n, k)
        The mean of several seeds.
    """

    ids: NDArray[np.str_]
    samples: NDArray[np.str_]
    truth: NDArray[np.intp]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class CellResult:
    """One system of a study of cells.

    Attributes
    ----------
    name : str
    settings : dict
        As JSON types; empty for boosted trees.
    channels : str
        The set of channels it was given, where the study has several.
    preset : str
        What the system is apart from its channels.
    outcomes : tuple of Outcome
    scores : dict or None
        What `class_scores` returned for all tested cells together; None if a trial failed.
    versus : dict
        By the name of each system ranked below: what `compare_classes` returned, this one first.
    """

    name: str
    settings: dict[str, Any]
    channels: str
    preset: str
    outcomes: tuple[Outcome, ...]
    scores: dict[str, Any] | None = None
    versus: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each trial that failed."""
        return tuple(f"{one.trial}: {one.message}" for one in self.outcomes if one.message)

    @property
    def trainings(self) -> tuple[Training, ...]:
        """How each training went."""
        return tuple(one.training for one in self.outcomes if one.training)


@dataclass(frozen=True)
class CellReport:
    """A finished study of single cells.

    Attributes
    ----------
    folder : Path
    title, study_file : str
    classes : tuple of str
    systems : tuple of CellResult
        The best first; those that failed last.
    cells : dict
        Number of cells by class.
    trials : tuple of str
    notices : tuple of str
    made : dict
        Date, machine and versions.
    """

    folder: Path
    title: str
    study_file: str
    classes: tuple[str, ...]
    systems: tuple[CellResult, ...]
    cells: dict[str, int]
    trials: tuple[str, ...]
    notices: tuple[str, ...] = ()
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[CellResult, ...]:
        """The systems that have figures, the best first."""
        return tuple(system for system in self.systems if system.scores is not None)

    @property
    def tested(self) -> int:
        """Number of tested cells."""
        return int(self.ranked[0].scores["cells"]) if self.ranked and self.ranked[0].scores else 0

    def alike(self, system: CellResult) -> list[str]:
        """Return the names of the systems that cannot be told apart from this one, by rank."""
        found = []
        for other in self.ranked:
            one = system.versus.get(other.name) or other.versus.get(system.name)
            if one is not None and one["better"] is None:
                found.append(other.name)
        return found

    def verdict(self) -> list[str]:
        """Return sentences: which system is best, which are as good, and how sure that is."""
        if not self.ranked:
            return ["No system got through the study."]
        best, *others = self.ranked
        assert best.scores is not None
        said = [
            f"{best.name} comes first, with a macro F1 of {with_range(best.scores, RANKED_BY)} on "
            f"{self.tested} cells it never saw."
        ]
        same = [other.name for other in others if best.versus[other.name]["better"] is None]
        if same:
            said.append(f"{best.name} and {listed(same)} cannot be told apart on these {self.tested} cells.")
        return said + self.about_channels() + self.cautions()

    def cautions(self) -> list[str]:
        """Return what a reader must know before believing the ranking."""
        return cautions([(one.name, one.trainings) for one in self.ranked])

    def about_channels(self) -> list[str]:
        """Return for each system, of which there are several sets of channels, how they compare."""
        said = []
        for preset in dict.fromkeys(system.preset for system in self.ranked):
            own = [system for system in self.ranked if system.preset == preset and system.channels]
            for place, one in enumerate(own[:-1]):
                other = own[place + 1]
                sentence = told_apart(one.versus[other.name], one.channels, other.channels, self.tested)
                said.append(f"{preset}: {sentence}")
        return said

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        systems = [
            {
                "name": one.name,
                "settings": one.settings,
                "channels": one.channels,
                "preset": one.preset,
                "scores": one.scores,
                "versus": one.versus,
                "failures": one.failures,
                "parameters": one.trainings[0].parameters if one.trainings else None,
                "train_seconds": [training.seconds for training in one.trainings],
            }
            for one in self.systems
        ]
        return {
            "schema": SCHEMA,
            "task": "classify",
            "title": self.title,
            "study_file": self.study_file,
            "classes": self.classes,
            "cells": self.cells,
            "trials": self.trials,
            "systems": systems,
            "verdict": self.verdict(),
            "notices": self.notices,
            "made": self.made,
        }

    def write(self) -> None:
        """Write ``study.json`` into the folder."""
        write_json(self.folder / REPORT, self.to_json())


def best_model(folder: Path) -> Path | None:
    """Return the file of the best-ranked network of a finished study, if there is one.

    Raises
    ------
    CellsegError
        If there is no study of cells in the folder.
    """
    report = read_json(folder / REPORT)
    try:
        trial = report["trials"][0]
        ranked = [one["name"] for one in report["systems"] if one["scores"] and one["settings"]]
    except (KeyError, IndexError, TypeError) as error:
        raise CellsegError(f"{folder / REPORT}: cannot be understood ({error!r})", "a study") from None
    files = [folder / name / trial / RUN / "best.safetensors" for name in ranked[:1]]
    return next((file for file in files if file.is_file()), None)


def make_cell_report(folder: Path, plan: CellPlan, outcomes: Sequence[Outcome]) -> CellReport:
    """Return the report of a study of cells, its systems ranked by what came of them."""
    results, tested = [], dict[str, Tested]()
    for system in plan.systems:
        own = tuple(one for one in outcomes if one.system == system.name)
        settings = system.settings.model_dump(mode="json")
        preset = system.name.removesuffix(f"-{system.channels.replace(',', '+')}" if system.channels else "")
        results.append(CellResult(system.name, settings, system.channels, preset, own))
        if any(one.message for one in own):
            continue
        runs = [folder / system.name / one.trial / RUN for one in own]
        tested[system.name] = _pooled([run / PREDICTIONS for run in runs], plan.crops.class_names)
        if system.trees:
            results.append(CellResult(system.trees, {}, system.channels, "boosted trees", ()))
            tested[system.trees] = _pooled([run / BASELINE for run in runs], plan.crops.class_names)
    labels = plan.crops.labels
    return CellReport(
        folder=folder,
        title=plan.study.title or plan.path.stem,
        study_file=str(plan.path.resolve()),
        classes=plan.crops.class_names,
        systems=rank_cells(results, tested, plan.crops.class_names),
        cells={name: int((labels == name).sum()) for name in plan.crops.class_names},
        trials=tuple(trial.name for trial in plan.trials),
        notices=plan.notices,
        made=circumstances(),
    )


def rank_cells(
    results: Sequence[CellResult], tested: dict[str, Tested], classes: Sequence[str]
) -> tuple[CellResult, ...]:
    """Return the systems with their scores, each compared with those below it, the best first."""
    scores = {
        name: class_scores(one.truth, one.probabilities, classes, samples=one.samples.tolist())
        for name, one in tested.items()
    }
    order = sorted(scores, key=lambda name: scores[name][RANKED_BY] or 0.0, reverse=True)
    named, ranked = {one.name: one for one in results}, []
    for place, name in enumerate(order):
        versus = {other: _compared(tested[name], tested[other]) for other in order[place + 1 :]}
        ranked.append(replace(named[name], scores=scores[name], versus=versus))
    return (*ranked, *(one for one in results if one.name not in scores))


def _compared(first: Tested, second: Tested) -> dict[str, Any]:
    if not np.array_equal(first.ids, second.ids):
        raise CellsegError("two systems tested on different cells", "the same cells")
    return compare_classes(
        first.truth, first.probabilities, second.probabilities, samples=first.samples.tolist()
    )


def _pooled(files: Sequence[Path], classes: Sequence[str]) -> Tested:
    """Return what was said of every tested cell; of one that several seeds tested, the mean."""
    parts = [read_predictions(path).part("test") for path in files]
    ids, first, inverse = np.unique(
        np.concatenate([part.ids for part in parts]), return_index=True, return_inverse=True
    )
    shares = np.concatenate([_in_order(part.probabilities, part.classes, classes) for part in parts])
    total = np.zeros((len(ids), len(classes)))
    np.add.at(total, inverse, shares)
    truth = np.concatenate(
        [np.array([list(classes).index(part.classes[k]) for k in part.truth], np.intp) for part in parts]
    )
    samples = np.concatenate([part.samples for part in parts])
    return Tested(ids, samples[first], truth[first], total / np.bincount(inverse)[:, np.newaxis])


def _in_order(
    probabilities: NDArray[np.float64], own: Sequence[str], classes: Sequence[str]
) -> NDArray[np.float64]:
    found = np.zeros((len(probabilities), len(classes)))
    found[:, [list(classes).index(name) for name in own]] = probabilities
    return found
