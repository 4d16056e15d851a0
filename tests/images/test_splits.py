import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.splits import split_images, split_windows, window_is_validation

names = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=40, unique=True)
shares = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


@st.composite
def windows(draw):
    """Windows and the classes in them, every class in at least two windows."""
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 9)),
            min_size=2, max_size=40, unique=True,
        )
    )  # fmt: skip
    present = np.array(
        draw(
            st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=len(keys), max_size=len(keys))
        )
    )
    present[:2] = True
    return keys, present


@given(names, shares, seeds, st.randoms(use_true_random=False))
def test_images_split_the_same_in_any_order(names, share, seed, random):
    split = split_images(names, share, seed)
    assert split.train
    assert split.validation
    assert sorted(split.train + split.validation) == sorted(names)
    assert abs(len(split.validation) - share * len(names)) <= 1
    mixed = random.sample(names, len(names))
    assert split_images(mixed, share, seed) == split


def test_images_split_differs_by_seed():
    assert len({split_images(list("abcdefghij"), 0.3, seed).validation for seed in range(20)}) > 10


def test_split_never_changes():
    """A run of last year holds out the same images today."""
    assert split_images([f"Image_{i:02d}L" for i in range(1, 9)], 0.2, 42).validation == (
        "Image_02L",
        "Image_04L",
    )
    assert [col for col in np.arange(30) if window_is_validation("mic", 3, col, share=0.2, seed=42)] == [
        2,
        6,
        15,
        20,
        22,
        25,
    ]


@pytest.mark.parametrize(
    ("names", "share", "message"),
    [
        ([], 0.2, "0 image; expected at least two"),
        (["a"], 0.2, "1 image; expected at least two to hold one out; split by windows"),
        (["a", "b", "a"], 0.2, "image 'a' is listed twice"),
        (["a", "b"], 0.0, "validation share 0.0"),
        (["a", "b"], 1.0, "validation share 1.0"),
        (["a", "b"], float("nan"), "validation share nan"),
    ],
)
def test_images_that_cannot_be_split(names, share, message):
    with pytest.raises(CellsegError, match=message):
        split_images(names, share, 0)


@given(windows(), shares, seeds, st.randoms(use_true_random=False))
def test_windows_train_every_class_and_hold_something_out(windows, share, seed, random):
    keys, present = windows
    split = split_windows(keys, share, seed, present=present, names=["bg", "x", "y"])
    assert split.train
    assert split.validation
    assert sorted(split.train + split.validation) == sorted(keys)
    held = np.array([key in split.validation for key in keys])
    assert present[~held].any(axis=0).all()
    unseen = {n for n, there in zip(["bg", "x", "y"], present[held].any(axis=0), strict=True) if not there}
    assert {notice.split("'")[1] for notice in split.notices} == unseen
    order = random.sample(range(len(keys)), len(keys))
    assert (
        split_windows([keys[i] for i in order], share, seed, present=present[order], names=["bg", "x", "y"])
        == split
    )


@given(windows(), shares, seeds)
def test_a_window_moves_only_for_a_class_or_an_empty_side(windows, share, seed):
    keys, present = windows
    held = {key for key in keys if window_is_validation(*key, share=share, seed=seed)}
    moved = held ^ set(split_windows(keys, share, seed, present=present).validation)
    assert len(moved) <= present.shape[1] + 1
    if held and len(held) < len(keys):
        assert not held ^ set(split_windows(keys, share, seed).validation)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_share_of_many_windows(seed, share):
    keys = [("mic", row, col) for row in range(50) for col in range(40)]
    held = len(split_windows(keys, share, seed).validation) / len(keys)
    assert abs(held - share) < 0.03


def test_windows_that_cannot_be_split():
    with pytest.raises(CellsegError, match="no window with labels"):
        split_windows([], 0.2, 0)
    with pytest.raises(CellsegError, match="1 annotated window, none to spare"):
        split_windows([("a", 0, 0)], 0.2, 0)
    with pytest.raises(CellsegError, match="2 annotated windows, none to spare"):
        split_windows([("a", 0, 0), ("a", 0, 1)], 0.2, 0, present=np.eye(2, dtype=bool), names=["bg", "x"])
    with pytest.raises(CellsegError, match="listed twice"):
        split_windows([("a", 0, 0), ("a", 0, 0)], 0.2, 0)
