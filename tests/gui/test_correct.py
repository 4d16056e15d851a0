import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.correct import drawn_region, field_in_sight, pixel_map, take_over


def two_layers(**place):
    viewer = ViewerModel()
    annotation = viewer.add_labels(np.zeros((6, 8), np.uint8), name="annotation", **place)
    prediction = viewer.add_labels(np.tile(np.array([1, 1, 1, 1, 2, 2, 2, 2], np.uint8), (6, 1)), **place)
    return viewer, annotation, prediction


def test_nothing_annotated_is_written_over():
    _, annotation, prediction = two_layers()
    annotation.data_setitem((np.array([0, 0]), np.array([0, 7])), np.array([2, 1], np.uint8))
    assert take_over(annotation, prediction) == 6 * 8 - 2
    assert annotation.data[0, 0] == 2
    assert annotation.data[0, 7] == 1


def test_unless_it_is_asked_for():
    _, annotation, prediction = two_layers()
    annotation.data_setitem((np.array([0]), np.array([0])), np.array([2], np.uint8))
    take_over(annotation, prediction, replace=True)
    np.testing.assert_array_equal(annotation.data, prediction.data)


def test_one_undo_takes_it_all_back():
    _, annotation, prediction = two_layers()
    annotation.data_setitem((np.array([2]), np.array([2])), np.array([2], np.uint8))
    before = annotation.data.copy()
    take_over(annotation, prediction, (slice(1, 5), slice(0, 8)))
    annotation.undo()
    np.testing.assert_array_equal(annotation.data, before)


def test_an_empty_prediction_changes_nothing():
    _, annotation, prediction = two_layers()
    prediction.data[:] = 0
    assert take_over(annotation, prediction) == 0


def test_only_the_region_is_filled():
    _, annotation, prediction = two_layers()
    take_over(annotation, prediction, (slice(1, 3), slice(3, 6)))
    assert np.count_nonzero(annotation.data) == 2 * 3
    np.testing.assert_array_equal(annotation.data[1:3, 3:6], prediction.data[1:3, 3:6])


def test_a_coarse_prediction_is_spread():
    viewer = ViewerModel()
    annotation = viewer.add_labels(np.zeros((4, 4), np.uint8))
    coarse = viewer.add_labels(np.array([[1, 2], [2, 1]], np.uint8), scale=(2, 2), translate=(0.5, 0.5))
    take_over(annotation, coarse)
    np.testing.assert_array_equal(annotation.data, np.kron([[1, 2], [2, 1]], np.ones((2, 2), int)))


def test_where_the_prediction_does_not_reach_nothing_is_filled():
    viewer = ViewerModel()
    annotation = viewer.add_labels(np.zeros((4, 4), np.uint8))
    beside = viewer.add_labels(np.full((4, 4), 2, np.uint8), translate=(0, 2))
    assert take_over(annotation, beside) == 8
    assert not annotation.data[:, :2].any()


@pytest.mark.parametrize(
    ("kind", "points", "pixels"),
    [
        ("rectangle", [[1, 2], [1, 5], [3, 5], [3, 2]], 12),
        ("polygon", [[0, 0], [0, 7], [5, 7], [5, 0]], 48),
        ("ellipse", [[0, 0], [0, 7], [5, 7], [5, 0]], 28),
    ],
)
def test_what_is_drawn(kind, points, pixels):
    viewer, annotation, prediction = two_layers()
    shapes = viewer.add_shapes([np.array(points)], shape_type=kind)
    region, mask = drawn_region(shapes, annotation)
    assert take_over(annotation, prediction, region, mask) == pytest.approx(
        pixels, abs=12 if kind == "ellipse" else 0
    )


def test_drawn_areas_follow_scale_and_selection():
    viewer, annotation, _ = two_layers(scale=(0.5, 0.5))
    areas = [np.array([[0, 0], [0, 1], [1, 1], [1, 0]]), np.array([[2, 2], [2, 3], [2.4, 3], [2.4, 2]])]
    shapes = viewer.add_shapes(areas, shape_type="rectangle")
    shapes.selected_data = {0}
    (rows, cols), _ = drawn_region(shapes, annotation)
    assert (rows, cols) == (slice(0, 3), slice(0, 3))


@pytest.mark.parametrize("points", [[[50, 50], [50, 60], [60, 60], [60, 50]], [[0, 0], [3, 3]]])
def test_an_area_outside_or_a_line_is_none(points):
    viewer, annotation, _ = two_layers()
    shapes = viewer.add_shapes([np.array(points)], shape_type="line" if len(points) == 2 else "polygon")
    with pytest.raises(CellsegError, match="no area is drawn"):
        drawn_region(shapes, annotation)


def test_field_in_sight_is_what_the_corners_say():
    _, annotation, _ = two_layers()
    annotation.corner_pixels = np.array([[1, 2], [3, 6]])
    assert field_in_sight(annotation) == (slice(1, 4), slice(2, 7))
    annotation.corner_pixels = np.zeros((2, 2), int)
    assert field_in_sight(annotation) == (slice(0, 6), slice(0, 8))


def test_pixel_map_of_layers_in_one_place_is_the_identity():
    _, annotation, prediction = two_layers(scale=(0.3, 0.3), rotate=40)
    np.testing.assert_allclose(pixel_map(annotation, prediction), np.eye(2, 3), atol=1e-9)
