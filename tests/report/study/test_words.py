"""The sentences: who is first, who is as good, who is worse, on how many images."""

from pathlib import Path

import numpy as np
import pytest

from napari_cellseg.images.annotation import Classes
from napari_cellseg.report.metrics import image_scores
from napari_cellseg.report.study.outcome import Outcome, Training
from napari_cellseg.report.study.results import StudyReport, SystemResult, rank_systems
from napari_cellseg.report.study.tables import csv_text, image_table, ranking_table
from napari_cellseg.report.study.words import alike, lead, verdict, warnings

CLASSES = Classes.of("cell")


def scores(noise, seed):
    """The scores of a bright block of which a share of pixels is wrong."""
    rng = np.random.default_rng(seed)
    truth = np.ones((24, 24), np.uint8)
    truth[6:18, 6:18] = 2
    predicted = np.where(rng.random(truth.shape) < noise, 3 - truth, truth)
    return image_scores(predicted, truth, CLASSES, thin=())


def system(name, noise, images=8, *, trials=("seed-1",), ended="done"):
    """A system that is wrong on this share of the pixels, differently on each image and trial."""
    training = Training(1000, "cpu", "float32", (), 1, ended, 2.0, 500.0)
    outcomes = tuple(
        Outcome(
            name,
            trial,
            training=training,
            scores={
                f"image {k}": scores(noise * (0.5 + k / images), sum(map(ord, name + trial)) + k)
                for k in range(images)
            },
        )
        for trial in trials
    )
    return SystemResult(name, {}, outcomes)


def report(*systems, trials=("seed-1",)):
    ranked = rank_systems(systems)
    names = next((tuple(one.outcomes[0].scores) for one in ranked if one.pooled), ())
    return StudyReport(Path(), "t", "s", CLASSES, (), dict.fromkeys(trials, names), ranked)


def failed(name):
    return SystemResult(name, {}, (Outcome(name, "seed-1", "no memory"),))


def test_nobody_got_through():
    study = report(failed("a"))
    assert lead(study) == "No system got through the study."
    assert warnings(study) == ["a got no rank. seed-1: no memory."]
    assert ranking_table(study).rows[0][2] == "failed"
    assert csv_text(study).splitlines()[1].startswith(",a,failed")


def test_a_single_system_is_first():
    study = report(system("a", 0.1))
    assert lead(study).startswith("a comes first, with a mean F1 of 0.")
    assert lead(study).endswith("on 8 images it never saw.")
    assert len(verdict(study)) == 1


def test_alike_and_worse_are_told_in_words():
    study = report(system("bad", 0.4), system("b", 0.1), system("a", 0.1), failed("x"))
    first, second, third = study.ranked
    assert {first.name, second.name, third.name, study.systems[3].name} == {"a", "b", "bad", "x"}
    assert third.name == "bad"
    assert alike(study, first) == [second.name]
    assert alike(study, second) == [first.name]
    assert alike(study, third) == []
    said = verdict(study)
    assert said[1].startswith(f"{first.name} and {second.name} cannot be told apart on these 8 images: ")
    assert said[2].startswith(f"{first.name} is better than bad (difference +0.")
    assert lead(study).endswith(f"It cannot be told apart from {second.name}.")
    assert ranking_table(study).rows[0][-1] == f"2 {second.name}"
    assert ranking_table(study).rows[2][-1] == "-"


def test_one_image_cannot_say():
    study = report(system("a", 0.1, 1), system("bad", 0.4, 1))
    assert "Whether bad is really worse, 1 image cannot say." in verdict(study)
    assert any("image" in line for line in warnings(study))


def test_a_training_that_ran_out_of_time_is_named():
    study = report(system("a", 0.1, ended="time"), system("b", 0.1))
    assert any("The time budget ended the training of a before" in line for line in warnings(study))


def test_seeds_make_no_more_images():
    trials = ("seed-1", "seed-2", "seed-3")
    one, three = report(system("a", 0.1)), report(system("a", 0.1, trials=trials), trials=trials)
    pooled = three.ranked[0].pooled
    assert pooled["images"] == 8
    assert pooled["pixels"] == 3 * one.ranked[0].pooled["pixels"]
    assert pooled["mean_f1"] == pytest.approx(one.ranked[0].pooled["mean_f1"], abs=0.05)
    low, high = pooled["intervals"]["mean_f1"]
    assert high - low > 0.5 * np.subtract(*one.ranked[0].pooled["intervals"]["mean_f1"][::-1])
    mean = np.mean([outcome.scores["image 0"]["mean_f1"] for outcome in three.ranked[0].outcomes])
    assert image_table(three).rows[0] == ("image 0", f"{mean:.3f}")
