import io

import numpy as np
from PIL import Image

from napari_cellseg.images.filament import Filament
from napari_cellseg.report.filament_pictures import draw_filaments


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_each_filament_lies_where_it_is_in_a_colour_of_its_own():
    plane = np.zeros((400, 600), np.float32)
    filaments = [Filament([[100, 50], [100, 550]]), Filament([[300, 50], [300, 550]])]
    drawn = pixels(draw_filaments(plane, filaments, side_px=300))
    assert drawn.shape == (200, 300, 3)
    first, second, beside = drawn[50, 150], drawn[150, 150], drawn[100, 150]
    assert np.ptp(beside) == 0
    assert np.ptp(first) > 80
    assert np.abs(first - second).max() > 80


def test_no_filaments_leave_the_image():
    assert np.ptp(pixels(draw_filaments(np.eye(30), [])), axis=2).max() == 0
