"""`napari-cellseg study`."""

import sys
from pathlib import Path

from napari_cellseg.cli.app import INTERRUPTED, OK, SOME_FAILED, Flag, app
from napari_cellseg.cli.demo import check_napari
from napari_cellseg.errors import CellsegError


@app.command
def study(
    study_file: Path | None = None,
    /,
    *,
    out: Path | None = None,
    view: Path | None = None,
    resume: Flag = False,
    overwrite: Flag = False,
) -> int:
    """Train several systems on one split, score them alike, rank them: OUT/report.html and more.

    Parameters
    ----------
    study_file
        STUDY.yaml: images and masks, or crops of single cells; split, systems; see the
        documentation for all keys.
    out
        Folder to make: report.html, study.md, study.csv, study.json, and a folder for each system.
    view
        Open the finished study in this folder in napari, instead.
    resume
        Go on with an interrupted study: what is finished is kept, what failed is tried again.
    overwrite
        Replace the study in OUT.
    """
    if view is not None:
        if study_file is not None or out is not None:
            raise CellsegError("both a study to make and one to --view", "one of them")
        return _view(view)
    if study_file is None or out is None:
        raise CellsegError("no STUDY.yaml" if study_file is None else "no --out", "both, or --view FOLDER")
    if resume and overwrite:
        raise CellsegError("both --resume and --overwrite", "one of them")
    return _run(study_file, out, resume=resume, overwrite=overwrite)


def _run(study_file: Path, out: Path, *, resume: bool, overwrite: bool) -> int:
    from napari_cellseg.report.progress import Progress, duration
    from napari_cellseg.report.study.cells.results import CellReport
    from napari_cellseg.report.study.run import StudyDone, StudyStarted, StudyStep, run_study
    from napari_cellseg.report.study.words import count, verdict

    try:
        with Progress("study") as progress:
            for record in run_study(study_file, out, resume=resume, overwrite=overwrite):
                if isinstance(record, StudyStep):
                    progress.show(record.share, 1, record.text)
                elif isinstance(record, StudyStarted):
                    trainings = count(record.systems * record.trials, "training")
                    progress.say(f"{count(record.systems, 'system')}, {trainings} together")
                    for notice in record.notices:
                        progress.say(notice)
                elif isinstance(record, StudyDone):
                    report = record.report
                else:
                    said = record.message or duration(record.seconds)
                    progress.say(f"{record.system} {record.trial}: {record.status}, {said}")
    except KeyboardInterrupt:
        print(
            "napari-cellseg: interrupted; what was finished is kept; give the same command with --resume",
            file=sys.stderr,
        )
        return INTERRUPTED
    for sentence in report.verdict() if isinstance(report, CellReport) else verdict(report):
        print(sentence)
    print(out / "report.html")
    failed = [system.name for system in report.systems if system.failures]
    if failed:
        print(f"napari-cellseg: failed: {', '.join(failed)}; the others are ranked", file=sys.stderr)
    return SOME_FAILED if failed else OK


def _view(folder: Path) -> int:
    import subprocess

    check_napari()
    # A process of its own: the command line never imports the viewer.
    return subprocess.call([sys.executable, "-m", "napari_cellseg.gui.study", str(folder)])
