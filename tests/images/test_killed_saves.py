"""A kill -9 at any moment leaves the former plane or the new one, whole."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.label_planes import CHUNK_PX
from napari_cellseg.images.project import Project

ROUNDS = 5


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    tifffile.imwrite(folder / "mic.tif", np.zeros((CHUNK_PX + 10, CHUNK_PX + 7), np.uint8))
    project = Project.create(folder / "p", Classes.of("cell"))
    project.add_image(folder / "mic.tif")
    project.save_labels("mic", np.ones((CHUNK_PX + 10, CHUNK_PX + 7), np.uint8))
    program = [
        sys.executable,
        str(Path(__file__).with_name("killed_saves.py")),
        str(project.path),
        str(ROUNDS),
    ]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_at_random_moments(found):
    rounds = [line for line in found if line["kind"] == "random"]
    assert len(rounds) == ROUNDS
    for line in rounds:
        assert len(line["values"]) == 1, line  # a mixture of two planes has two values
        assert line["confirmed"] <= line["values"][0] <= line["confirmed"] + 1, line
        assert line["leftovers"] == 0, line


def test_a_project_killed_at_every_rename(found):
    calls = [line for line in found if line["kind"] == "project"]
    assert len(calls) > 4
    assert not calls[-1]["killed"]  # the last one ran to its end: every call before it was tried
    assert (calls[-1]["values"], calls[-1]["classes"]) == ([2], 4)
    for line in calls:
        assert line["values"] in ([1], [2]), line
        assert line["values"] == [2] or 2 not in line["confirmed"], line
        assert line["classes"] == 4 or 3 not in line["confirmed"], line
        assert line["leftovers"] == 0, line
    assert {line["values"][0] for line in calls} == {1, 2}
    assert {line["classes"] for line in calls} == {3, 4}


def test_a_folder_killed_at_every_change_of_the_disk(found):
    calls = [line for line in found if line["kind"] == "folder"]
    assert len(calls) > 12
    assert not calls[-1]["killed"]
    for line in calls:
        assert line["values"] in ([1], [2]), line
        assert line["values"] == [2] or not line["confirmed"], line
        assert (line["files"], line["leftovers"]) == (3, 0), line
    assert {line["values"][0] for line in calls} == {1, 2}
