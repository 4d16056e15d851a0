import numpy as np
import pytest

from napari_cellseg.images.filament import Filament
from napari_cellseg.images.segments import cut_segments


@pytest.mark.parametrize("length", [1e-6, 0.1, 0.26])
def test_the_shortest_filament_has_a_segment(length):
    cut = cut_segments(Filament([[5, 5], [5, 5 + length]]), 25)
    assert cut.points.shape == (1, 2)
    assert cut.track_px.tolist() == [0]


def test_a_step_of_nought_keeps_the_points():
    path = [[0, 0], [0, 7], [0, 9]]
    cut = cut_segments(Filament(path), 0)
    np.testing.assert_allclose(cut.points, path, atol=1e-12)
    np.testing.assert_allclose(cut.track_px, [0, 7, 9])


def test_segments_lie_on_the_curve_and_turn_onto_x():
    t = np.linspace(0, np.pi / 2, 30)
    arc = Filament(np.stack([200 * np.sin(t), 200 * np.cos(t)], -1))
    cut = cut_segments(arc, 11.0)
    np.testing.assert_allclose(np.hypot(*cut.points.T), 200, atol=0.05)
    tangents = np.stack([cut.points[:, 1], -cut.points[:, 0]], -1) / 200  # (row, col), along +t
    np.testing.assert_allclose(cut.psi_degrees, -np.degrees(np.arctan2(*tangents.T)), atol=1)
    turned = np.radians(cut.psi_degrees)
    # the picture turned by psi has the filament along x: no part of it along rows is left
    rows = tangents[:, 0] * np.cos(turned) + tangents[:, 1] * np.sin(turned)
    np.testing.assert_allclose(rows, 0, atol=0.02)


def test_a_reversed_filament_is_turned_by_half():
    line = Filament([[10, 10], [60, 90]])
    there, back = cut_segments(line, 9).psi_degrees[0], cut_segments(line.reversed(), 9).psi_degrees[0]
    assert abs(there - back) == pytest.approx(180)
