import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import ClassifierSettings
from napari_cellseg.train.crop_split import split_crops

SETTINGS = ClassifierSettings()


def split(labels, samples=None, doubles=(), **more):
    settings = SETTINGS.model_copy(update=more.pop("settings", {}))
    samples = [""] * len(labels) if samples is None else samples
    return split_crops(labels, samples, list(doubles), settings=settings, **more)


@pytest.mark.parametrize("labels", [[], ["a"] * 9])
def test_one_class_or_none_is_an_error(labels):
    with pytest.raises(CellsegError, match="expected at least two classes"):
        split(labels)


def test_a_class_of_one_cell_is_learned_from_and_named():
    found = split([*["a"] * 30, *["b"] * 30, "rare"])
    assert 60 in found.train
    assert any("One cell only: rare" in notice for notice in found.notices)


@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=120),
    st.integers(0, 5),
    st.integers(1, 12),
    st.data(),
)
def test_every_cell_is_in_one_part_and_every_class_is_learned(classes, seed, groups, data):
    labels = [f"class {number}" for number in classes]
    samples = [f"s{data.draw(st.integers(1, groups))}" for _ in labels]
    pairs = [np.array([0, len(labels) - 1])] if len(labels) > 4 else []
    if len(set(labels)) < 2:
        return
    found = split(labels, samples, pairs, settings={"seed": seed})
    parts = list(found.parts.values())
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert set(np.array(labels)[found.train]) == set(labels)
    for pair in pairs:  # doubles are on one side
        assert sum(bool(np.isin(pair, part).any()) for part in parts) == 1


def test_classes_are_held_out_in_their_shares():
    found = split(["a"] * 400 + ["b"] * 100)
    labels = np.array(["a"] * 400 + ["b"] * 100)
    for part, share in ((found.test, 0.15), (found.validation, 0.15), (found.calibration, 0.1)):
        assert len(part) == pytest.approx(500 * share, abs=2)
        assert (labels[part] == "b").mean() == pytest.approx(0.2, abs=0.02)


def test_samples_stay_together_where_there_are_enough():
    labels = ["a", "b", "c"] * 80
    samples = [f"day {number // 24}" for number in range(240)]
    found = split(labels, samples)
    names = np.array(samples)
    assert not set(names[found.test]) & set(names[found.train])
    assert not set(names[found.validation]) & set(names[found.train])
    assert set(names[found.calibration]) <= set(names[found.train])
    assert not found.notices


def test_two_samples_cannot_be_kept_apart_and_that_is_said():
    found = split(["a", "b"] * 40, ["x"] * 40 + ["y"] * 40)
    assert len(found.test)
    assert any("Too few samples (2)" in notice for notice in found.notices)
    quiet = split(["a", "b"] * 40, ["x"] * 40 + ["y"] * 40, settings={"by_sample": False})
    assert not quiet.notices


def test_class_and_sample_that_are_one_are_told_loudly():
    found = split(["a"] * 40 + ["b"] * 40, ["monday"] * 40 + ["tuesday"] * 40)
    assert found.notices[0].startswith("WARNING: class and sample cannot be told apart: 100 %")
    part = split(["a", "b"] * 30 + ["c"] * 20, (["x", "x", "y", "y"] * 15) + ["z"] * 20)
    assert any(notice == "WARNING: in one sample only: c." for notice in part.notices)


def test_a_sample_for_every_cell_groups_nothing():
    labels = ["a", "b"] * 30
    assert not split(labels, [str(number) for number in range(60)]).notices


def test_doubles_with_different_labels_are_told():
    found = split(["a", "b"] * 20, doubles=[np.array([0, 1]), np.array([2, 4])])
    assert any("4 cells have a double" in notice for notice in found.notices)
    assert any("1 groups of doubles have labels that contradict" in notice for notice in found.notices)


def test_a_listed_test_part_is_kept_and_its_doubles_are_not_learned():
    labels = ["a", "b"] * 30
    found = split(labels, doubles=[np.array([0, 40])], test=np.array([0, 1, 2, 3]))
    assert found.test.tolist() == [0, 1, 2, 3]
    assert all(40 not in part for part in found.parts.values())
    assert any("1 cells are not learned from" in notice for notice in found.notices)


def test_another_seed_is_another_split():
    labels = ["a", "b"] * 50
    assert split(labels).test.tolist() == split(labels).test.tolist()
    assert split(labels).test.tolist() != split(labels, settings={"seed": 7}).test.tolist()


def test_parts_may_be_left_out():
    found = split(["a", "b"] * 50, settings={"test": 0.0, "calibration": 0.0, "validation": 0.3})
    assert [len(part) for part in found.parts.values()] == [70, 30, 0, 0]
