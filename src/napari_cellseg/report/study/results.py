"""What a study found: every system with its pooled figures, ranked, and who can be told apart."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.report.metrics import compare_scores, pool_scores
from napari_cellseg.report.study.outcome import Outcome, read_json, write_json
from napari_cellseg.report.study.plan import StudyPlan
from napari_cellseg.report.study.samples import Sample
from napari_cellseg.report.study.trial import predicted_files

SCHEMA = 1
REPORT = "study.json"
RANKED_BY = "mean_f1"
PACKAGES = ("napari-cellseg", "torch", "segmentation-models-pytorch", "scikit-learn", "dask", "numpy")


@dataclass(frozen=True)
class SystemResult:
    """One system of a study.

    Attributes
    ----------
    name : str
    settings : dict
        The settings it was trained with, as JSON types.
    outcomes : tuple of Outcome
        One for each trial that was run.
    pooled : dict or None
        What `pool_scores` returned for all tested images together; None if a trial failed.
    versus : dict
        By the name of each system ranked below: ``{"difference", "interval", "better"}`` of the
        figure ranked by, this one first.
    """

    name: str
    settings: dict[str, Any]
    outcomes: tuple[Outcome, ...]
    pooled: dict[str, Any] | None = None
    versus: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each trial that failed."""
        return tuple(f"{one.trial}: {one.message}" for one in self.outcomes if one.message)

    @property
    def parameters(self) -> int | None:
        """Weights of the network."""
        return next((one.training.parameters for one in self.outcomes if one.training), None)

    @property
    def train_seconds(self) -> float | None:
        """Seconds of a training, the mean of all trials."""
        return _mean([one.training.seconds for one in self.outcomes if one.training])

    @property
    def train_peak_mb(self) -> float | None:
        """Most memory of a training, in 10**6 bytes."""
        return max((one.training.peak_mb for one in self.outcomes if one.training), default=None)

    @property
    def device_peak_mb(self) -> float | None:
        """Most memory on the graphics card in a training, in 10**6 bytes; None without one."""
        found = (one.training.device_peak_mb for one in self.outcomes if one.training)
        return max((peak for peak in found if peak is not None), default=None)

    @property
    def segment_seconds(self) -> float | None:
        """Seconds to segment an image, the mean of all."""
        return _mean([seconds for one in self.outcomes for seconds in one.segment_seconds.values()])

    @property
    def segment_peak_mb(self) -> float | None:
        """Most memory of the process that segmented, in 10**6 bytes."""
        return max((one.segment_peak_mb for one in self.outcomes if one.segment_peak_mb), default=None)


@dataclass(frozen=True)
class StudyReport:
    """A finished study.

    Attributes
    ----------
    folder : Path
        Where it lies: ``SYSTEM/TRIAL/`` and the reports.
    title : str
    study_file : str
        Path of the study file.
    classes : Classes
    samples : tuple of Sample
        All images.
    tested : dict
        Names of the tested images by trial.
    systems : tuple of SystemResult
        The best first; those that failed last.
    notices : tuple of str
        Sentences the user should see.
    made : dict
        Date, machine and versions.
    """

    folder: Path
    title: str
    study_file: str
    classes: Classes
    samples: tuple[Sample, ...]
    tested: dict[str, tuple[str, ...]]
    systems: tuple[SystemResult, ...]
    notices: tuple[str, ...] = ()
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[SystemResult, ...]:
        """The systems that have figures, the best first."""
        return tuple(system for system in self.systems if system.pooled is not None)

    @property
    def test_images(self) -> tuple[str, ...]:
        """Names of all images that were tested on, sorted."""
        return tuple(sorted({name for names in self.tested.values() for name in names}))

    def sample(self, name: str) -> Sample:
        """Return an image of the study by its name."""
        return next(sample for sample in self.samples if sample.name == name)

    def labels_file(self, system: str, image: str) -> Path:
        """Return the file of what a system found in a tested image, in the first trial with it."""
        trial = next(trial for trial, names in self.tested.items() if image in names)
        return predicted_files(self.folder / system / trial, self.sample(image).image)[0]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types, without the counts the figures were made of."""
        values = asdict(self) | {"schema": SCHEMA, "classes": self.classes.to_json()}
        del values["folder"]
        for system in values["systems"]:
            for scores in (system["pooled"] or {}, *_all_scores(system)):
                scores.pop("counts", None)
        return values

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the study in a folder.

        Raises
        ------
        CellsegError
            If there is none, it is damaged, or a later version wrote it.
        """
        values = read_json(folder / REPORT)
        try:
            if values.pop("schema") != SCHEMA:
                raise CellsegError(f"{folder / REPORT}: of a later version", remedy="update napari-cellseg")
            return cls(
                folder=folder,
                **values
                | {
                    "classes": Classes.from_json(values["classes"]),
                    "samples": tuple(
                        Sample(**one | {key: tuple(one[key]) for key in ("indices", "pixels")})
                        for one in values["samples"]
                    ),
                    "tested": {trial: tuple(names) for trial, names in values["tested"].items()},
                    "systems": tuple(_system_from(one) for one in values["systems"]),
                    "notices": tuple(values["notices"]),
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CellsegError(f"{folder / REPORT}: cannot be understood ({error!r})", "a study") from None

    def write(self) -> None:
        """Write ``study.json`` into the folder."""
        write_json(self.folder / REPORT, self.to_json())


def make_report(folder: Path, plan: StudyPlan, outcomes: Sequence[Outcome]) -> StudyReport:
    """Return the report of a study, its systems ranked by what came of them."""
    systems = [
        SystemResult(
            system.name,
            system.settings.model_dump(mode="json"),
            tuple(one for one in outcomes if one.system == system.name),
        )
        for system in plan.systems
    ]
    return StudyReport(
        folder=folder,
        title=plan.title,
        study_file=str(plan.path.resolve()),
        classes=plan.samples.classes,
        samples=plan.samples.all,
        tested={trial.name: trial.part.test for trial in plan.trials},
        systems=rank_systems(systems),
        notices=plan.notices,
        made=circumstances(),
    )


def rank_systems(systems: Sequence[SystemResult]) -> tuple[SystemResult, ...]:
    """Return the systems with pooled figures, each compared with those below it, the best first.

    They are ranked by mean F1 over all tested images. One that failed in a trial was not tested on
    all of them: it gets no figures, and stands at the end.
    """
    images = {one.name: list(_by_image(one.outcomes).values()) for one in systems if not one.failures}
    pooled = {name: pool_scores(scores) for name, scores in images.items()}
    order = sorted(images, key=lambda name: pooled[name][RANKED_BY] or 0.0, reverse=True)
    named, ranked = {one.name: one for one in systems}, []
    for number, name in enumerate(order):
        versus = {
            other: compare_scores(images[name], images[other])["differences"][RANKED_BY]
            for other in order[number + 1 :]
        }
        ranked.append(replace(named[name], pooled=pooled[name], versus=versus))
    return (*ranked, *(one for one in systems if one.failures))


def _by_image(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Return the scores of each tested image, sorted by name.

    Of an image that several trials tested (with other seeds) the counts are added up: it is still
    one image, and intervals are over images.
    """
    found: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        for name, scores in outcome.scores.items():
            before = found.get(name)
            added = (
                scores if before is None else scores | {"counts": _sum(before["counts"], scores["counts"])}
            )
            found[name] = added
    return dict(sorted(found.items()))


def _sum(first: Any, second: Any) -> Any:
    """Return the sum of two equal nests of dictionaries and lists of numbers."""
    if isinstance(first, dict):
        return {key: _sum(value, second[key]) for key, value in first.items()}
    if isinstance(first, list):
        return [_sum(*pair) for pair in zip(first, second, strict=True)]
    return first + second


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _all_scores(system: dict[str, Any]) -> list[dict[str, Any]]:
    return [scores for outcome in system["outcomes"] for scores in outcome["scores"].values()]


def _system_from(values: dict[str, Any]) -> SystemResult:
    outcomes = tuple(Outcome.from_json(one) for one in values["outcomes"])
    return SystemResult(**values | {"outcomes": outcomes})


def circumstances() -> dict[str, Any]:
    """Return date, machine and versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            continue
    return {
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": versions,
    }
