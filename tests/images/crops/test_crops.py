"""The noun: columns that belong together, chosen, grouped and read one at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops, LeftOut, read_each
from napari_cellseg.images.crops.crops import natural, unique_ids


def some(count=4, **more):
    arrays = [np.full((2, 3 + k, 4), k, np.uint16) for k in range(count)]
    return Crops.from_arrays(arrays, **more)


def test_no_crops():
    assert (len(some(0)), some(0).class_names, list(read_each(some(0)))) == (0, (), [])
    assert len(some(3).take([])) == 0
    assert len(some(3).take(np.zeros(3, bool))) == 0


def test_ids_must_differ_and_columns_fit():
    with pytest.raises(CellsegError, match="'1' occurs twice"):
        some().take([0, 0])
    with pytest.raises(CellsegError, match="3 labels for 4 crops"):
        some().with_labels(["a"] * 3)


@given(st.permutations(range(6)), st.integers(0, 6))
def test_take_is_indexing(order, count):
    crops = some(6, labels=list("abcdef")).take(order[:count])
    assert crops.labels.tolist() == ["abcdef"[k] for k in order[:count]]
    assert [int(pixels.max()) for pixels in read_each(crops)] == order[:count]


def test_take_of_a_take_by_mask():
    crops = some(5).take([4, 2, 0]).take(np.array([True, False, True]))
    assert [crops.read(k).shape for k in range(2)] == [(2, 7, 4), (2, 3, 4)]


def test_channels_are_chosen_in_the_order_asked_for():
    pixels = np.arange(3)[:, None, None] * np.ones((3, 2, 2), int)
    crops = Crops.from_arrays([pixels], channels=("Ch1", "Ch2", "Ch12"))
    turned = crops.with_channels(("Ch12", "Ch1"))
    assert (turned.channels, turned.read(0)[:, 0, 0].tolist()) == (("Ch12", "Ch1"), [2, 0])
    assert turned.with_channels(["Ch1"]).read(0)[:, 0, 0].tolist() == [0]
    with pytest.raises(CellsegError, match="no channel 'Ch2'; expected Ch12 or Ch1"):
        turned.with_channels(["Ch2"])


def test_another_number_of_channels_is_named_and_stops_nothing():
    crops = Crops.from_arrays([np.zeros((2, 3, 3)), np.zeros((1, 3, 3)), np.ones((2, 3, 3))])
    kinds = [type(one) for one in read_each(crops)]
    assert kinds == [np.ndarray, LeftOut, np.ndarray]


def test_class_names_keep_their_letters_in_natural_order():
    crops = some(5, labels=["class 10", "class 2", "Водоросль", "", "藻類"])
    assert crops.class_names == ("class 2", "class 10", "Водоросль", "藻類")


def test_samples_by_pattern():
    crops = some(3)
    with pytest.raises(CellsegError, match="fits no file name"):
        crops.with_samples("day")
    with pytest.raises(CellsegError, match="expected a regular expression"):
        crops.with_samples("(")


@given(st.lists(st.text("ab01 é", max_size=6), max_size=8))
def test_natural_order_is_total(names):
    backwards = names[::-1]
    assert sorted(backwards, key=natural) == sorted(names, key=natural)


@given(st.lists(st.tuples(st.sampled_from("123"), st.sampled_from(["", "A", "B", "A/B"])), unique=True))
def test_ids_are_unique_whenever_files_are(files):
    ids = unique_ids([stem for stem, _ in files], [folder for _, folder in files]).tolist()
    assert len(set(ids)) == len(files)


def test_a_hundred_thousand_crops_take_little_memory():
    count = 100_000
    names = np.char.add("sample-2024-04-08_", np.arange(count).astype(np.str_))
    empty = np.full(count, "", np.str_)
    crops = Crops("many", names, empty, empty, names, ("grey",), some().source)
    held = sum(getattr(crops, key).nbytes for key in ("ids", "samples", "labels", "paths", "rows"))
    assert held < 50e6
    assert len(crops.take(np.arange(count) % 2 == 0)) == count // 2
