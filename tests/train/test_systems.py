"""What the published systems ask of a training: rates, thresholds, whole images, several outputs."""

import json

import numpy as np
import pytest

from napari_cellseg.nets.model import load_model, read_spec
from napari_cellseg.predict.segment import segment
from napari_cellseg.train.records import Epoch, RateFound, RateTrial, Started
from napari_cellseg.train.run import read_annotations
from napari_cellseg.train.segment import train

from .conftest import squares
from .test_segment import assert_same_training, epochs


def test_rate_is_looked_for_and_remembered(make_run):
    run = make_run(epochs=2, find_rate=True)
    records = list(train(run))
    found = next(record for record in records if isinstance(record, RateFound))
    trials = [record for record in records if isinstance(record, RateTrial)]
    assert trials[0].rate < found.rate <= trials[-1].rate
    assert json.loads((run / "rate.json").read_text())["rate"] == found.rate
    assert max(record.learning_rate for record in epochs(records)) <= found.rate


def test_rate_is_not_looked_for_again_on_resume(make_run):
    whole, halved = (make_run(name, epochs=2, find_rate=True) for name in ("whole", "halved"))
    list(train(whole))
    for record in train(halved):
        if isinstance(record, Epoch):
            (halved / "stop").touch()
    again = list(train(halved, resume=True))
    assert not any(isinstance(record, RateTrial) for record in again)
    assert_same_training(whole, halved)


def test_threshold_is_chosen_on_validation(make_run):
    run = make_run()
    finished = list(train(run))[-1]
    assert 0 < finished.threshold < 1
    assert read_spec(run / "best.safetensors").threshold == finished.threshold


def test_strokes_choose_no_threshold(make_run):
    image, labels = squares(0)
    labels[:, 40:60] = 0
    finished = list(train(make_run(images={"a": (image, labels)})))[-1]
    assert finished.threshold is None


def test_three_classes_have_no_threshold(make_run):
    images = {name: squares(k, classes=2) for k, name in enumerate("ab")}
    finished = list(train(make_run(images=images, classes=("square", "hole"))))[-1]
    assert finished.threshold is None


def test_a_class_left_out_is_neither_learned_nor_scored(make_run):
    images = {name: squares(k, classes=2) for k, name in enumerate("ab")}
    run = make_run(images=images, classes=("square", "Noise"), left_out="Noise")
    records = list(train(run))
    assert read_spec(run / "best.safetensors").classes.targets == ("square",)
    assert set(epochs(records)[0].dice) == {"square"}


@pytest.mark.parametrize(
    "changes",
    [
        {"prepare": "resize", "window_px": 48, "steps": None},
        {"architecture": "unet-nested", "deep_supervision": True, "depth": 3, "width": 4},
        {"architecture": "pspnet", "depth": None, "width": None},
        {"optimiser": "adam", "shear_degrees": 5.0, "shift": 0.1, "shrink": 2.0},
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_systems_train_segment_and_resume(make_run, changes):
    run = make_run(**changes)
    records = list(train(run))
    assert all(0 <= record.train_accuracy <= 1 for record in epochs(records))
    assert all(0 <= record.validation_accuracy <= 1 for record in epochs(records))
    model = load_model(run / "best.safetensors")
    image = read_annotations(run)[0].image
    probabilities = segment(image, model).compute(scheduler="synchronous")
    assert probabilities.shape == (2, *image.shape)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-4)


def test_steps_left_empty_see_every_image_once(make_run):
    images = {name: squares(k) for k, name in enumerate("abcde")}
    run = make_run(images=images, prepare="resize", window_px=48, steps=None, batch=3, epochs=1)
    started = next(record for record in train(run) if isinstance(record, Started))
    assert (started.train_images, started.train_windows) == (4, 6)
