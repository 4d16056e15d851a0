import io

import pytest
from PIL import Image as Picture

from napari_cellseg.nets.redundancy import LayerInformation
from napari_cellseg.report.redundancy import draw_information


@pytest.mark.parametrize("count", [1, 30])
def test_the_information_plane_is_drawn(count):
    layers = [LayerInformation(f"conv{i}", (8, 4, 4), 3.0 / (i + 1), 2.0, float(i)) for i in range(count)]
    picture = Picture.open(io.BytesIO(draw_information(layers, title="a network")))
    assert picture.size[0] > 1000
