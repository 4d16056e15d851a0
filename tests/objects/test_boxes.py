"""Boxes along filaments."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.boxes import cut_boxes

IMAGE = np.arange(60.0 * 90).reshape(60, 90)


def test_no_filaments():
    boxes = cut_boxes(IMAGE, [], box_px=8, step_px=5)
    assert boxes.pixels.shape == (0, 8, 8)
    assert boxes.left_out == 0


def test_no_plane_and_no_box():
    with pytest.raises(CellsegError, match="shape"):
        cut_boxes(np.zeros((2, 9, 9)), [], box_px=8, step_px=5)
    with pytest.raises(CellsegError, match="at least 1 px"):
        cut_boxes(IMAGE, [], box_px=0, step_px=5)


@pytest.mark.parametrize("box_px", [8, 9])
def test_the_centre_pixel_is_where_relion_has_it(box_px):
    boxes = cut_boxes(IMAGE, [Filament([[30.7, 20.2], [30.7, 60.2]])], box_px=box_px, step_px=7)
    for place, box in zip(boxes.segments[0].points, boxes.pixels, strict=True):
        assert box[box_px // 2, box_px // 2] == IMAGE[int(place[0]), int(place[1])]


def test_no_box_leaves_the_field_unless_padded():
    filaments = [Filament([[30, 0], [30, 89]]), Filament([[1, 10], [1, 80]], id=2)]
    boxes = cut_boxes(IMAGE, filaments, box_px=16, step_px=10)
    assert [one.id for one in boxes.filaments] == [1]
    assert boxes.left_out == 8
    assert boxes.segments[0].track_px[0] == 10  # the track counts on over what is left out
    padded = cut_boxes(IMAGE, filaments, box_px=16, step_px=10, pad=True)
    assert padded.left_out == 0
    assert len(padded.pixels) == 16
    assert (padded.pixels[9, :7] == padded.pixels[9, 7]).all()  # the first row again and again
