import dask.array as da
import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.predict.labels import Encode, labels_from


def test_labels_are_the_likeliest_class():
    probabilities = np.random.default_rng(0).random((4, 30, 20), np.float32)
    expected = probabilities.argmax(0) + 1
    assert (labels_from(probabilities) == expected).all()
    lazy = labels_from(da.from_array(probabilities, chunks=(2, 10, 10)))
    assert lazy.dtype == np.uint8
    assert (lazy.compute(scheduler="synchronous") == expected).all()


@pytest.mark.parametrize("as_bytes", [False, True])
def test_threshold(as_bytes):
    second = np.array([[0.2, 0.5, 0.61, 0.9]], np.float32)
    probabilities = np.stack([1 - second, second])
    if as_bytes:
        probabilities = np.rint(probabilities * 255).astype(np.uint8)
    assert labels_from(probabilities, threshold=0.6).tolist() == [[1, 1, 2, 2]]
    assert labels_from(probabilities, threshold=0.1).tolist() == [[2, 2, 2, 2]]
    with pytest.raises(CellsegError, match="two classes"):
        labels_from(np.zeros((3, 2, 2)), threshold=0.5)


@pytest.mark.parametrize("planes", [2, 3])
def test_encoded(planes):
    found = np.random.default_rng(0).random((planes, 9, 7), np.float32)
    encoded = Encode(2, 0.3)(found)
    assert encoded.dtype == np.uint8
    assert abs(encoded[:-1] / 255 - found).max() <= 0.5 / 255 + 1e-6
    assert (encoded[-1] == 1 + (found[1] >= 0.3)).all()  # of the probabilities, not of their bytes
