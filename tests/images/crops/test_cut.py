"""Objects of a label image, cut from its field."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import crops_of_labels
from napari_cellseg.images.micrographs import Image

FIELD = Image.from_array(np.arange(2 * 12 * 17).reshape(2, 12, 17), "field")


@given(arrays(np.int32, (12, 17), elements=st.sampled_from([0, 0, 0, 1, 2, 5, 900_000])), st.integers(0, 5))
def test_every_object_lies_in_its_box(labels, margin_px):
    numbers = [k for k in np.unique(labels).tolist() if k]
    if not numbers:
        with pytest.raises(CellsegError, match="no object"):
            crops_of_labels(FIELD, labels)
        return
    found = crops_of_labels(FIELD, labels, margin_px=margin_px)
    assert found.labels.tolist() == numbers
    assert found.crops.ids.tolist() == [str(k) for k in numbers]
    for k, (top, left, bottom, right) in enumerate(found.boxes.tolist()):
        mask = labels == numbers[k]
        assert mask[top:bottom, left:right].sum() == mask.sum()
        np.testing.assert_allclose(found.centres[k], ndimage.center_of_mass(mask))
        np.testing.assert_array_equal(found.crops.read(k), np.asarray(FIELD.data[:, top:bottom, left:right]))


def test_some_objects_in_the_order_asked_for():
    labels = np.zeros((12, 17), np.uint16)
    labels[2:4, 3:5], labels[8:11, 9:12], labels[0, 0] = 3, 7, 9
    found = crops_of_labels(FIELD, labels, margin_px=0, ids=[9, 3])
    assert found.labels.tolist() == [9, 3]
    assert found.boxes.tolist() == [[0, 0, 1, 1], [2, 3, 4, 5]]
    with pytest.raises(CellsegError, match="no object 4"):
        crops_of_labels(FIELD, labels, ids=[4])


def test_labels_of_another_kind():
    for labels in (np.zeros((17, 12), int), np.zeros((12, 17))):
        with pytest.raises(CellsegError, match="whole numbers of shape"):
            crops_of_labels(FIELD, labels)
    negative = np.full((12, 17), -1)
    with pytest.raises(CellsegError, match="no object"):
        crops_of_labels(FIELD, negative)
