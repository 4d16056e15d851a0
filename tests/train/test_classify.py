import json
import shutil
from itertools import takewhile

import numpy as np
import pytest
import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.model import load_model, read_spec
from napari_cellseg.train.cell_tables import read_predictions
from napari_cellseg.train.classify import train_classifier
from napari_cellseg.train.records import Epoch, Finished, Reading, Started, Step, from_line
from napari_cellseg.train.run import stop_file

FROZEN = {"architecture": "cells-small", "frozen": True, "head": "I", "views": 1, "measured": "none"}


def trained(run, **more):
    return list(train_classifier(run, **more))


def weights(run):
    return load_model(run / "best.safetensors", task="classify").net.state_dict()


def test_a_training_from_folder_to_model(make_crop_run):
    run = make_crop_run(epochs=8, baseline=True, wanted_precision=0.9)
    records = trained(run)
    started = next(record for record in records if isinstance(record, Started))
    epochs = [record for record in records if isinstance(record, Epoch)]
    assert (started.train_windows, started.validation_windows) == (48, 13)
    assert len(epochs) == 8
    assert epochs[-1].validation_accuracy > 0.8
    assert set(epochs[-1].dice) == {"bar", "dark disc ü", "disc"}
    finished = records[-1]
    assert isinstance(finished, Finished)
    assert finished.reason == "done"
    assert finished.score > 0.8
    spec = read_spec(run / "best.safetensors", task="classify")
    assert spec.classes == ("bar", "dark disc ü", "disc")
    assert len(spec.thresholds) == 3
    assert spec.provenance["cells"] == {"train": 48, "validation": 13, "calibration": 8, "test": 11}
    for name in ("predictions.csv", "baseline.csv"):
        said = read_predictions(run / name)
        assert len(said) == 80
        np.testing.assert_allclose(said.probabilities.sum(1), 1, atol=1e-4)
        assert (said.part("test").probabilities.argmax(1) == said.part("test").truth).mean() > 0.8
    lines = (run / "events.jsonl").read_text().splitlines()
    kept = [record for record in records if not isinstance(record, Reading)]
    assert [type(from_line(line)) for line in lines] == [type(record) for record in kept]
    assert not (run / "cache").exists()


def test_what_the_table_says_is_what_the_model_says(make_crop_run):
    from napari_cellseg.images.crops import read_crops
    from napari_cellseg.predict.classify import classify

    run = make_crop_run(measured="all", views=8, members=2, epochs=2)
    trained(run)
    said = read_predictions(run / "predictions.csv")
    crops = read_crops(json.loads((run / "data.json").read_text())["path"])
    model = load_model(run / "best.safetensors", task="classify")
    found = np.concatenate([batch.probabilities for batch in classify(crops, model)])
    assert crops.ids.tolist() == said.ids.tolist()
    np.testing.assert_allclose(found, said.probabilities, atol=5e-3)  # pictures are kept as float16


def test_resumed_is_as_not_interrupted(make_crop_run):
    whole, torn = make_crop_run("whole"), make_crop_run("torn")
    trained(whole)
    training = train_classifier(torn)
    for record in training:
        if isinstance(record, Epoch) and record.epoch == 2:
            stop_file(torn).touch()
    assert record.reason == "cancelled"
    with pytest.raises(CellsegError, match="trained already"):
        trained(torn)
    assert trained(torn, resume=True)[-1].reason == "done"
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(torn)[name], tensor, msg=name)


def test_resumed_without_a_best(make_crop_run):
    run = make_crop_run(epochs=2, **FROZEN)
    trained(run)
    (run / "best.safetensors").unlink()  # the process was killed between the two files
    finished = trained(run, resume=True)[-1]
    assert finished.reason == "done"
    assert (
        read_spec(run / "best.safetensors", task="classify").provenance["best_epoch"] == finished.best_epoch
    )


def test_closing_keeps_the_best(make_crop_run):
    run = make_crop_run()
    training = train_classifier(run)
    list(takewhile(lambda record: not isinstance(record, Epoch), training))
    training.close()
    assert read_spec(run / "best.safetensors", task="classify").temperature == 1.0
    assert not (run / "cache").exists()


def test_frozen_cells_are_embedded_once(make_crop_run, tmp_path):
    shared = {"embeddings": str(tmp_path / "embedded")}
    first = trained(make_crop_run("one", data=shared, **FROZEN))
    assert any(record.what == "embedding cells" for record in first if isinstance(record, Reading))
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "embedded").iterdir()}
    assert len(files) == 3  # features, digests, bounds
    second = trained(make_crop_run("two", data=shared, **FROZEN | {"head": "linear"}))
    assert not any(record.what == "embedding cells" for record in second if isinstance(record, Reading))
    assert files == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "embedded").iterdir()}
    state = weights(tmp_path / "two")
    assert any(name.startswith("backbones.") for name in state)  # the file is whole without the cache


def test_measurements_stand_in_for_weights_that_cannot_be_had(make_crop_run, monkeypatch):
    monkeypatch.setattr("napari_cellseg.nets.classifiers.hub_file", lambda name: (None, "no network"))
    asked = {"architecture": "resnet18", "frozen": True, "pretrained": True, "head": "linear", "views": 1}
    run = make_crop_run(measured="all", epochs=20, **asked)
    records = trained(run)
    started = next(record for record in records if isinstance(record, Started))
    assert "no ImageNet weights for resnet18 (no network)" in started.notices[-1]
    assert "measured on them alone" in started.notices[-1]
    assert started.parameters < 1000
    spec = read_spec(run / "best.safetensors", task="classify")
    assert spec.architecture == "measured"
    said = read_predictions(run / "predictions.csv").part("test")
    assert (said.probabilities.argmax(1) == said.truth).mean() > 0.8
    # One that is not told measurements has only the network; its features get a scale.
    trained(make_crop_run("alone", measured="none", epochs=1, **asked))
    net = load_model(run.parent / "alone" / "best.safetensors", task="classify").net
    assert not torch.equal(net.spread, torch.ones_like(net.spread))


def test_corrected_labels_come_from_the_run(make_crop_run, crops_folder):
    path = crops_folder((12, 12, 0))
    run = make_crop_run(path=path, data={"labels": {"s0_0000": "bar", "s1_0001": ""}}, epochs=1, **FROZEN)
    trained(run)
    said = read_predictions(run / "predictions.csv")
    assert len(said) == 23
    assert said.classes[said.truth[said.ids.tolist().index("s0_0000")]] == "bar"


def test_damaged_cells_are_named_and_stop_nothing(make_crop_run, crops_folder):
    path = crops_folder()
    damaged = next((path / "bar").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:100])
    records = trained(make_crop_run(path=path, epochs=1))
    started = next(record for record in records if isinstance(record, Started))
    assert any("1 cells are left out" in notice and damaged.name in notice for notice in started.notices)
    assert isinstance(records[-1], Finished)


def test_a_listed_test_part(make_crop_run):
    ids = ("s0_0000", "s1_1001")
    run = make_crop_run(data={"test": ids}, epochs=1)
    trained(run)
    assert sorted(json.loads((run / "split.json").read_text())["test"]) == sorted(ids)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"channels": "Ch7"}, "no channel 'Ch7'"),
        ({"head": "V"}, "unknown head"),
        ({"architecture": "resnet51"}, "unknown network"),
        ({"frozen": True, "members": 2}, "members = 2 beside a frozen network"),
        ({"rgb": True}, "2 channels"),
    ],
)
def test_settings_that_do_not_go_together(make_crop_run, changes, line):
    with pytest.raises(CellsegError, match=line):
        trained(make_crop_run(**changes))


def test_one_class_is_an_error(make_crop_run, crops_folder):
    with pytest.raises(CellsegError, match="expected at least two classes"):
        trained(make_crop_run(path=crops_folder((5, 0, 0))))


def test_early_stopping_and_time(make_crop_run):
    run = make_crop_run(epochs=50, patience=1, learning_rate=1e-6, schedule="constant")
    assert trained(run)[-1].reason == "early stopping"
    shutil.rmtree(run)
    records = trained(make_crop_run(minutes=1e-4))
    assert records[-1].reason == "time"
    assert sum(isinstance(record, Epoch) for record in records) == 1
    assert sum(isinstance(record, Step) for record in records) >= 1
