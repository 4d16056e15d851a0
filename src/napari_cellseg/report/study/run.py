"""The study as a whole: every system in every trial, then the reports."""

import json
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.study.cells.plan import CellPlan, CellSystem, CellTrial, plan_cells
from napari_cellseg.report.study.cells.results import CellReport, make_cell_report
from napari_cellseg.report.study.cells.trial import run_cell_trial
from napari_cellseg.report.study.child import note_of, running
from napari_cellseg.report.study.layers import measure_layers
from napari_cellseg.report.study.marks import read_yaml
from napari_cellseg.report.study.outcome import Outcome, read_json, write_json
from napari_cellseg.report.study.plan import StudyPlan, System, Trial, plan_study
from napari_cellseg.report.study.results import StudyReport, make_report
from napari_cellseg.report.study.trial import run_trial

PLAN, OUTCOME, RUNNING = "plan.json", "outcome.json", "running.json"
REPORTS = ("study.json", "study.csv", "study.md", "report.html")


@dataclass(frozen=True)
class StudyStarted:
    """Everything was found right; `notices` are sentences the user should see."""

    systems: int
    trials: int
    notices: tuple[str, ...]


@dataclass(frozen=True)
class StudyStep:
    """The share of the study that is behind us, 0 to 1, and what goes on."""

    share: float
    text: str


@dataclass(frozen=True)
class TrialDone:
    """A system is through a trial: "done", "failed" or "skipped" (done by an earlier call)."""

    system: str
    trial: str
    status: str
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class StudyDone:
    """The study is over and its reports are written."""

    report: StudyReport | CellReport


Plan = StudyPlan | CellPlan
Record = StudyStarted | StudyStep | TrialDone | StudyDone


def run_study(
    study_file: Path, out: Path, *, resume: bool = False, overwrite: bool = False
) -> Iterator[Record]:
    """Train, run and score every system of a study; yield what happens.

    Closing the generator ends what runs; it can be taken up again.

    Parameters
    ----------
    study_file : Path
        STUDY.yaml: of images and masks, or of single cells where it says `crops`.
    out : Path
        Folder to make: ``SYSTEM/TRIAL/`` for each training, ``study.json``, ``study.csv``,
        ``study.md`` and ``report.html``.
    resume : bool
        Go on with the study in `out`: what is finished stays, a half-done training goes on, what
        failed is tried again. Systems may have been added to the study file.
    overwrite : bool
        Replace the study in `out`; other files there stay.

    Yields
    ------
    StudyStarted, then StudyStep and TrialDone, then StudyDone

    Raises
    ------
    CellsegError
        Before anything is trained: the study file is wrong, `out` holds another study, or a study
        is running there.
    """
    study_file = Path(study_file).expanduser()
    values, _ = read_yaml(study_file)
    cells = values.get("task") == "classify" or "crops" in values
    plan: Plan = plan_cells(study_file) if cells else plan_study(study_file)
    with _sole_use(out):
        _make_room(out, plan, resume=resume, overwrite=overwrite)
        yield StudyStarted(len(plan.systems), len(plan.trials), plan.notices)
        outcomes = yield from _trials(out, plan)
        if isinstance(plan, StudyPlan) and plan.study.redundancy:
            yield from _layers(out, plan, outcomes)
        yield StudyStep(1.0, "writing the reports")
        yield StudyDone(_reported(out, plan, outcomes))


def _reported(out: Path, plan: Plan, outcomes: list[Outcome]) -> StudyReport | CellReport:
    """Write the reports and return what they tell."""
    from napari_cellseg.report.study.cells.pages import write_cell_reports
    from napari_cellseg.report.study.pages import write_reports

    if isinstance(plan, CellPlan):
        cells = make_cell_report(out, plan, outcomes)
        write_cell_reports(cells)
        return cells
    report = make_report(out, plan, outcomes)
    write_reports(report)
    return report


def _trials(out: Path, plan: Plan) -> Generator[Record, None, list[Outcome]]:
    """Run all systems in the first trial, then in the next: what is there can be compared early."""
    todo = [(trial, system) for trial in plan.trials for system in plan.systems]
    outcomes = []
    for number, (trial, system) in enumerate(todo):
        folder = out / system.name / trial.name
        earlier = _earlier(folder)
        if earlier is not None:
            outcomes.append(earlier)
            yield TrialDone(system.name, trial.name, "skipped")
            continue
        began = time.monotonic()
        outcome = yield from _trial(folder, plan, system, trial, number / len(todo), 1 / len(todo))
        outcomes.append(outcome)
        write_json(folder / OUTCOME, outcome.to_json())
        status = "failed" if outcome.message else "done"
        yield TrialDone(system.name, trial.name, status, outcome.message, time.monotonic() - began)
    return outcomes


def _trial(
    folder: Path, plan: Plan, system: System | CellSystem, trial: Trial | CellTrial, begin: float, part: float
) -> Generator[Record, None, Outcome]:
    where = f"{system.name} {trial.name}" if len(plan.trials) > 1 else system.name
    run: Any = run_cell_trial if isinstance(plan, CellPlan) else run_trial
    with closing(run(folder, plan, system, trial)) as steps:
        try:
            while True:
                share, text = next(steps)
                yield StudyStep(begin + part * share, f"{where}: {text}")
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        except CellsegError as error:
            return Outcome(system.name, trial.name, str(error))


def _layers(out: Path, plan: StudyPlan, outcomes: list[Outcome]) -> Iterator[Record]:
    """Measure what the layers of each network of the first trial keep."""
    first = plan.trials[0]
    images = [plan.samples[name].image for name in first.part.test]
    for outcome in outcomes:
        if outcome.trial == first.name and not outcome.message:
            yield StudyStep(1.0, f"{outcome.system}: what its layers keep")
            measure_layers(out / outcome.system / first.name, images)


def _earlier(folder: Path) -> Outcome | None:
    """Return what an earlier call finished well in this folder."""
    if not (folder / OUTCOME).is_file():
        return None
    outcome = Outcome.from_json(read_json(folder / OUTCOME))
    return None if outcome.message else outcome


def _make_room(out: Path, plan: Plan, *, resume: bool, overwrite: bool) -> None:
    """Check `out` against the plan, make place for it, and leave the plan there."""
    wanted, earlier = plan.described() if isinstance(plan, CellPlan) else _described(plan), None
    if (out / PLAN).is_file():
        earlier = read_json(out / PLAN)
        if overwrite:
            _remove(out, earlier)
            earlier = None
        elif not resume:
            raise CellsegError(
                f"{out}: holds a study", remedy="choose another folder, or give --resume or --overwrite"
            )
    if earlier is not None:
        _refuse_other(out, wanted, earlier)
        wanted["systems"] = earlier["systems"] | wanted["systems"]
    new = set(wanted["systems"]) - set(earlier["systems"]) if earlier else {*wanted["systems"], *REPORTS}
    for name in sorted(new):
        if (out / name).exists():
            raise CellsegError(f"{out / name}: exists already", remedy="choose another folder")
    write_json(out / PLAN, wanted)


def _described(plan: StudyPlan) -> dict[str, Any]:
    """Return what must be the same for a study to go on, as JSON gives it back."""
    study = plan.study
    described = {
        "images": {one.name: [one.image, one.mask, one.polarity] for one in plan.samples.all},
        "classes": plan.samples.classes.names,
        "trials": {one.name: [one.seed, one.part.train, one.part.test] for one in plan.trials},
        "scores": [study.thin, study.tolerance_px, study.tolerance_nm],
        "segmenting": study.segmenting.model_dump(mode="json"),
        "systems": {one.name: one.settings.model_dump(mode="json") for one in plan.systems},
    }
    values: dict[str, Any] = json.loads(json.dumps(described))
    return values


def _refuse_other(out: Path, wanted: dict[str, Any], earlier: dict[str, Any]) -> None:
    """Raise if the study in `out` is another one than is wanted now."""
    for key in wanted:
        if key != "systems" and wanted[key] != earlier.get(key):
            raise CellsegError(
                f"{out}: the study there has other {key}", "the same to go on", "choose another folder"
            )
    for name, settings in wanted["systems"].items():
        before = earlier["systems"].get(name, settings)
        changed = [key for key in settings if settings[key] != before.get(key)]
        if changed:
            raise CellsegError(
                f"{out}: system {name!r} was trained with another {', '.join(changed)}",
                "the same settings to go on",
                "give the system another name, or choose another folder",
            )


def _remove(out: Path, earlier: dict[str, Any]) -> None:
    for name in earlier["systems"]:
        if Path(name).name == name:  # nothing outside, whatever the file says
            shutil.rmtree(out / name, ignore_errors=True)
    for name in (PLAN, *REPORTS):
        (out / name).unlink(missing_ok=True)


@contextmanager
def _sole_use(out: Path) -> Iterator[None]:
    """Make the folder and hold it against a second study in it."""
    if out.exists() and not out.is_dir():
        raise CellsegError(f"{out}: is a file", "a folder to make", "choose another name")
    note = out / RUNNING
    other = running(note)
    if other is not None:
        raise CellsegError(
            f"{out}: a study is running there (process {other.pid})", remedy="wait for it, or end it"
        )
    write_json(note, note_of())
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
