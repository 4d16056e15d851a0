"""What a study of single cells will do: everything is found and checked before the first training."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops, find_duplicates, read_crops
from napari_cellseg.nets.classifier_presets import classifier_settings
from napari_cellseg.nets.classifiers import find_backbone, find_head
from napari_cellseg.report.study.marks import Marks, read_yaml
from napari_cellseg.report.study.study_file import HOLDOUT, SystemEntry, near
from napari_cellseg.settings import ClassifierSettings, Settings
from napari_cellseg.train.crop_split import split_crops

RESERVED = {"study", "report", "embeddings", "boosted-trees"}
TREES = "boosted-trees"


def _system(value: Any) -> Any:
    return {"preset": value} if isinstance(value, str) else value


def _channels(value: Any) -> Any:
    """Return each set of channels as one text: ``[Ch4, [Ch4, Ch5]]`` is what people write."""
    if not isinstance(value, list):
        return value
    return [",".join(map(str, one)) if isinstance(one, list) else one for one in value]


class CellSplit(Settings):
    """Which cells the systems learn from, and on which they are tested."""

    holdout: float | None = Field(
        None, gt=0, lt=1, description=f"Share of the cells tested on; {HOLDOUT} if nothing else is said."
    )
    folds: int | None = Field(None, ge=2, description="Every cell is tested on once, in this many rounds.")
    by_sample: bool | None = Field(
        None,
        description="Keep samples on one side; if nothing is said, where there are as many as folds.",
    )
    seed: int = Field(42, ge=0, description="Seed of the draw.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.holdout is not None and self.folds is not None:
            raise ValueError("give one of holdout and folds")
        return self


class CellStudyFile(Settings):
    """What stands in a STUDY.yaml with `crops`; paths are relative to it."""

    task: Literal["classify"] = Field("classify", description="What the systems do.")
    title: str = Field("", description="What is studied, for the head of the page.")
    crops: str = Field(min_length=1, description="Images of single cells with known classes.")
    format: str = Field("", description="How they are stored, instead of what is found.")
    group: str = Field("", description="What names a cell's sample: a column or a regular expression.")
    channels: Annotated[tuple[str, ...], BeforeValidator(_channels)] = Field(
        (), description="Sets of channels; every system is trained on each: [Ch4, Ch5, [Ch4, Ch5, Ch6]]."
    )
    split: CellSplit = Field(default_factory=CellSplit, description="Which cells are tested on.")
    systems: tuple[Annotated[SystemEntry, BeforeValidator(_system)], ...] = Field(
        min_length=1, description="Presets by name, or mappings of name, preset and settings."
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (42,), min_length=1, description="Each system is trained once with each."
    )
    minutes: float | None = Field(None, gt=0, description="Time budget of each training.")
    settings: dict[str, Any] = Field({}, description="Training settings of all systems; a system's own win.")
    baseline: bool = Field(True, description="Also rank boosted trees on measured features.")

    @model_validator(mode="after")
    def _different(self) -> Self:
        names = [system.name or system.preset for system in self.systems]
        for what, values in (("system", names), ("seed", self.seeds), ("channels", self.channels)):
            twice = sorted({str(value) for value in values if list(values).count(value) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]} occurs twice")
        return self


@dataclass(frozen=True)
class CellSystem:
    """One system: a preset on some channels. `trees` names the baseline that is grown beside it."""

    name: str
    settings: ClassifierSettings
    channels: str = ""
    trees: str = ""


@dataclass(frozen=True)
class CellTrial:
    """One training of every system: the ids of the cells tested on, and the seed."""

    name: str
    seed: int
    test: tuple[str, ...]


@dataclass(frozen=True)
class CellPlan:
    """All that a study of single cells needs.

    Attributes
    ----------
    path : Path
        The study file.
    study : CellStudyFile
    crops : Crops
        The labelled cells.
    systems : tuple of CellSystem
    trials : tuple of CellTrial
    notices : tuple of str
    """

    path: Path
    study: CellStudyFile
    crops: Crops
    systems: tuple[CellSystem, ...]
    trials: tuple[CellTrial, ...]
    notices: tuple[str, ...] = ()

    @property
    def crops_path(self) -> str:
        """Absolute path of the cells."""
        return str(_crops_path(self.study, self.path))

    def described(self) -> dict[str, Any]:
        """Return what must be the same for a study to go on, as JSON gives it back."""
        values: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "crops": [self.crops_path, self.study.format, self.study.group],
                    "classes": self.crops.class_names,
                    "trials": {one.name: [one.seed, one.test] for one in self.trials},
                    "systems": {one.name: one.settings.model_dump(mode="json") for one in self.systems},
                }
            )
        )
        return values


def plan_cells(path: Path) -> CellPlan:
    """Return what a study file of single cells asks for, after checking all that can be checked now.

    Raises
    ------
    CellsegError
        If the file is wrong (with line and column), a name is unknown, settings contradict each
        other, or the split leaves nothing to test or to learn from.
    """
    study, marks = _read(path)
    crops = read_crops(_crops_path(study, path), format=study.format or None, group=study.group)
    crops = crops.take(crops.labels != "")
    systems = _systems(study, marks, crops)
    doubles = find_duplicates(crops)
    tests, notices = _tests(crops, doubles, study.split)
    trials = []
    for number, test in enumerate(tests, start=1):
        fold = f"fold-{number}" if len(tests) > 1 else ""
        for seed in study.seeds:
            own = f"seed-{seed}" if len(study.seeds) > 1 or not fold else ""
            name = "-".join(filter(None, (fold, own)))
            trials.append(CellTrial(name, seed, tuple(crops.ids[test].tolist())))
    return CellPlan(path, study, crops, systems, tuple(trials), (*crops.notices, *notices))


def _crops_path(study: CellStudyFile, path: Path) -> Path:
    return (path.parent / Path(study.crops).expanduser()).resolve()


def _read(path: Path) -> tuple[CellStudyFile, Marks]:
    values, marks = read_yaml(path)
    try:
        return CellStudyFile.model_validate(values), marks
    except ValidationError as error:
        errors = error.errors()
        first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
        place = tuple(first["loc"])
        if first["type"] == "extra_forbidden":
            known = {*CellStudyFile.model_fields, *CellSplit.model_fields, *SystemEntry.model_fields}
            name = ".".join(str(step) for step in place)
            raise marks.error(place, f"unknown key {name!r}", near(str(place[-1]), known)) from None
        said = first["msg"].removeprefix("Value error, ")
        raise marks.error(place, f"{'.'.join(map(str, place)) or 'study'}: {said}") from None


def _systems(study: CellStudyFile, marks: Marks, crops: Crops) -> tuple[CellSystem, ...]:
    systems = []
    for channels in study.channels or ("",):
        suffix = "-" + channels.replace(",", "+") if len(study.channels) > 1 else ""
        for number, entry in enumerate(study.systems):
            name = (entry.name or entry.preset) + suffix
            first = study.baseline and number == 0
            trees = TREES + suffix if first else ""
            given = study.settings | entry.settings | {"test": 0.0, "baseline": first}
            given |= {"channels": channels} if channels else {}
            given |= {"minutes": study.minutes} if study.minutes else {}
            try:
                if name.lower() in RESERVED:
                    raise CellsegError(f"a system called {name!r}", "another name")
                settings = classifier_settings(entry.preset, given)
                check_cell_settings(settings, crops.channels)
            except CellsegError as error:
                found = f"system {name!r}: {error.found}"
                raise marks.error(("systems", number), found, error.expected, error.remedy) from None
            systems.append(CellSystem(name, settings, channels, trees))
    return tuple(systems)


def check_cell_settings(settings: ClassifierSettings, channels: Sequence[str]) -> None:
    """Refuse settings that a training on cells with these channels would refuse at its start.

    Raises
    ------
    CellsegError
        If a name is unknown, or settings contradict each other.

    Examples
    --------
    >>> check_cell_settings(ClassifierSettings(channels="Ch4"), ("Ch4", "Ch5"))
    """
    find_backbone(settings.architecture)
    find_head(settings.head)
    for name in settings.channel_names:
        if name not in channels:
            raise CellsegError(f"no channel {name!r}", " or ".join(channels))
    many = len(settings.channel_names or channels)
    if settings.rgb and many not in (1, 3):
        raise CellsegError(f"{many} channels as RGB", "one or three", "say which in `channels`")
    if settings.frozen and (settings.members > 1 or settings.views > 1):
        raise CellsegError("members or views beside a frozen network", "1 of each")


def _tests(
    crops: Crops, doubles: Sequence[NDArray[np.intp]], split: CellSplit
) -> tuple[list[NDArray[np.intp]], tuple[str, ...]]:
    """Return the indices of the cells that each round is tested on."""
    labels, samples = crops.labels.tolist(), crops.samples.tolist()
    count = len(set(samples))
    folds = split.folds
    by_sample = split.by_sample
    if by_sample is None:
        by_sample = (folds or 3) <= count < 0.7 * len(labels)
    if by_sample and count < 2:
        raise CellsegError(
            "split by sample, and one sample", "at least two", "say what names a sample: `group`"
        )
    share = split.holdout or (1 / folds if folds else HOLDOUT)
    settings = ClassifierSettings(test=share, calibration=0.0, by_sample=by_sample, seed=split.seed)
    drawn = split_crops(labels, samples, doubles, settings=settings)  # says what is to be said
    if folds is None:
        return [drawn.test], drawn.notices
    return _folds(crops, doubles, folds, by_sample, split.seed), drawn.notices


def _folds(
    crops: Crops, doubles: Sequence[NDArray[np.intp]], folds: int, by_sample: bool, seed: int
) -> list[NDArray[np.intp]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    _, classes = np.unique(crops.labels, return_inverse=True)
    units = np.arange(len(crops))
    for group in doubles:
        units[group] = group[0]
    leaders = np.flatnonzero(units == np.arange(len(crops)))
    if by_sample:
        _, groups = np.unique(crops.samples, return_inverse=True)
        if len(np.unique(groups)) < folds:
            raise CellsegError(
                f"{len(np.unique(groups))} samples for {folds} folds", "as many samples as folds"
            )
        splitter: Any = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        rounds = splitter.split(leaders, classes[leaders], groups[leaders])
    else:
        fewest = int(np.bincount(classes[leaders]).min())
        if fewest < folds:
            raise CellsegError(
                f"a class of {fewest} different cells for {folds} folds",
                "as many cells of each class as folds",
            )
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        rounds = splitter.split(leaders, classes[leaders])
    return [np.flatnonzero(np.isin(units, leaders[test])) for _, test in rounds]
