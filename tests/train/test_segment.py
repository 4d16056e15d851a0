import json
import os
import signal
import subprocess
import sys
from itertools import groupby

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.model import load_model, read_spec
from napari_cellseg.train import checkpoint, planes, segment
from napari_cellseg.train.records import Epoch, Finished, Started, Step, from_line
from napari_cellseg.train.run import read_settings, stop_file
from napari_cellseg.train.segment import train

from .conftest import squares


def kinds(records):
    return [(kind.__name__, len(list(same))) for kind, same in groupby(records, type)]


def epochs(records):
    return [record for record in records if isinstance(record, Epoch)]


def lines(run):
    return [from_line(line) for line in (run / "events.jsonl").read_text().splitlines()]


def assert_same_tensors(one, two):
    one, two = load_file(one), load_file(two)
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name


def assert_same_training(run, other):
    for name in ("last.safetensors", "best.safetensors"):
        assert_same_tensors(run / name, other / name)
    assert (run / "split.json").read_text() == (other / "split.json").read_text()


def without_times(record):
    return [record.epoch, record.train_loss, record.validation_loss, record.score, record.dice, record.best]


@pytest.fixture
def run_until():
    """Return a function that trains until an epoch has ended, and closes the training."""

    def run_until(run, epoch):
        training = train(run)
        while not (isinstance(record := next(training), Epoch) and record.epoch == epoch):
            pass
        next(training)  # with the next step the checkpoint is written
        training.close()

    return run_until


def test_whole_course(make_run):
    run = make_run(epochs=3, steps=2)
    records = list(train(run))
    assert kinds(records) == [
        ("Started", 1), ("Step", 2), ("Epoch", 1), ("Step", 2), ("Epoch", 1), ("Step", 2), ("Epoch", 1),
        ("Finished", 1),
    ]  # fmt: skip
    started, finished = records[0], records[-1]
    assert isinstance(started, Started)
    assert (started.device, started.precision, started.train_windows) == ("cpu", "float32", 4)
    assert (started.train_images, started.validation_images) == (2, 2)
    assert started.parameters > 1e5
    assert [r.step for r in records if isinstance(r, Step)] == [1, 2, 3, 4, 5, 6]
    assert all(r.steps == 6 and r.seconds_left >= 0 for r in records if isinstance(r, Step))
    assert [(r.epoch, r.epochs) for r in epochs(records)] == [(1, 3), (2, 3), (3, 3)]
    best = max(epochs(records), key=lambda r: r.score)
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.best_epoch, finished.score) == ("done", best.epoch, best.score)
    assert finished.model == str(run / "best.safetensors")
    assert lines(run) == records
    expected = {"settings.json", "data.json", "split.json", "environment.json", "events.jsonl"}
    assert {path.name for path in run.iterdir()} == expected | {"best.safetensors", "last.safetensors"}
    check_provenance(run, finished)


def check_provenance(run, finished):
    spec = read_spec(run / "best.safetensors")
    settings = read_settings(run)
    assert (spec.stride, spec.options, spec.halo_px) == (8, {"depth": 3, "width": 4}, finished.halo_px)
    assert spec.provenance["settings"] == settings.model_dump(mode="json")
    assert spec.provenance["images"] == ["a", "b"]
    assert spec.provenance["best_epoch"] == finished.best_epoch
    assert spec.provenance["validation_dice"] == finished.score
    assert spec.provenance["ended"] == "done"
    assert spec.provenance["device"] == "cpu"
    assert "torch" in spec.provenance["versions"]
    assert load_model(run / "best.safetensors").spec == spec
    with pytest.raises(CellsegError, match="has been trained already"):
        list(train(run))


def test_bright_squares_are_learned(make_run):
    run = make_run(epochs=4, steps=8, batch=4, learning_rate=1e-2)
    found = epochs(train(run))
    assert found[-1].train_loss < 0.7 * found[0].train_loss
    assert max(record.score for record in found) > 0.8
    assert found[-1].learning_rate < 1e-2


def test_two_runs_are_the_same(make_run):
    one, two = make_run("one"), make_run("two")
    first, second = epochs(train(one)), epochs(train(two))
    assert [without_times(r) for r in first] == [without_times(r) for r in second]
    assert_same_training(one, two)


def test_another_seed_is_another_run(make_run):
    one, two = make_run("one", epochs=1), make_run("two", epochs=1, seed=1)
    assert epochs(train(one))[0].train_loss != epochs(train(two))[0].train_loss


class TestResume:
    @pytest.mark.parametrize(("after", "share", "taken_up"), [(2, 1e9, 2), (2, 1e-9, 1)])
    def test_going_on_gives_what_no_pause_would(
        self, make_run, run_until, monkeypatch, after, share, taken_up
    ):
        """Also where the last checkpoint is older than the best network."""
        monkeypatch.setattr(checkpoint, "CHECKPOINT_SHARE", share)
        whole, paused = make_run("whole"), make_run("paused")
        expected = epochs(train(whole))
        run_until(paused, after)
        assert not (paused / "cache").exists()
        records = list(train(paused, resume=True))
        assert records[-1].reason == "done"
        assert [without_times(r) for r in epochs(records)] == [without_times(r) for r in expected[taken_up:]]
        assert_same_training(whole, paused)

    def test_before_the_first_checkpoint(self, make_run):
        whole, paused = make_run("whole", epochs=2), make_run("paused", epochs=2)
        list(train(whole))
        training = train(paused)
        next(training), next(training)
        training.close()
        assert not (paused / "last.safetensors").exists()
        list(train(paused, resume=True))
        assert_same_training(whole, paused)

    def test_encoder_weights_are_loaded_again_where_there_is_no_checkpoint(self, make_run, monkeypatch):
        loaded = []
        monkeypatch.setattr(segment, "load_encoder_weights", lambda *_, **__: loaded.append(1) or "loaded")
        run = make_run(pretrained=True, epochs=1)
        first = next(training := train(run, resume=True))
        training.close()
        assert loaded == [1]
        assert "loaded" in first.notices

    def test_of_a_run_that_is_done(self, make_run):
        run = make_run(epochs=1)
        *_, first = train(run)
        before = load_file(run / "best.safetensors")
        records = list(train(run, resume=True))
        assert kinds(records) == [("Started", 1), ("Finished", 1)]
        assert (records[-1].score, records[-1].best_epoch) == (first.score, first.best_epoch)
        assert all(
            torch.equal(tensor, before[name]) for name, tensor in load_file(run / "best.safetensors").items()
        )

    def test_damaged_checkpoint(self, make_run):
        run = make_run(epochs=1)
        list(train(run))
        (run / "last.safetensors").write_bytes(b"half")
        with pytest.raises(CellsegError, match=r"last\.safetensors: damaged"):
            list(train(run, resume=True))

    def test_after_a_kill(self, make_run):
        """A child process that is killed without warning; this one goes on in its place."""
        whole, killed = make_run("whole"), make_run("killed")
        list(train(whole))
        command = [sys.executable, "-m", "napari_cellseg", "train", "--run", str(killed), "--events"]
        # as many threads as here: sums in another order differ in the last digit
        environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
            for line in child.stdout:
                if isinstance(from_line(line), Epoch):
                    break
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        *_, finished = train(killed, resume=True)
        assert finished.reason == "done"
        assert_same_training(whole, killed)


class TestEnding:
    def test_stop_file(self, make_run):
        run = make_run(epochs=50)
        records = []
        for record in train(run):
            records.append(record)
            if isinstance(record, Step) and record.step == 5:  # the first of the third epoch
                stop_file(run).touch()
        assert kinds(records)[-2:] == [("Step", 1), ("Finished", 1)]
        assert records[-1].reason == "cancelled"
        assert records[-1].best_epoch in (1, 2)
        assert load_model(run / "best.safetensors").spec.provenance["ended"] == "cancelled"
        assert not (run / "cache").exists()
        # the old file does not stop the next one
        training = train(run, resume=True)
        assert isinstance(next(training), Started)
        assert isinstance(next(training), Step)
        assert isinstance(next(training), Step)
        training.close()

    def test_stop_in_the_first_epoch_leaves_a_model(self, make_run):
        run = make_run(epochs=50, steps=9)
        records = []
        for record in train(run):
            records.append(record)
            stop_file(run).touch()
        assert kinds(records) == [("Started", 1), ("Step", 1), ("Epoch", 1), ("Finished", 1)]
        assert records[-1].reason == "cancelled"
        load_model(run / "best.safetensors")

    def test_closing_keeps_the_best(self, make_run):
        run = make_run(epochs=50)
        training = train(run)
        for record in training:
            if isinstance(record, Epoch):
                assert (run / "cache").is_dir()
                break
        training.close()
        load_model(run / "best.safetensors")
        assert not (run / "cache").exists()
        assert isinstance(lines(run)[-1], Epoch)

    def test_time_limit(self, make_run):
        run = make_run(epochs=1000, steps=1000, minutes=0.01)
        records = list(train(run))
        assert records[-1].reason == "time"
        assert records[-1].seconds < 20
        assert len(epochs(records)) == 1
        load_model(run / "best.safetensors")

    def test_early_stopping(self, make_run):
        run = make_run(epochs=50, steps=1, patience=2, learning_rate=1e-9)
        records = list(train(run))
        found = epochs(records)
        assert records[-1].reason == "early stopping"
        assert len(found) == records[-1].best_epoch + 2 < 50
        assert not any(record.best for record in found[-2:])

    def test_full_disk(self, make_run, monkeypatch):
        run = make_run(epochs=2)

        def refuse(path, *_):
            raise CellsegError(f"{path}: the disk is full")

        monkeypatch.setattr(checkpoint, "save_checkpoint", refuse)
        with pytest.raises(CellsegError, match=r"last\.safetensors: the disk is full"):
            list(train(run))
        load_model(run / "best.safetensors")
        assert not (run / "cache").exists()


class TestInput:
    def test_three_classes_in_three_channels(self, make_run):
        images = {}
        for stem, seed in (("a", 0), ("b", 1)):
            image, labels = squares(seed, classes=2)
            images[stem] = (np.stack([image, image / 2, 200 - image]), labels)
        run = make_run(
            images=images, classes=("bright", "dark"), class_weighting="balanced", epochs=2, steps=4
        )
        records = list(train(run))
        assert set(epochs(records)[-1].dice) == {"bright", "dark"}
        spec = read_spec(run / "best.safetensors")
        assert (spec.channels, spec.outputs) == (3, 3)

    @pytest.mark.parametrize("loss", ["dice", "ce"])
    @pytest.mark.parametrize("schedule", ["cosine", "constant"])
    def test_other_losses_and_schedules(self, make_run, loss, schedule):
        run = make_run(epochs=1, loss=loss, schedule=schedule)
        (epoch,) = epochs(train(run))
        assert np.isfinite([epoch.train_loss, epoch.validation_loss]).all()

    def test_half_precision(self, make_run):
        records = list(train(make_run(epochs=1, precision="bfloat16")))
        assert records[0].precision == "bfloat16"
        assert np.isfinite(epochs(records)[0].train_loss)

    def test_a_class_nobody_painted_is_said(self, make_run):
        run = make_run(classes=("square", "ghost"), epochs=1)
        records = list(train(run))
        assert any("'ghost' is nowhere annotated" in notice for notice in records[0].notices)
        assert epochs(records)[0].dice["ghost"] is None

    def test_one_class_only(self, make_run):
        image, labels = squares(0)
        run = make_run(images={"a": (image, np.minimum(labels, 1)), "b": (image, np.minimum(labels, 1))})
        with pytest.raises(CellsegError, match="only 'background' is annotated"):
            list(train(run))

    def test_one_image(self, make_run):
        records = list(train(make_run(images={"a": squares(0)}, epochs=1)))
        assert (records[0].train_images, records[0].validation_images) == (1, 1)

    @pytest.mark.parametrize("value", [7.0, np.nan])
    def test_image_without_a_picture(self, make_run, value):
        image, labels = squares(0)
        records = list(train(make_run(images={"a": (np.full_like(image, value), labels)}, epochs=1)))
        assert np.isfinite(epochs(records)[0].train_loss)

    @pytest.mark.parametrize(
        ("changes", "found"),
        [
            ({"loss": "luck"}, "unknown loss 'luck'; expected one of dice"),
            ({"architecture": "tree"}, "unknown architecture 'tree'"),
            ({"encoder": "tree"}, "unknown encoder 'tree'"),
            ({"window_px": 36}, "window of 36 px; expected a multiple of 8"),
            ({"pretrained": True, "weights_file": "/nowhere/a.safetensors"}, "/nowhere/a.safetensors"),
        ],
    )
    def test_settings_that_cannot_be(self, make_run, changes, found):
        with pytest.raises(CellsegError, match=found):
            list(train(make_run(**changes)))

    def test_no_run(self, tmp_path):
        with pytest.raises(CellsegError, match=r"settings\.json: no such file"):
            list(train(tmp_path / "nowhere"))
        assert not list(tmp_path.iterdir())

    def test_planes_on_disk_train_alike(self, make_run, monkeypatch):
        one, two = make_run("one", epochs=1), make_run("two", epochs=1)
        list(train(one))
        monkeypatch.setattr(planes, "MEMORY_SHARE", 0)
        list(train(two))
        assert_same_training(one, two)
        assert not (two / "cache").exists()


def test_events_are_json(make_run):
    run = make_run(epochs=1)
    records = list(train(run))
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert events == ["started", "step", "step", "epoch", "finished"]
    assert len(records) == len(events)


def test_a_working_pixel_size_without_pixel_sizes_is_said(make_run):
    started = next(iter(train(make_run(pixel_nm=2.0))))
    assert any("2 of 2 images have no pixel size (a)" in notice for notice in started.notices)
    assert not any("pixel size" in notice for notice in next(iter(train(make_run("other")))).notices)


def test_a_model_may_be_read_by_whoever_may_read_the_folder(make_run, tmp_path):
    run = make_run(epochs=1)
    list(train(run))
    (tmp_path / "plain").touch()
    modes = {(run / f"{name}.safetensors").stat().st_mode for name in ("best", "last")}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_a_disk_that_is_full_at_the_end_leaves_no_cache(make_run, monkeypatch):
    run = make_run(epochs=2)
    records = train(run)
    while not isinstance(next(records), Epoch):
        pass

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_tensors", full)
    with pytest.raises(OSError, match="No space"):
        records.close()
    assert not (run / "cache").exists()


def test_a_training_settles_at_its_end(make_run, monkeypatch):
    seen = []
    real = segment.augment
    monkeypatch.setattr(segment, "augment", lambda *a, **k: (seen.append(k["moved"]), real(*a, **k))[1])
    list(train(make_run(epochs=5, steps=2, settle=0.4)))
    assert seen == [True] * 6 + [False] * 4
