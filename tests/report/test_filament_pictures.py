import io

import numpy as np
from PIL import Image

from napari_cellseg.images.filament import Filament
from napari_cellseg.report.filament_pictures import draw_filaments, draw_strip


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


def test_points_on_a_strip_have_the_colour_of_what_they_are():
    found, true = np.array([[20.0, 50.0], [20.0, 450.0]]), np.array([[21.0, 52.0], [20.0, 750.0]])
    drawn = pixels(draw_strip(np.zeros((40, 900), np.float32), found, true, near_px=5, side_px=600))
    coloured = np.ptp(drawn, axis=2) > 60
    thirds = np.array_split(np.arange(len(drawn)), 3)
    colours = [drawn[rows][coloured[rows]].mean(axis=0) for rows in thirds]
    right, wrong, missed = colours
    assert right[2] > right[0]  # blue
    assert wrong[0] > wrong[2] > wrong[1]  # red-purple
    assert min(missed[:2]) > missed[2]  # yellow


def test_a_strip_without_points_is_only_the_strip():
    drawn = pixels(draw_strip(np.eye(10, 90), np.zeros((0, 2)), np.zeros((0, 2)), near_px=5, side_px=300))
    assert np.ptp(drawn, axis=2).max() == 0
