"""Where directions leave open how filaments go on, brightness tells."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.simulate.strokes import paint_stroke
from napari_cellseg.objects.brightness import end_levels, unlike
from napari_cellseg.objects.filaments import trace

SHAPE = (300, 400)


ACROSS, APART = [(0, 3), (1, 2)], [(0, 2), (1, 3)]


def quarters(apart):
    """Return four arms that nearly meet in the middle: upper and lower left, upper and lower right."""
    t = np.linspace(0, 1, 60)
    away, out = apart + 55 * t**1.35, 170 * t
    return [np.stack([150 + down * away, 200 + side * out], 1) for side in (-1, 1) for down in (-1, 1)]


def painted(values, apart=0.0):
    """Return a plane with the four arms, each of its value; where they meet the highest."""
    plane = np.zeros(SHAPE)
    for arm, value in sorted(zip(quarters(apart), values, strict=True), key=lambda pair: pair[1]):
        paint_stroke(plane, arm, 6.0, value)
    return plane


def joined(found):
    """Return which quarters each filament that goes on through the middle connects."""
    pairs = []
    for one in found:
        first, last = one.ends
        pairs.append(tuple(sorted((int(row > 150) + 2 * int(col > 200)) for row, col in (first, last))))
    return sorted(pairs)


@pytest.mark.parametrize(
    ("values", "pairs"), [((0.9, 0.6, 0.6, 0.9), ACROSS), ((0.9, 0.6, 0.9, 0.6), APART)], ids=["x", ")("]
)
@pytest.mark.parametrize(("apart", "alone"), [(0.0, ACROSS), (2.0, APART)])
def test_a_bright_and_a_faint_filament(values, pairs, apart, alone):
    likely = painted(values, apart)
    noise = np.random.default_rng(0).normal(0, 1, SHAPE)
    assert joined(trace(likely > 0)) == alone
    assert joined(trace(likely > 0, image=100 * likely + 10 * noise)) == pairs


@pytest.mark.parametrize(
    ("values", "pairs"), [((0.9, 0.6, 0.6, 0.9), ACROSS), ((0.9, 0.6, 0.9, 0.6), APART)], ids=["x", ")("]
)
def test_likely_and_doubtful_filaments(values, pairs):
    likely = painted(values, apart=2.0)
    noise = np.random.default_rng(0).normal(0, 0.03, SHAPE)
    assert joined(trace((likely + noise * (likely > 0)).clip(0, 1))) == pairs


def test_an_even_image_changes_nothing():
    mask = painted((1, 1, 1, 1)) > 0
    for one, other in zip(trace(mask), trace(mask, image=np.full(SHAPE, 7.0)), strict=True):
        np.testing.assert_array_equal(one.path, other.path)


def test_an_image_of_another_shape_is_refused():
    with pytest.raises(CellsegError, match="an image of shape"):
        trace(np.zeros(SHAPE, bool), image=np.zeros((3, 3)))


def test_nothing_to_compare():
    none = np.empty(0, np.intp)
    assert end_levels([], np.zeros(SHAPE)).shape == (0,)
    assert unlike(np.empty(0), none, none).shape == (0,)
    one, other = np.array([0]), np.array([2])
    assert unlike(np.full(4, 3.0), one, other).tolist() == [0.0]
    assert unlike(np.array([0.5, 0.5, 0.52, 0.52]), one, other, 0.1)[0] < 0.1
