import json

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import (
    BACKGROUND,
    NOT_ANNOTATED,
    Annotation,
    Classes,
    check_trainable,
    count_labels,
    plane_blocks,
)
from napari_cellseg.images.micrographs import Image

CLASSES = Classes.of("filament", "carbon")


def annotate(labels, classes=CLASSES, name="mic", **more):
    labels = np.array(labels)
    return Annotation(Image.from_array(np.zeros(labels.shape), name), labels, classes, **more)


def test_no_targets_and_many():
    assert Classes.of().names == (NOT_ANNOTATED, BACKGROUND)
    many = Classes.of(*(f"class {i}" for i in range(254)))
    assert len(many) == 256
    assert len(set(many.colors[:40])) == 40
    with pytest.raises(CellsegError, match="257 classes; expected at most 256"):
        many.added("one more")


@pytest.mark.parametrize(
    ("names", "colors", "message"),
    [
        (("background", "cell"), ("#000000",) * 2, "'not annotated' and 'background' first"),
        ((NOT_ANNOTATED, BACKGROUND, " "), ("#000000",) * 3, "a class without a name"),
        ((NOT_ANNOTATED, BACKGROUND, "a", "a"), ("#000000",) * 4, "class 'a' occurs twice"),
        ((NOT_ANNOTATED, BACKGROUND, "a"), ("#000000",) * 2, "2 colours for 3 classes"),
        ((NOT_ANNOTATED, BACKGROUND), ("#000000", "red"), "colour 'red'; expected '#rrggbb'"),
    ],
)
def test_classes_that_are_none(names, colors, message):
    with pytest.raises(CellsegError, match=message):
        Classes(names, colors)


@given(st.lists(st.text(min_size=1).filter(str.strip), unique=True, max_size=12))
def test_classes_survive_json(targets):
    targets = [name for name in targets if name not in (NOT_ANNOTATED, BACKGROUND)]
    classes = Classes.of(*targets)
    assert Classes.from_json(json.loads(json.dumps(classes.to_json()))) == classes
    assert classes.targets == tuple(targets)
    assert [classes.index(name) for name in targets] == list(range(2, len(classes)))


@pytest.mark.parametrize("values", [None, [], {}, {"names": []}, {"names": [1, 2], "colors": []}, "text"])
def test_classes_from_something_else(values):
    with pytest.raises(CellsegError):
        Classes.from_json(values)


def test_added_class_and_missing_class():
    more = CLASSES.added("ice", "#123456")
    assert more.names == (*CLASSES.names, "ice")
    assert more.colors[-1] == "#123456"
    assert more.added("gas").colors[-1] not in more.colors
    with pytest.raises(CellsegError, match="no class 'gas'; expected one of background, filament, carbon"):
        CLASSES.index("gas")


def test_one_pixel():
    assert annotate([[3]]).counts() == {NOT_ANNOTATED: 0, BACKGROUND: 0, "filament": 0, "carbon": 1}


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("store", [np.asarray, da.from_array, zarr.array])
def test_counts_of_any_store(kind, store):
    plane = np.array([[0, 1, 2], [2, 2, 3]], kind)
    assert list(count_labels(store(plane), CLASSES).values()) == [1, 1, 3, 1]


def test_mask_of_another_size():
    with pytest.raises(
        CellsegError, match=r"labels of 'mic' have shape \(4, 5\); expected \(5, 4\) like the image"
    ):
        Annotation(Image.from_array(np.zeros((3, 5, 4)), "mic"), np.zeros((4, 5), np.uint8), CLASSES)


@pytest.mark.parametrize("kind", [float, bool, complex])
def test_labels_that_are_no_whole_numbers(kind):
    with pytest.raises(CellsegError, match="expected whole numbers"):
        annotate(np.ones((2, 2), kind))


@pytest.mark.parametrize("wild", [4, -1, 2**40])
def test_index_without_a_class(wild):
    with pytest.raises(
        CellsegError, match=rf"hold the index {wild}; expected 0 \(not annotated\) to 3 \(carbon\)"
    ):
        annotate([[1, wild]])


def test_dense_promise():
    assert annotate([[1, 2]], dense=True).dense
    with pytest.raises(CellsegError, match="leave 1 pixels not annotated"):
        annotate([[0, 2]], dense=True)


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(1, 50))
def test_blocks_cover_each_pixel_once(shape, size):
    seen = np.zeros(shape, int)
    for rows, cols in plane_blocks(shape, size):
        seen[rows, cols] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ([], "no image is annotated"),
        ([[[0, 0]]], "nothing is annotated; .* paint some strokes of each class"),
        ([[[2, 0]], [[2, 2]]], "only 'filament' is annotated; .* paint some background strokes"),
        ([[[1, 0]]], "only 'background' is annotated; .* paint some filament or carbon strokes"),
    ],
)
def test_too_little_to_train_on(planes, message):
    with pytest.raises(CellsegError, match=message):
        check_trainable([annotate(plane) for plane in planes])


def test_trainable_over_two_images():
    assert check_trainable([annotate([[1]]), annotate([[2, 3]])]) == []
    assert check_trainable([annotate([[1]]), annotate([[2, 2]])]) == [
        "'carbon' is nowhere annotated: it will not be learned"
    ]
    with pytest.raises(
        CellsegError, match="'b' has the classes background, cell; expected background, filament"
    ):
        check_trainable([annotate([[1, 2]], name="a"), annotate([[1, 2]], Classes.of("cell"), name="b")])
