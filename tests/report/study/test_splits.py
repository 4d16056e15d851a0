import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, train_test_split

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.study.splits import draw_split, find_groups, listed_split
from napari_cellseg.report.study.study_file import Grouping, SplitEntry


@pytest.mark.parametrize(
    ("names", "split", "says"),
    [
        (["a"], SplitEntry(holdout=0.2), "1 image: nothing is left to test on"),
        (["a", "b"], SplitEntry(folds=3), "2 images: nothing is left to fold; expected at least 3 images"),
        (["a", "b"], SplitEntry(holdout=0.9), "leaves nothing to learn from"),
    ],
)
def test_nothing_left(names, split, says):
    with pytest.raises(CellsegError, match=says):
        draw_split(names, split)


def test_one_group_leaves_nothing_to_test():
    with pytest.raises(CellsegError, match="1 group: nothing is left to test on"):
        draw_split(["a", "b"], SplitEntry(holdout=0.5), groups=["g", "g"])


@given(count=st.integers(2, 60), share=st.floats(0.05, 0.6), seed=st.integers(0, 1000))
def test_a_holdout_is_that_of_scikit_learn(count, share, seed):
    names = [f"{number:03d}" for number in range(count)]
    try:
        train, test = train_test_split(names, test_size=share, random_state=seed)
    except ValueError:
        with pytest.raises(CellsegError):
            draw_split(names, SplitEntry(holdout=share, seed=seed))
        return
    shuffled = np.random.default_rng(seed).permutation(names).tolist()
    (part,) = draw_split(shuffled, SplitEntry(holdout=share, seed=seed))
    assert part.train == tuple(sorted(train))
    assert part.test == tuple(sorted(test))


def test_folds_are_those_of_scikit_learn_and_test_everything_once():
    names = [f"s{number}" for number in range(7)]
    parts = draw_split(names, SplitEntry(folds=3, seed=5))
    expected = [test for _, test in KFold(3, shuffle=True, random_state=5).split(names)]
    assert [part.test for part in parts] == [tuple(names[i] for i in test) for test in expected]
    assert sorted(name for part in parts for name in part.test) == names
    assert all(not set(part.train) & set(part.test) for part in parts)


@pytest.mark.parametrize("split", [SplitEntry(holdout=0.3), SplitEntry(folds=3)])
def test_groups_stay_together(split):
    names = [f"{donor}{number}" for donor in "abcde" for number in range(3)]
    for part in draw_split(names, split, groups=[name[0] for name in names]):
        assert not {name[0] for name in part.train} & {name[0] for name in part.test}
        assert part.train
        assert part.test


def test_listed_images_may_not_be_in_both(tmp_path):
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    (part,) = listed_split([b], [a])
    assert (part.train, part.test) == (("b",), ("a",))
    with pytest.raises(CellsegError, match=r"b\.tif is in `train` and in `test`"):
        listed_split([b], [a, b])


def test_groups_from_names_and_from_a_table(tmp_path):
    names = ["child01_left", "child02_left"]
    assert find_groups(names, Grouping(pattern=r"child(\d+)"), tmp_path) == ["01", "02"]
    (tmp_path / "t.csv").write_text("image,animal\nchild02_left.tif,x\nchild01_left.tif,y\nother,z\n")
    assert find_groups(names, Grouping(table="t.csv", column="animal"), tmp_path) == ["y", "x"]


@pytest.mark.parametrize(
    ("grouping", "says"),
    [
        (Grouping(pattern="("), "expected a regular expression"),
        (Grouping(pattern="x+"), "no group of a1"),
        (Grouping(table="no.csv", column="c"), "cannot be read"),
        (Grouping(table="t.csv", column="donor"), "no column 'donor'; expected one of image, animal"),
        (Grouping(table="t.csv", column="animal"), "no group of b1"),
        (Grouping(table="empty.csv", column="animal"), "a header and rows"),
    ],
)
def test_a_grouping_that_says_nothing(tmp_path, grouping, says):
    (tmp_path / "t.csv").write_text("image,animal\na1,x\n")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(CellsegError, match=says):
        find_groups(["a1", "b1"], grouping, tmp_path)
