"""Files of points as what a network learns from."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.point_masks import read_point_mask
from napari_cellseg.images.micrographs import Image

IMAGE = Image.from_array(np.zeros((40, 60), np.float32), pixel_nm=0.5)


def points(folder, text, name="m_troponin.csv"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m_troponin.csv: 0 points, none in the image"),
        ("X,Y\n900,900\n", "1 points, none in the image of 40 x 60"),
        ("filament,X,Y\n1,0,0\n1,9,9\n", "1 filaments and no points"),
        ("a,b\n1,2\n", "columns a, b"),
    ],
)
def test_what_holds_no_points_of_the_image(text, message, tmp_path):
    with pytest.raises(CellsegError, match=message):
        read_point_mask(points(tmp_path, text), IMAGE, 3.0)


def test_the_radius_is_in_nm(tmp_path):
    labels = read_point_mask(points(tmp_path, "X,Y\n30,20\n"), IMAGE, 3.0)
    assert np.argwhere(labels == 2).min(axis=0).tolist() == [14, 24]
    unsized = Image.from_array(np.zeros((40, 60), np.float32))
    labels = read_point_mask(points(tmp_path, "X,Y\n30,20\n"), unsized, 3.0)
    assert np.argwhere(labels == 2).min(axis=0).tolist() == [17, 27]


def test_a_layer_saved_by_napari_and_found_points_are_read(tmp_path):
    layer = points(tmp_path, "index,axis-0,axis-1\n0.0,20,30\n")
    found = points(tmp_path, "X,Y,score,on_filament,along_px\n30,20,0.8,2,15.0\n", "m_points.csv")
    for path in (layer, found):
        assert read_point_mask(path, IMAGE, 3.0)[20, 30] == 2
