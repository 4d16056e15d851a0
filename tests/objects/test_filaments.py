"""Filaments traced in masks and probabilities: degenerate planes first, then crossings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.simulate.strokes import paint_stroke
from napari_cellseg.objects.filaments import TRACERS, instance_labels, trace
from napari_cellseg.objects.settings import TraceSettings
from napari_cellseg.report.metrics.filaments import filament_scores

SHAPE = (300, 400)
CENTRE = np.array([150.0, 200.0])


def ray(degrees, before=130.0, after=130.0, through=CENTRE):
    """Return a line through a point."""
    way = np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
    return np.array([through - before * way, through + after * way])


def painted(*paths, radius=5.0, shape=SHAPE):
    mask = np.zeros(shape, bool)
    for path in paths:
        paint_stroke(mask, np.asarray(path, float), radius, True)
    return mask


def whole(mask, paths, width=10.0, **more):
    """Return how many paths are found as one piece, and how many filaments there are in all."""
    found = trace(mask, settings=TraceSettings(**more))
    return filament_scores(found, [Filament(path) for path in paths], tolerance_px=width / 2).whole, len(
        found
    )


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((40, 60), bool),
        np.ones((40, 60), bool),
        np.zeros((1, 1), bool),
        np.ones((1, 1), bool),
        np.ones((1, 50), bool),
        np.eye(40, dtype=bool)[:, :30],
        np.indices((40, 60)).sum(0) % 2 == 0,
    ],
    ids=["empty", "full", "no pixel", "one pixel", "one row", "thin diagonal", "chessboard"],
)
def test_degenerate_masks(mask, tracer):
    found = trace(mask, settings=TraceSettings(tracer=tracer))
    assert all(np.isfinite(one.path).all() for one in found)


def test_one_pixel_is_no_filament():
    mask = np.zeros(SHAPE, bool)
    mask[50, 50] = True
    assert trace(mask) == []


@pytest.mark.parametrize(
    ("plane", "says"),
    [
        (np.zeros((2, 3, 4)), "shape"),
        (np.zeros((0, 4)), "shape"),
        (np.full((9, 9), 7.0), "0 to 1"),
        (np.zeros((9, 9), complex), "complex"),
    ],
)
def test_what_cannot_be_traced(plane, says):
    with pytest.raises(CellsegError, match=says):
        trace(plane)


def test_settings_that_make_no_sense():
    mask = painted(ray(10))
    with pytest.raises(CellsegError, match="tarot"):
        trace(mask, settings=TraceSettings(tracer="tarot"))
    with pytest.raises(CellsegError, match="pixel size"):
        trace(mask, settings=TraceSettings(min_length_nm=5))
    with pytest.raises(CellsegError, match="exclusion"):
        trace(mask, excluded=np.zeros((3, 3), bool))


def test_what_is_no_number_is_background():
    likely = painted(ray(10)).astype(float)
    likely[:20] = np.nan
    likely[148:152, 190:210] = np.inf
    (filament,) = trace(likely)
    assert filament.length_px == pytest.approx(260, abs=8)


def test_labels_say_which_class():
    labels = np.where(painted(ray(10)), 3, np.where(painted(ray(80)), 2, 1)).astype(np.uint8)
    (three,) = trace(labels, settings=TraceSettings(label=3))
    assert abs(np.diff(three.ends[:, 1]))[0] > 200
    assert trace(labels, settings=TraceSettings(label=4)) == []


@pytest.mark.parametrize("degrees", [0, 15, 45, 90, 130])
@pytest.mark.parametrize("radius", [2.0, 5.0, 12.0])
def test_a_line_is_on_its_middle_and_as_long_and_wide_as_it_is(degrees, radius):
    (filament,) = trace(painted(ray(degrees, 110, 110), radius=radius))
    assert filament.length_px == pytest.approx(220, abs=0.5 * radius + 1)
    assert filament.width_px == pytest.approx(2 * radius, abs=1.1)
    scores = filament_scores([filament], [Filament(ray(degrees, 110, 110))], tolerance_px=radius)
    assert scores.median_error_px < 0.3
    assert filament.score == pytest.approx(1, abs=0.03)
    places = np.linspace(0, filament.length_px, 50)
    assert np.abs(filament.curvature(places)).max() < 0.05


def test_a_bar_cut_straight_is_traced_to_its_ends():
    mask = np.zeros(SHAPE, bool)
    mask[145:156, 50:350] = True
    (filament,) = trace(mask)
    assert sorted(filament.ends[:, 1]) == pytest.approx([49.5, 349.5], abs=1)


def test_a_filament_that_leaves_the_field_is_traced_to_the_border():
    (filament,) = trace(painted(ray(20, 500, 500)))
    assert sorted(filament.ends[:, 1]) == pytest.approx([0, 399], abs=1)


@pytest.mark.parametrize("degrees", [90, 60, 30, 15])
def test_a_cross_is_two(degrees):
    paths = [ray(-degrees / 2), ray(degrees / 2)]
    assert whole(painted(*paths), paths) == (2, 2)


@pytest.mark.parametrize("radius", [2.0, 4.0])
def test_thin_filaments_cross_too(radius):
    paths = [ray(-20), ray(20), ray(85)]
    assert whole(painted(*paths, radius=radius), paths, width=2 * radius) == (3, 3)


def test_three_through_one_point_are_three():
    paths = [ray(0), ray(60), ray(120)]
    assert whole(painted(*paths), paths) == (3, 3)


def test_an_end_upon_another_one_stays_an_end():
    paths = [ray(0, 180, 180), ray(80, 0, 120)]
    assert whole(painted(*paths), paths) == (2, 2)


@pytest.mark.parametrize(("gap", "together"), [(8, 1), (30, 2)])
def test_gaps_are_closed_up_to_a_length(gap, together):
    mask = painted(ray(0, 150, -gap / 2 - 5), ray(0, -gap / 2 - 5, 150))
    assert len(trace(mask, settings=TraceSettings(gap_px=15))) == together
    assert len(trace(mask, settings=TraceSettings(gap_px=0))) == 2


def test_ends_that_are_not_in_line_are_not_joined():
    one, other = ray(0, 150, -10), ray(70, -10, 120)
    assert len(trace(painted(one, other), settings=TraceSettings(gap_px=30))) == 2


def test_a_bundle_stays_apart():
    paths = [ray(10, through=CENTRE + np.array([offset, 0])) for offset in (-28, -14, 0, 14, 28)]
    assert whole(painted(*paths), paths) == (5, 5)


def test_curved_filaments_cross():
    t = np.linspace(0, np.pi, 60)
    arc_up = np.stack([220 - 140 * np.sin(t), 60 + 280 * t / np.pi], 1)
    arc_down = np.stack([80 + 140 * np.sin(t), 60 + 280 * t / np.pi], 1)
    assert whole(painted(arc_up, arc_down), [arc_up, arc_down]) == (2, 2)


@pytest.mark.parametrize("centre", [(150, 200), (150, 20)])
def test_a_ring(centre):
    t = np.linspace(0, 2 * np.pi, 200)
    ring = np.array(centre) + 60 * np.stack([np.sin(t), np.cos(t)], 1)
    (filament,) = trace(painted(ring))
    if centre[1] > 60:
        assert filament.ends[0].tolist() == filament.ends[1].tolist()
        assert filament.length_px == pytest.approx(2 * np.pi * 60, rel=0.02)
    assert np.abs(np.hypot(*(filament.path - centre).T) - 60).max() < 2


def test_a_ring_with_a_line_through_it():
    t = np.linspace(0, 2 * np.pi, 200)
    ring = CENTRE + 70 * np.stack([np.sin(t), np.cos(t)], 1)
    found = trace(painted(ring, ray(12)))
    assert len(found) == 2


def test_a_ragged_edge_leaves_no_spurs():
    mask = painted(ray(10), ray(70))
    noise = np.random.default_rng(0).random(SHAPE)
    edge = mask ^ painted(ray(10), ray(70), radius=4)
    mask[edge & (noise < 0.5)] = False
    assert whole(mask, [ray(10), ray(70)]) == (2, 2)


def test_filters():
    mask = painted(ray(0, 180, 180), ray(80, 30, 30, through=np.array([60.0, 60.0])))
    assert len(trace(mask)) == 2
    assert len(trace(mask, settings=TraceSettings(min_length_px=100))) == 1
    assert len(trace(mask, pixel_nm=0.5, settings=TraceSettings(min_length_nm=50))) == 1
    excluded = np.zeros(SHAPE, bool)
    excluded[:, 190:210] = True
    assert [one.id for one in trace(mask, excluded=excluded)] == [1, 2, 3]
    (cut,) = trace(painted(ray(0, 300, 300)), settings=TraceSettings(edge_px=25))
    assert cut.path[:, 1].min() >= 24
    assert cut.path[:, 1].max() <= 375


def test_filaments_that_bend_too_sharply_are_left_out():
    t = np.linspace(0, np.pi, 60)
    arc = CENTRE + 40 * np.stack([-np.sin(t), np.cos(t)], 1)
    mask = painted(arc)
    assert len(trace(mask, settings=TraceSettings(min_radius_px=20))) == 1
    assert trace(mask, settings=TraceSettings(min_radius_px=60)) == []


def drawn(seed):
    """Return a mask of a few curved filaments at random, some of them crossing."""
    rng = np.random.default_rng(seed)
    paths = []
    for _ in range(rng.integers(1, 5)):
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.05, 20))
        start = rng.uniform(20, [100, 130])
        paths.append(start + np.cumsum(8 * np.stack([np.sin(turns), np.cos(turns)], 1), axis=0))
    return painted(*paths, radius=rng.uniform(1.5, 6), shape=(120, 150))


@given(st.integers(0, 10**6), st.integers(0, 3), st.booleans(), st.booleans())
@profile(max_examples=15)
def test_turning_and_mirroring_the_plane_does_the_same_to_the_filaments(seed, turns, mirrored, soft):
    plane = drawn(seed)
    if soft:
        plane = np.where(plane, 0.9, 0.1) + np.random.default_rng(seed).uniform(-0.1, 0.1, plane.shape)
    places = np.stack(np.indices(plane.shape)).astype(float)
    other, (rows, cols) = np.rot90(plane, turns), (np.rot90(place, turns) for place in places)
    if mirrored:
        other, rows, cols = other[:, ::-1], rows[:, ::-1], cols[:, ::-1]
    there, here = trace(other), trace(plane)
    assert len(there) == len(here)
    for one, same in zip(there, here, strict=True):
        low = np.floor(one.path).astype(int).clip(0, np.array(other.shape) - 2)
        part = one.path - low
        back = np.stack(
            [  # the places are linear in the turned plane: read between pixels
                place[low[:, 0], low[:, 1]]
                + part[:, 0] * (place[low[:, 0] + 1, low[:, 1]] - place[low[:, 0], low[:, 1]])
                + part[:, 1] * (place[low[:, 0], low[:, 1] + 1] - place[low[:, 0], low[:, 1]])
                for place in (rows, cols)
            ],
            axis=1,
        )
        np.testing.assert_allclose(back, same.path, atol=1e-6)


def test_twice_is_the_same():
    for one, other in zip(trace(drawn(5)), trace(drawn(5)), strict=True):
        np.testing.assert_array_equal(one.path, other.path)


def test_where_filaments_cross_the_stronger_lies_on_top():
    weak = Filament(ray(0), id=1, width_px=10, score=0.5)
    strong = Filament(ray(90), id=2, width_px=10, score=0.9)
    labels = instance_labels([strong, weak], SHAPE)
    assert labels[150, 200] == 2
    assert labels[150, 100] == 1
    assert instance_labels([], (3, 4)).tolist() == np.zeros((3, 4)).tolist()
