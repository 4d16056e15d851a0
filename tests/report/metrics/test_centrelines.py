import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.metrics.centrelines import centreline_along, centreline_of, near

SEEN = np.ones((20, 30), bool)


def picture(text: str) -> np.ndarray:
    return np.array([[char == "#" for char in line] for line in text.split()])


def test_nothing():
    for line in (centreline_of(np.zeros((4, 5), bool)), centreline_along([], SEEN)):
        assert len(line.points) == len(line.links) == line.filaments == 0
        assert line.pieces(np.zeros(0, bool)) == line.without_short(3).filaments == 0


def test_a_point_counts_one_pixel():
    for line in (centreline_of(np.eye(1, dtype=bool)), centreline_along([[[3, 4]]], SEEN)):
        assert (line.length_px.tolist(), line.filaments) == ([1], 1)


@pytest.mark.parametrize(
    ("drawn", "length", "filaments"),
    [
        ("......... .#######. .........", 6, 1),
        ("#...... .#..... ..#.... ...#...", 3 * 2**0.5, 1),
        ("##..... .##.... ..##... ...##..", 1 + 3 * 2**0.5, 1),  # of two pixels
        ("#.....# .#...#. ..#.#.. ...#... ...#... ...#...", 2 + 6 * 2**0.5, 3),
        ("....#.... ....#.... ....#.... #########", 8 + 3, 3),
        ("######## ........ ########", 14, 2),
        (".####. #....# #....# .####.", 2 * 3 + 2 * 1 + 4 * 2**0.5, 1),  # closed
    ],
)
def test_lengths_and_filaments(drawn, length, filaments):
    line = centreline_of(picture(drawn))
    assert line.length_px.sum() == pytest.approx(length)
    assert line.filaments == filaments
    assert (line.filament < 0).sum() == (filaments == 3)  # the junction


def test_short_ones_are_no_filaments():
    line = centreline_of(picture("##....... ......... #########"))
    assert line.without_short(2).filaments == 1
    assert line.without_short(2).filament.tolist() == [-1, -1] + [0] * 9
    assert line.without_short(0).filaments == 2


def test_pieces_of_a_ring():
    """A ring has no first point at which it could fall apart."""
    line = centreline_of(picture(".####. #....# #....# .####."))
    ones = np.ones(len(line.points), bool)
    assert line.pieces(ones) == 1
    top, bottom = line.points[:, 0] == 0, line.points[:, 0] == 3
    assert line.pieces(~top) == 1
    assert line.pieces(top | bottom) == 2


def test_paths_are_sampled_by_pixels():
    line = centreline_along([np.array([[2, 2], [2, 12], [9, 12]]), [[15, 1], [18.5, 5]]], SEEN)
    assert line.filaments == 2
    first = line.filament == 0
    assert line.length_px[first].sum() == pytest.approx(17)
    assert line.length_px[~first].sum() == pytest.approx(np.hypot(3.5, 4))
    assert np.linalg.norm(np.diff(line.points[first], axis=0), axis=1).max() < 1.01


def test_what_is_not_seen_counts_nothing_and_breaks_nothing():
    seen = SEEN.copy()
    seen[:, 10:20] = False
    line = centreline_along([np.array([[4, 0], [4, 40]]), np.array([[5, 12], [5, 15]])], seen)
    assert line.filaments == 1
    assert line.length_px.sum() == pytest.approx(0.5 + 9 + 10)
    assert line.pieces(np.ones(len(line.points), bool)) == 1


@pytest.mark.parametrize("path", [[1, 2], [[1, 2, 3]], [[np.nan, 1]]])
def test_no_path(path):
    with pytest.raises(CellsegError, match="row, col"):
        centreline_along([path], SEEN)


def test_an_empty_path_is_no_filament():
    assert centreline_along([np.empty((0, 2)), [[1, 1], [1, 3]]], SEEN).filaments == 1


coordinates = st.integers(0, 6).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.integers(0, 9)))


@given(coordinates, coordinates, st.sampled_from([0.0, 1.0, 2.0**0.5, 5.0]))
def test_near_includes_the_tolerance(points, others, tolerance_px):
    wanted = (cdist(points, others) <= tolerance_px).any(axis=1)
    assert (near(points, others, tolerance_px) == wanted).all()
