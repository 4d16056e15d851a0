import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.report.study.errors import ERRORS, error_plane
from napari_cellseg.report.study.pictures import busiest


def test_of_nothing_the_first_corner_is_shown():
    assert busiest(np.zeros((4, 5), bool), 3) == (slice(0, 3), slice(0, 3))


@given(rows=st.integers(1, 12), cols=st.integers(1, 12), side=st.integers(1, 14), seed=st.integers(0, 99))
def test_no_other_square_holds_more(rows, cols, side, seed):
    mask = np.random.default_rng(seed).random((rows, cols)) < 0.3
    place = busiest(mask, side)
    high, wide = min(side, rows), min(side, cols)
    assert mask[place].shape == (high, wide)
    most = max(
        mask[row : row + high, col : col + wide].sum()
        for row in range(rows - high + 1)
        for col in range(cols - wide + 1)
    )
    assert mask[place].sum() == most


@given(seed=st.integers(0, 99))
def test_every_pixel_of_a_class_is_right_or_a_named_error(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (6, 7)), rng.integers(1, 4, (6, 7))
    errors = error_plane(predicted, truth)
    assert errors.max() <= len(ERRORS)
    nothing = (truth == 0) | ((truth == 1) & (predicted == 1))
    assert ((errors == 0) == nothing).all()
    assert (errors == 1).sum() == ((truth == predicted) & (truth > 1)).sum()
