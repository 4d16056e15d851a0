import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_cellseg.images.project import Project

SCRIPT = Path(__file__).with_name("killed_viewer.py")


def test_a_killed_viewer_loses_at_most_five_seconds(project):
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(project.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        strokes = []
        for line in process.stdout:
            row, col, when = line.split()
            strokes.append((int(row), int(col), float(when)))
            if strokes[-1][2] - strokes[0][2] > 7:
                break
        process.kill()
        killed = time.time()
    labels = Project.open(project.path).labels("bar_1")
    due = [(row, col) for row, col, when in strokes if when < killed - 5]
    assert len(due) >= 3
    for row, col in due:
        assert labels[row, col] == 2, f"the stroke at {row}, {col} is lost"
    assert labels.max() == pytest.approx(2)
