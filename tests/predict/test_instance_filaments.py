"""Objects of an image of numbers as filaments."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.filaments import instance_labels
from napari_cellseg.predict.instance_filaments import trace_instances


def test_nothing_and_a_speck():
    assert trace_instances(np.zeros((20, 30), np.uint8)) == []
    speck = np.zeros((20, 30), np.uint8)
    speck[7, 9] = 1
    assert trace_instances(speck) == []


def test_parts_on_either_side_of_another_are_one():
    across = [Filament([[10.0 * k, 0], [10.0 * k, 99]], k, 5.0, 1.0) for k in (2, 4, 6)]
    under = Filament([[0, 50], [79, 50]], 9, 5.0, 0.5)
    found = {one.id: one for one in trace_instances(instance_labels([*across, under], (80, 100)))}
    assert sorted(found) == [2, 4, 6, 9]
    assert abs(found[9].length_px - 79) < 4
    np.testing.assert_allclose(found[9].path[:, 1], 50, atol=0.6)


@given(st.floats(0, np.pi), st.floats(60, 180), st.floats(4, 9), st.integers(1, 60_000))
def test_a_straight_object_gives_its_line(turn, length, width, number):
    half = length / 2 * np.array([np.sin(turn), np.cos(turn)])
    line = Filament(100 + np.stack([-half, half]), number, width)
    (found,) = trace_instances(instance_labels([line], (200, 200)))
    assert found.id == number
    assert abs(found.length_px - length) < 2 * width
    off = (found.path - 100) @ np.array([np.cos(turn), -np.sin(turn)])
    assert np.abs(off).max() < 1.5
