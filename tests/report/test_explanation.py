import io

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_cellseg.images.micrographs import read_image
from napari_cellseg.predict.explain import Explanation
from napari_cellseg.report.explanation import draw_explanation, read_explanation, write_explanation


@pytest.fixture
def found() -> Explanation:
    heat = np.random.default_rng(0).normal(0, 1, (30, 40)).astype(np.float32)
    return Explanation(heat, slice(10, 40), slice(100, 140), "filament", 2.5)


def test_a_file_says_what_it_is_and_where_it_belongs(found, tmp_path):
    path = tmp_path / "why.tif"
    write_explanation(path, found, pixel_nm=0.5, method="lime", at=(20, 120))
    again, facts = read_explanation(path)
    np.testing.assert_array_equal(again.heat, found.heat)
    assert (again.rows, again.cols, again.class_name, again.odds) == (
        found.rows,
        found.cols,
        "filament",
        2.5,
    )
    assert facts["method"] == "lime"
    assert facts["at"] == [20, 120]
    assert read_image(path).pixel_nm == pytest.approx(0.5)
    assert tifffile.imread(path).dtype == np.float32


@pytest.mark.parametrize("plane", [np.zeros((30, 40)), np.arange(1200).reshape(30, 40)])
@pytest.mark.parametrize("at", [None, (20, 120)])
def test_the_picture_shows_the_image_and_the_map(found, plane, at):
    data = draw_explanation(plane, found, at=at, title="mic, row 20")
    assert Picture.open(io.BytesIO(data)).size[0] > 1000


def test_a_map_of_nothing_can_be_drawn(found):
    nothing = Explanation(np.zeros((30, 40), np.float32), found.rows, found.cols, "filament", 0.0)
    assert draw_explanation(np.zeros((30, 40)), nothing).startswith(b"\x89PNG")
