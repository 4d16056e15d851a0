import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.job import Beat, Child, Failed, start_job, train_command
from napari_cellseg.train.records import Epoch, Finished, Started, Step, from_line

FAKE = Path(__file__).with_name("fake_training.py")


def child(run: Path, seconds: float = 0.2, steps: int = 2, end: str = "done", **options) -> Child:
    command = [sys.executable, str(FAKE), str(run), str(seconds), str(steps), end]
    return Child(command, run / "stop", from_line, **options)


def kinds(records) -> list[type]:
    return [type(record) for record in records if not isinstance(record, Beat)]


def test_a_child_tells_its_records_and_nothing_else(tmp_path):
    assert kinds(child(tmp_path).records()) == [Started, Step, Epoch, Step, Epoch, Finished]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("broken", "ended with code 1: the disk is full"),
        ("refused", "only one class is annotated; expected two"),
    ],
)
def test_a_child_that_fails_says_why(tmp_path, end, said):
    last = list(child(tmp_path, end=end).records())[-1]
    assert isinstance(last, Failed)
    assert last.message.endswith(said)
    assert not last.message.startswith("napari-cellseg")


def test_a_killed_child_is_a_message(tmp_path):
    running = child(tmp_path, 30, 30)
    records = running.records()
    next(records)
    os.kill(running.process.pid, signal.SIGKILL)
    last = list(records)[-1]
    assert isinstance(last, Failed)
    assert "killed (signal 9" in last.message
    assert "loss" not in last.message


def test_asked_to_stop_it_ends_by_itself(tmp_path):
    running = child(tmp_path, 30, 300)
    records = running.records()
    next(records)
    running.cancel()
    last = list(records)[-1]
    assert isinstance(last, Finished)
    assert last.reason == "cancelled"
    assert not (tmp_path / "stop").exists()


def test_a_deaf_child_is_terminated_after_the_grace_period(tmp_path):
    running = child(tmp_path, 60, 60, "deaf", grace_seconds=0.3)
    records = running.records()
    next(records)
    started = time.monotonic()
    running.cancel()
    last = list(records)[-1]
    assert isinstance(last, Failed)
    assert time.monotonic() - started < 10


def test_closing_the_records_ends_the_process(tmp_path):
    running = child(tmp_path, 60, 60)
    records = running.records()
    next(records)
    records.close()
    assert running.process.poll() is not None


def test_a_child_runs_at_lower_priority(tmp_path):
    running = child(tmp_path, 5, 50)
    records = running.records()
    next(records)
    assert os.getpriority(os.PRIO_PROCESS, running.process.pid) == 10
    records.close()


def test_the_training_command_is_the_public_one(tmp_path):
    assert train_command(tmp_path, resume=True)[1:] == [
        "-m",
        "napari_cellseg",
        "train",
        "--run",
        str(tmp_path),
        "--events",
        "--resume",
    ]


def test_records_arrive_on_the_main_thread(qtbot):
    seen, ended = [], []

    def steps():
        yield threading.current_thread() is threading.main_thread()

    start_job(
        steps(),
        on_record=lambda record: seen.append((record, threading.current_thread() is threading.main_thread())),
        on_end=lambda: ended.append(True),
    )
    qtbot.waitUntil(lambda: bool(ended))
    assert seen == [(False, True)]


@pytest.mark.parametrize("error", [CellsegError("nothing there"), RuntimeError("CUDA out of memory\ntrace")])
def test_what_can_be_put_right_arrives_as_one_line(qtbot, error):
    seen, ended = [], []

    def steps():
        yield 1
        raise error

    start_job(steps(), on_record=seen.append, on_end=lambda: ended.append(True))
    qtbot.waitUntil(lambda: bool(ended))
    assert isinstance(seen[-1], Failed)
    assert "\n" not in seen[-1].message


def test_quitting_closes_the_steps(qtbot):
    closed, ended = threading.Event(), []

    def steps():
        try:
            while True:
                time.sleep(0.01)
                yield 1
        finally:
            closed.set()

    seen = []
    worker = start_job(steps(), on_record=seen.append, on_end=lambda: ended.append(True))
    qtbot.waitUntil(lambda: bool(seen))
    worker.quit()
    qtbot.waitUntil(lambda: bool(ended))
    assert closed.is_set()
