import os
import shutil
import signal
import sys
from importlib import import_module
from pathlib import Path

import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui import train as train_module
from napari_cellseg.gui.train import TrainDock
from napari_cellseg.images.project import Project

FAKE = Path(__file__).with_name("fake_training.py")


@pytest.fixture
def trained_file(tmp_path) -> Path:
    path = tmp_path / "fake.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def dock(make_napari_viewer_proxy, monkeypatch, trained_file):
    """A Train dock whose child process only talks."""

    def command(run, *, resume=False):
        shutil.copy(trained_file, run / "best.safetensors")
        shutil.copy(trained_file, run / "last.safetensors")
        pace = ("30", "60") if monkeypatched["slow"] else ("0.2", "4")
        return [sys.executable, str(FAKE), str(run), *pace, "done"]

    monkeypatched = {"slow": False}
    monkeypatch.setattr(train_module, "train_command", command)
    viewer = make_napari_viewer_proxy()
    made = TrainDock(viewer)
    made.slow = monkeypatched
    viewer.window.add_dock_widget(made, name="Train")
    return made


@pytest.fixture
def annotated(project) -> Project:
    labels = project.labels("bar_1")
    labels[28:36], labels[:8] = 2, 1
    project.save_labels("bar_1", labels)
    return project


def ready(dock):
    return lambda: dock.start_button.isEnabled()


def test_it_says_why_it_cannot_start(qtbot, dock, project):
    assert "no image of a project is open" in dock.reason.text()
    assert not dock.start_button.isEnabled()
    dock.set_project(project)
    qtbot.waitUntil(lambda: "no image is annotated" in dock.reason.text())
    labels = project.labels("bar_1")
    labels[:8] = 2
    project.save_labels("bar_1", labels)
    qtbot.waitUntil(lambda: "only 'bar' is annotated" in dock.reason.text(), timeout=60_000)
    labels[20:28] = 1
    project.save_labels("bar_1", labels)
    qtbot.waitUntil(ready(dock), timeout=60_000)
    assert "bar 640 px" in dock.reason.text()


def test_a_training_is_drawn_and_its_model_kept(qtbot, dock, annotated):
    dock.set_project(annotated)
    qtbot.waitUntil(ready(dock))
    dock.model_name.setText("bars")
    for expected in ("bars", "bars-2"):
        dock.start()
        assert not dock.start_button.isEnabled()
        qtbot.waitUntil(lambda: dock.job is None, timeout=90_000)
        assert (annotated.path / "models" / f"{expected}.safetensors").exists()
    assert len(dock.curves.epochs) == 4
    assert "Done" in dock.message.text()
    assert dock.bar.value() == dock.bar.maximum()
    assert dock.bar.format() == "%p %"


def test_a_model_that_cannot_be_copied_is_told_and_stays_in_its_run(qtbot, dock, annotated, monkeypatch):
    def full(*paths):
        raise CellsegError("models/model-1.safetensors: the disk is full")

    # by name monkeypatch would find the function `train` of the package, and torch with it
    monkeypatch.setattr(import_module("napari_cellseg.train.files"), "copy_model", full)
    dock.set_project(annotated)
    qtbot.waitUntil(ready(dock))
    dock.start()
    qtbot.waitUntil(lambda: dock.job is None, timeout=90_000)
    assert "the disk is full" in dock.message.text()
    assert "best.safetensors" in dock.message.text()


def test_stopping_keeps_the_best_network(qtbot, dock, annotated):
    dock.slow["slow"] = True
    dock.set_project(annotated)
    qtbot.waitUntil(ready(dock))
    dock.start()
    qtbot.waitUntil(lambda: "Training on" in dock.message.text(), timeout=90_000)
    dock.stop()
    qtbot.waitUntil(lambda: dock.job is None, timeout=90_000)
    assert "Stopped" in dock.message.text()
    assert (annotated.path / "models" / "model-1.safetensors").exists()


def test_a_killed_training_leaves_a_message_and_can_be_resumed(qtbot, dock, annotated):
    dock.slow["slow"] = True
    dock.set_project(annotated)
    qtbot.waitUntil(ready(dock))
    dock.start()
    qtbot.waitUntil(lambda: "Training on" in dock.message.text(), timeout=90_000)
    os.kill(dock.child.process.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: dock.job is None, timeout=90_000)
    assert "killed (signal 9" in dock.message.text()
    assert "Resume" in dock.message.text()
    assert annotated.labels("bar_1").any()
    assert dock.resume_button.isEnabled()
    dock.slow["slow"] = False
    dock.resume()
    qtbot.waitUntil(lambda: dock.job is None, timeout=90_000)
    assert "Done" in dock.message.text()


def test_a_wrong_setting_is_shown_and_nothing_starts(qtbot, dock, annotated):
    dock.set_project(annotated)
    qtbot.waitUntil(ready(dock))
    dock.form.rows["minutes"].value = "soon"
    dock.start()
    assert "soon" in dock.message.text()
    assert dock.job is None
    assert annotated.runs() == ()


def test_a_preset_fills_in_the_form(dock):
    dock.form.rows["preset"].value = "filament-best"
    assert "filaments" in dock.about_preset.text()
    assert dock.form.settings().pixel_nm == 0.8


def test_curves_draw_whatever_comes(qtbot, dock):
    from napari_cellseg.train.records import Epoch

    values = {"learning_rate": 0.1, "seconds": 1.0, "best": False, "dice": {"bar": None}}
    dock.curves.grab()
    dock.curves.add(Epoch(1, 3, 0.5, float("nan"), 0.0, **values))
    dock.curves.add(Epoch(2, 3, 0.0, None, None, **values))
    dock.curves.add(Epoch(2, 3, 1e9, 1.0, 1.0, **values))
    assert not dock.curves.grab().isNull()
    assert [epoch.epoch for epoch in dock.curves.epochs] == [1, 2]
