"""Filaments of which only one edge is free: side by side, or one upon another."""

import numpy as np
import pytest

from napari_cellseg.images.filament import Filament
from napari_cellseg.images.simulate.strokes import paint_stroke
from napari_cellseg.objects.edges import usual_width, with_edges
from napari_cellseg.objects.filaments import trace
from napari_cellseg.objects.segments import Segment, segments_of
from napari_cellseg.objects.settings import TraceSettings
from napari_cellseg.objects.skeleton import skeleton_graph
from napari_cellseg.report.metrics.filaments import filament_scores

SHAPE, WIDTH = (400, 700), 24.0
LONG = np.array([[200.0, 30.0], [200.0, 670.0]])


def painted(*paths, radius=WIDTH / 2):
    mask = np.zeros(SHAPE, bool)
    for path in paths:
        paint_stroke(mask, np.asarray(path, float), radius, True)
    return mask


def segment(width, length=100):
    return Segment(np.stack([np.zeros(length), np.arange(length)], 1).astype(float), width, None)


def test_a_usual_width_is_that_of_most_of_the_length():
    assert usual_width([]) is None
    assert usual_width([segment(20.0), segment(21.0), segment(40.0, 20)]) == pytest.approx(20.5, abs=0.5)
    assert usual_width([segment(10.0), segment(20.0)]) is None


def test_where_widths_differ_nothing_is_looked_for():
    mask = painted(LONG) | painted([[60, 30], [60, 670]], radius=8)
    skeleton = skeleton_graph(mask, 0.5, WIDTH)
    segments = segments_of(skeleton, mask, 0.5)
    same, tips = with_edges(segments, skeleton.means, skeleton.reduction, 0.5)
    assert same is segments
    assert tips.shape == (0, 2)


def test_tips_are_where_filaments_end():
    beside = np.array([[218.0, 240.0], [218.0, 460.0]])
    mask = painted(LONG, beside)
    skeleton = skeleton_graph(mask, 0.5, WIDTH)
    _, tips = with_edges(segments_of(skeleton, mask, 0.5), skeleton.means, skeleton.reduction, 0.5)
    for end in (*LONG, *beside):
        assert np.hypot(*(tips - end).T).min() < 0.25 * WIDTH


@pytest.mark.parametrize(
    "short",
    [
        [[218, 240], [218, 460]],  # beside, nowhere alone
        [[180, 250], [220, 450]],  # across, at eleven degrees
    ],
    ids=["beside", "across"],
)
def test_a_filament_upon_a_longer_one_is_found(short):
    paths = [Filament(LONG), Filament(np.array(short, float))]
    found = trace(painted(LONG, short), settings=TraceSettings(width_px=WIDTH))
    scores = filament_scores(found, paths, tolerance_px=WIDTH / 2)
    assert (scores.whole, scores.traced) == (2, 2)


def test_a_tip_beside_another_filament_is_no_link():
    one, other = np.array([[200.0, 30.0], [200.0, 380.0]]), np.array([[216.0, 330.0], [216.0, 670.0]])
    scores = filament_scores(
        trace(painted(one, other)), [Filament(one), Filament(other)], tolerance_px=WIDTH / 2
    )
    assert (scores.whole, scores.traced) == (2, 2)
