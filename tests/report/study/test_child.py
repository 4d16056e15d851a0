import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.study.child import Child, note_of, running

SLEEP = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]


def sleeping(child, command=SLEEP):
    """Let a child do something that takes no time to start."""
    child.command = command
    return child


def test_what_a_command_prints_and_takes(tmp_path):
    child = Child(["list", "losses", "--json"], tmp_path / "a" / "list.log")
    assert json.loads("".join(child.lines()))
    assert child.seconds > 0
    assert child.peak_mb > 10
    assert not (tmp_path / "a" / "child.json").exists()


def test_an_error_is_the_last_line_it_wrote(tmp_path):
    with pytest.raises(CellsegError, match="neither MODEL nor --run; expected one of them"):
        list(Child(["train"], tmp_path / "train.log").lines())
    assert "neither MODEL" in (tmp_path / "train.log").read_text()


def test_a_child_that_is_killed_says_so(tmp_path):
    child = sleeping(Child([], tmp_path / "s.log"))
    lines = child.lines()
    next(lines)
    os.kill(json.loads((tmp_path / "child.json").read_text())["pid"], 9)
    with pytest.raises(CellsegError, match="runs out of memory"):
        list(lines)


@pytest.mark.parametrize("polite", [True, False])
def test_closing_ends_the_process(tmp_path, polite):
    stop = tmp_path / "stop"
    waits = (
        "import pathlib, time; print('ready', flush=True)\n"
        f"while not pathlib.Path({str(stop)!r}).exists(): time.sleep(0.02)"
    )
    command = [sys.executable, "-c", waits] if polite else SLEEP
    child = sleeping(Child([], tmp_path / "s.log", stop=stop if polite else None), command)
    lines = child.lines()
    next(lines)
    process = running(tmp_path / "child.json")
    lines.close()
    assert process is not None
    assert not process.is_running()
    assert stop.exists() == polite


def test_one_that_outlived_a_killed_study_is_ended_first(tmp_path):
    orphan = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    (tmp_path / "child.json").write_text(json.dumps(note_of(orphan.pid)))
    list(Child(["list", "losses"], tmp_path / "x.log").lines())
    assert orphan.poll() is not None


def test_a_note_names_one_process_only(tmp_path):
    note = tmp_path / "note.json"
    assert running(note) is None
    for text in ("", "[]", '{"pid": -1, "started": 0}', '{"pid": 1}'):
        note.write_text(text)
        assert running(note) is None
    note.write_text(json.dumps(note_of()))
    assert running(note) == psutil.Process()
    note.write_text(json.dumps(note_of() | {"started": time.time() - 1000}))
    assert running(note) is None
    note.write_text(json.dumps({"pid": os.getpid() + 10**6, "started": 0}))
    assert running(note) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no peak of a process")
def test_the_peak_counts_after_memory_is_given_back(tmp_path):
    brief = "import time; held = b'x' * 200_000_000; del held; print('ready', flush=True); time.sleep(1)"
    child = sleeping(Child([], tmp_path / "s.log"), [sys.executable, "-c", brief])
    assert list(child.lines()) == ["ready\n"]
    assert 200 < child.peak_mb < 260
    assert child.seconds > 1
