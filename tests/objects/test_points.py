"""Points of probabilities, alone and along filaments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.point_labels import point_labels
from napari_cellseg.objects.points import find_points, heat_map
from napari_cellseg.objects.settings import PointSettings

PIXEL_NM = 0.8
LINE = Filament([[60, 10], [60, 390]], 7)
ONE = PointSettings(strands=1)


def said(points, shape=(120, 400), radius_nm=3.0):
    """Probabilities of a network that is right everywhere."""
    return (point_labels(points, shape, radius_nm / PIXEL_NM) == 2).astype(np.float32)


@pytest.mark.parametrize("plane", [np.zeros((1, 1)), np.zeros((5, 90)), np.full((40, 40), np.nan)])
@pytest.mark.parametrize("lines", [(), (Filament([[0, 0], [0, 1]]),)])
def test_where_nothing_is_nothing_is_found(plane, lines):
    found = find_points(plane, lines, pixel_nm=PIXEL_NM)
    assert (found.points.shape, found.owners.shape, found.arcs_px.shape) == ((0, 2), (0,), (0,))


def test_a_plane_that_is_all_points_has_few():
    assert len(find_points(np.ones((40, 40)), pixel_nm=PIXEL_NM).points) < 200


def test_no_plane_and_no_pixel_size():
    with pytest.raises(CellsegError, match="shape"):
        find_points(np.zeros((2, 3, 4)), pixel_nm=1.0)
    with pytest.raises(CellsegError, match="pixel size"):
        find_points(np.zeros((3, 4)), pixel_nm=None)


@given(st.floats(20, 90), st.floats(20, 370), st.sampled_from([0.2, 0.8, 1.5]))
@settings(max_examples=15)
def test_a_disc_is_found_between_pixels(row, col, pixel_nm):
    plane = (point_labels([[row, col]], (120, 400), 4 / pixel_nm) == 2).astype(np.float32)
    found = find_points(plane, pixel_nm=pixel_nm)
    assert found.points.shape == (1, 2)
    assert np.abs(found.points[0] - [row, col]).max() * pixel_nm < 0.8


def test_close_points_are_one_and_the_higher_stays():
    plane = np.zeros((60, 60), np.float32)
    plane[28:33, 28:33], plane[28:33, 33:36] = 1, 0.6
    found = find_points(plane, pixel_nm=PIXEL_NM, settings=PointSettings(apart_nm=6))
    assert found.points.round().tolist() == [[30, 30]]


def test_the_heat_map_keeps_the_place():
    plane = np.zeros((101, 103))
    plane[60:65, 70:75] = 1
    heat, factor = heat_map(plane, 0.1)
    assert (heat.shape, factor) == ((21, 21), 5)
    assert np.unravel_index(heat.argmax(), heat.shape) == (12, 14)


def test_points_belong_to_the_filament_they_lie_on():
    plain = PointSettings(use_spacing=False)
    found = find_points(said([[62, 50], [100, 200]]), [LINE], pixel_nm=PIXEL_NM, settings=plain)
    assert found.points.round().tolist() == [[62, 50]]
    assert (found.owners.tolist(), found.arcs_px.round().tolist()) == ([7], [40])


def test_along_a_filament_the_spacing_decides():
    step = 38.5 / PIXEL_NM
    true = [[60, 30 + k * step] for k in range(7)]
    seen = said(true)
    seen += 0.9 * said([[60, 30 + 2.45 * step]])
    seen[:, int(30 + 3 * step) - 8 : int(30 + 3 * step) + 9] *= 0.25  # hardly seen
    found = find_points(seen, [LINE], pixel_nm=PIXEL_NM, settings=ONE)
    np.testing.assert_allclose(found.points, true, atol=1.5)
    assert found.scores[3] < 0.3 < found.scores[2]
    plain = ONE.model_copy(update={"use_spacing": False})
    assert (
        len(find_points(seen, [LINE], pixel_nm=PIXEL_NM, settings=plain).points) == 7
    )  # one too many, one too few


def test_both_strands_are_told_apart_also_where_they_lie_over_each_other():
    step, half = 38.5 / PIXEL_NM, 2.75 / PIXEL_NM / 2
    off = 6 * np.cos(np.linspace(0, np.pi, 7))
    true = []
    for k in range(7):
        true += [[60 + off[k], 30 + k * step - half], [60 - off[k], 30 + k * step + half]]
    found = find_points(said(true), [LINE], pixel_nm=PIXEL_NM)
    assert len(found.points) == 14
    gaps = np.linalg.norm(found.points[:, None] - np.array(true)[None], axis=-1).min(axis=0)
    assert gaps.max() * PIXEL_NM < 2.5


def test_a_strand_without_a_molecule_gets_none():
    step, half = 38.5 / PIXEL_NM, 2.75 / PIXEL_NM / 2
    true = [[66, 30 + k * step - half] for k in range(7)]
    assert len(find_points(said(true), [LINE], pixel_nm=PIXEL_NM).points) == 7


def test_a_turned_micrograph_has_the_same_points():
    true = [[60, 30 + k * 48.0] for k in range(7)]
    here = find_points(said(true), [LINE], pixel_nm=PIXEL_NM, settings=ONE).points
    turned = [Filament(LINE.path[:, ::-1], 7)]
    there = find_points(said(true).T, turned, pixel_nm=PIXEL_NM, settings=ONE).points
    np.testing.assert_allclose(there[:, ::-1], here, atol=0.6)
