"""`napari-cellseg demo`."""

import sys
from pathlib import Path

from napari_cellseg.cli.app import OK, Flag, app
from napari_cellseg.errors import CellsegError


@app.command
def demo(out: Path, *, view: Flag = False, seed: int = 1, overwrite: Flag = False) -> int:
    """Simulate micrographs, annotate, train, segment, trace, find troponin, score, write OUT/report.html.

    Parameters
    ----------
    out
        Folder to make.
    view
        Open the result in napari.
    seed
        Seed of the micrographs and of the training.
    overwrite
        Replace an earlier demo in OUT.
    """
    if view:
        check_napari()
    from napari_cellseg.report.demo import DemoSettings, DemoStep, run_demo
    from napari_cellseg.report.progress import Progress, duration

    with Progress("demo") as progress:
        for record in run_demo(out, settings=DemoSettings(seed=seed), overwrite=overwrite):
            if isinstance(record, DemoStep):
                progress.show(record.share, 1, record.text)
            else:
                result = record
    score = result.scores["classes"]["filament"]["f1"] or 0.0
    whole, points = result.tracing, result.troponin
    troponin = points if isinstance(points, str) else f"F1 {points.scores.f1 or 0.0:.3f} within 4 nm"
    print(f"F1 {score:.3f} of filament on the unseen micrograph, {duration(sum(result.seconds.values()))}")
    print(f"{whole.whole} of {whole.filaments} filaments in one piece; troponin: {troponin}")
    print(result.report)
    return _view(out) if view else OK


def check_napari() -> None:
    """Refuse to go on where napari is not installed."""
    from importlib.util import find_spec

    if find_spec("napari") is None:
        raise CellsegError(
            "napari is not installed", "napari for --view", "run: pip install 'napari-cellseg[all]'"
        )


def _view(out: Path) -> int:
    import subprocess

    # A process of its own: the command line never imports the viewer.
    return subprocess.call([sys.executable, "-m", "napari_cellseg.gui.view", str(out)])
