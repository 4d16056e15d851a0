"""One classifier in one trial: trained in a process of its own, which also says what it makes of the test."""

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

from napari_cellseg.report.study.cells.plan import CellPlan, CellSystem, CellTrial
from napari_cellseg.report.study.child import Child
from napari_cellseg.report.study.outcome import Outcome, read_training
from napari_cellseg.train.crop_run import CropData, prepare_crop_run
from napari_cellseg.train.records import Reading, Step, from_line
from napari_cellseg.train.run import stop_file

RUN, EMBEDDINGS = "run", "embeddings"
READ = 0.2
"""Share of a trial that is behind it when cells are read and embedded."""


def run_cell_trial(
    folder: Path, plan: CellPlan, system: CellSystem, trial: CellTrial
) -> Generator[tuple[float, str], None, Outcome]:
    """Yield the share that is behind us and what goes on; return what came of it.

    What frozen networks make of the cells is kept in the study's folder and shared by all trials.

    Raises
    ------
    CellsegError
        If the system cannot be trained.
    """
    run = folder / RUN
    if not (run / "data.json").is_file():
        embeddings = (folder.parents[1] / EMBEDDINGS).resolve()
        data = CropData(
            plan.crops_path, plan.study.format, plan.study.group, test=trial.test, embeddings=str(embeddings)
        )
        prepare_crop_run(run, data, system.settings.model_copy(update={"seed": trial.seed}))
    yield 0.0, "reading cells"
    arguments = ["train", "--run", str(run), "--resume", "--events"]
    child = Child(arguments, folder / "train.log", stop=stop_file(run))
    with closing(child.lines()) as lines:
        yield from _steps(lines)
    return Outcome(system.name, trial.name, "", read_training(run, peak_mb=child.peak_mb))


def _steps(lines: Iterator[str]) -> Iterator[tuple[float, str]]:
    for line in lines:
        try:
            record = from_line(line)
        except ValueError:  # a library printed it
            continue
        if isinstance(record, Reading):
            yield READ * record.done / record.total, record.what
        elif isinstance(record, Step):
            yield READ + (1 - READ) * record.step / record.steps, f"training, loss {record.loss:.3f}"
