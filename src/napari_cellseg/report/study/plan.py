"""What a study will do: everything is found and checked before the first training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Annotation
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.report.study.marks import Marks, Place
from napari_cellseg.report.study.samples import Samples, find_files, find_samples
from napari_cellseg.report.study.splits import Part, draw_split, find_groups, listed_split
from napari_cellseg.report.study.study_file import StudyFile, SystemEntry, near, read_study_file
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train.run import spec_for

RESERVED = {"study", "report"}


@dataclass(frozen=True)
class System:
    """One system of a study: its name and the settings it is trained with."""

    name: str
    settings: TrainSettings


@dataclass(frozen=True)
class Trial:
    """One training of every system: what is learned from, tested on, and the seed.

    `name` is the folder below the system's: ``seed-42``, ``fold-1`` or ``fold-1-seed-42``.
    """

    name: str
    seed: int
    part: Part


@dataclass(frozen=True)
class StudyPlan:
    """All that a study needs.

    Attributes
    ----------
    path : Path
        The study file.
    study : StudyFile
        What stands in it.
    samples : Samples
    systems : tuple of System
    trials : tuple of Trial
    notices : tuple of str
        Sentences the user should see.
    """

    path: Path
    study: StudyFile
    samples: Samples
    systems: tuple[System, ...]
    trials: tuple[Trial, ...]
    notices: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The title, or the file's name where none is given."""
        return self.study.title or self.path.stem


def plan_study(path: Path) -> StudyPlan:
    """Return what the study file asks for, after checking all that can be checked now.

    Parameters
    ----------
    path : Path
        STUDY.yaml; the paths in it are relative to its folder.

    Raises
    ------
    CellsegError
        If the file is wrong (with line and column), a preset, network or loss is unknown, settings
        contradict each other, images and masks do not fit, the split leaves nothing to test or to
        learn from, or a class is nowhere in what a training would learn from.
    """
    path = Path(path).expanduser()
    study, marks = read_study_file(path)
    systems = [_system(entry, study, marks, ("systems", k)) for k, entry in enumerate(study.systems)]
    samples = find_samples(study, path.parent)
    first = samples.all[0]
    annotation = Annotation(read_image(first.image), first.truth(), samples.classes)
    for number, system in enumerate(systems):
        with _at(marks, ("systems", number), system.name):
            spec_for([annotation], system.settings)
    for name in study.thin or ():
        if name not in samples.classes.targets:
            known = near(name, samples.classes.targets)
            raise marks.error(("thin",), f"no class {name!r} to measure as thin", known)
    without = [sample.name for sample in samples.all if sample.pixel_nm is None]
    if study.tolerance_nm is not None and without:
        found = f"a tolerance in nm, and no pixel size in {without[0]}"
        raise marks.error(("tolerance_nm",), found, "tolerance_px")
    parts = _split(study, samples, path.parent)
    notices = [*samples.notices, *_check_classes(samples, parts)]
    return StudyPlan(path, study, samples, tuple(systems), _trials(parts, study.seeds), tuple(notices))


def _system(entry: SystemEntry, study: StudyFile, marks: Marks, place: Place) -> System:
    name = entry.name or entry.preset
    if name.lower() in RESERVED:
        raise marks.error(place, f"a system called {name!r}", "another name: this is a file of the study")
    _check_keys(study.settings, study, marks, ("settings",))
    _check_keys(entry.settings, study, marks, (*place, "settings"))
    given: dict[str, Any] = study.settings | entry.settings | {"left_out": ",".join(study.left_out)}
    if study.minutes is not None:
        given["minutes"] = study.minutes
    with _at(marks, place, name):
        return System(name, settings_from(entry.preset, given))


@contextmanager
def _at(marks: Marks, place: Place, system: str) -> Iterator[None]:
    """Say of an error where in the study file its system stands."""
    try:
        yield
    except CellsegError as error:
        raise marks.error(place, f"system {system!r}: {error.found}", error.expected, error.remedy) from None


def _check_keys(settings: dict[str, Any], study: StudyFile, marks: Marks, place: Place) -> None:
    """Raise for settings that the study settles for all systems, and for unknown ones."""
    settled = {"seed": "seeds", "preset": "preset", "left_out": "left_out"}
    settled |= {"minutes": "minutes"} if study.minutes else {}
    for key in settings:
        if key in settled:
            found = f"setting {key!r} in the settings of a system"
            raise marks.error((*place, key), found, f"`{settled[key]}`, for all systems the same")
        if key not in TrainSettings.model_fields:
            known = near(key, TrainSettings.model_fields)
            raise marks.error((*place, key), f"unknown setting {key!r}", known)


def _split(study: StudyFile, samples: Samples, folder: Path) -> tuple[Part, ...]:
    split = study.split
    if split.train:
        return listed_split(find_files(split.train, folder), find_files(split.test, folder))
    groups = None if split.group is None else find_groups(samples.names, split.group, folder)
    return draw_split(samples.names, split, groups=groups)


def _check_classes(samples: Samples, parts: Sequence[Part]) -> list[str]:
    """Refuse parts that lack a class to learn; return what is missing from tests."""
    notices = []
    for number, part in enumerate(parts, start=1):
        where = f" of fold {number}" if len(parts) > 1 else ""
        for index, name in enumerate(samples.classes.names[1:], start=1):
            learned, tested = (
                sum(sum(samples[one].pixels[index : index + 1]) for one in names)
                for names in (part.train, part.test)
            )
            if not learned:
                raise CellsegError(
                    f"class {name!r} is in no image that is learned from{where} ({', '.join(part.train)})",
                    "every class in the training part",
                    "take another seed of the split, or add images with it",
                )
            if not tested:
                notices.append(f"class {name!r} is in no image that is tested on{where}")
    return notices


def _trials(parts: Sequence[Part], seeds: Sequence[int]) -> tuple[Trial, ...]:
    trials = []
    for number, part in enumerate(parts, start=1):
        fold = f"fold-{number}" if len(parts) > 1 else ""
        for seed in seeds:
            own = f"seed-{seed}" if len(seeds) > 1 or not fold else ""
            trials.append(Trial("-".join(filter(None, (fold, own))), seed, part))
    return tuple(trials)
