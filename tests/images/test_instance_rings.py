import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.instance_rings import DEPTHS, RINGS, are_rings, looks_like_cells, ring_labels

PICTURE = """
1111111
1222221
1233321
1234321
1233321
1222221
1111111
"""


def drawn(text: str) -> np.ndarray:
    return np.array([[int(char) for char in line] for line in text.split()])


def test_nothing():
    assert ring_labels(np.zeros((3, 4), np.uint16)).tolist() == [[1] * 4] * 3
    assert ring_labels(np.zeros((0, 4), np.uint16)).shape == (0, 4)


def test_one_pixel_and_one_cell_everywhere():
    assert ring_labels(np.array([[0, 0, 9, 0]])).tolist() == [[1, 1, 4, 1]]
    assert ring_labels(np.ones((1, 5), np.uint8)).tolist() == [[4] * 5]


def test_rings_of_a_square():
    instances = np.zeros((7, 7), np.int64)
    instances[1:6, 1:6] = 70_000
    np.testing.assert_array_equal(ring_labels(instances), drawn(PICTURE))


def test_cells_that_touch_have_rings_of_their_own():
    instances = np.repeat([[0] * 2 + [3] * 5 + [4] * 5], 5, axis=0)
    np.testing.assert_array_equal(ring_labels(instances)[2], [1, 1, 2, 3, 4, 3, 2, 2, 3, 4, 3, 2])


@pytest.mark.parametrize("instances", [np.array([[-1, 2]]), np.array([[0.5, 2]])])
def test_broken_numbers_are_refused(instances):
    with pytest.raises(CellsegError, match="numbers of cells"):
        ring_labels(instances)


@given(arrays(np.uint8, (9, 11), elements=st.integers(0, 4)), st.permutations(range(1, 5)))
def test_numbers_do_not_matter_and_every_cell_has_a_centre(instances, names):
    rings = ring_labels(instances)
    renamed = np.array([0, *names])[instances] * 1000
    np.testing.assert_array_equal(ring_labels(renamed), rings)
    np.testing.assert_array_equal(rings == 1, instances == 0)
    assert all((rings[instances == cell] == 4).any() for cell in np.unique(instances[instances > 0]))


def test_what_the_classes_are():
    assert are_rings(RINGS)
    assert not are_rings(Classes.of("edge", "body", "centre"))
    assert len(DEPTHS) == len(RINGS) - 1


def test_many_numbers_look_like_cells():
    assert looks_like_cells(np.arange(40))
    assert not looks_like_cells(np.arange(9))
