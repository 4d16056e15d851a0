import numpy as np
import pytest
import torch
from torch import nn

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import Image
from napari_cellseg.nets.model import Model, ModelSpec
from napari_cellseg.predict import explain as module
from napari_cellseg.predict import explainers
from napari_cellseg.predict.explain import explain
from napari_cellseg.predict.explainers import EXPLAINERS, coarsest_layer, superpixels


@pytest.fixture(autouse=True)
def _little_work(monkeypatch):
    monkeypatch.setattr(explainers, "LIME_SAMPLES", 60)
    monkeypatch.setattr(module, "LEAST_PX", 64)


def looking_aside(rows: int, cols: int, pixel_nm: float | None = None) -> Model:
    """A model that finds "spot" by the pixel `rows` below and `cols` right of the place."""
    net = nn.Sequential(nn.Conv2d(1, 2, 25, padding=12), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1))
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.zero_()
        net[0].weight[1, 0, 12 + rows, 12 + cols] = 1.0
        net[2].weight[1, 1] = 1.0
        net[2].bias[0] = 0.5
    spec = ModelSpec("unet", "resnet18", Classes.of("spot"), stride=4, halo_px=16, pixel_nm=pixel_nm)
    return Model(spec, net.eval())


def spots(*places, shape=(90, 100), size=6, pixel_nm=None) -> Image:
    """An even, slightly noisy image with bright squares around places."""
    pixels = np.random.default_rng(0).normal(0, 0.05, shape)
    for row, col in places:
        pixels[row - size // 2 : row + size // 2, col - size // 2 : col + size // 2] += 10
    return Image.from_array(pixels.astype(np.float32), "spots", pixel_nm=pixel_nm)


def strongest(found) -> tuple[int, int]:
    row, col = np.unravel_index(found.heat.argmax(), found.heat.shape)
    return int(row) + found.rows.start, int(col) + found.cols.start


@pytest.mark.parametrize("method", EXPLAINERS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (90, 100)])
def test_any_size_gives_a_map_in_its_place(method, shape):
    image = Image.from_array(np.random.default_rng(0).normal(0, 1, shape).astype(np.float32))
    found = explain(image, looking_aside(0, 0), (0, shape[1] - 1), class_name="spot", method=method)
    assert found.heat.shape == (found.rows.stop - found.rows.start, found.cols.stop - found.cols.start)
    assert found.rows.start == 0
    assert found.cols.stop == shape[1]
    assert np.isfinite(found.heat).all()
    assert found.heat.dtype == np.float32


@pytest.mark.parametrize("method", ["occlusion", "integrated-gradients", "lime"])
def test_the_map_shows_where_the_network_looked(method):
    found = explain(spots((50, 62)), looking_aside(5, 10), (45, 52), method=method)
    assert found.class_name == "spot"
    assert found.odds > 0
    if method != "lime":
        assert np.hypot(*np.subtract(strongest(found), (50, 62))) < 8
    assert found.heat[50 - found.rows.start, 62 - found.cols.start] > 0.9 * found.heat.max()
    assert found.heat.max() > 10 * abs(found.heat[: 45 - found.rows.start, : 52 - found.cols.start]).max()


def test_grad_cam_shows_the_features_that_count():
    found = explain(spots((50, 62), (20, 20)), looking_aside(0, 0), (50, 62), method="grad-cam")
    assert found.heat.min() == 0
    assert found.heat[50 - found.rows.start, 62 - found.cols.start] == found.heat.max()


def test_gradients_on_the_way_from_grey_add_up_to_the_odds():
    image, model = spots((50, 62)), looking_aside(0, 0)
    found = explain(image, model, (50, 62), method="integrated-gradients")
    assert found.heat.sum() == pytest.approx(found.odds + 0.5, rel=0.05)  # grey has odds of -0.5


def test_what_is_explained_is_the_class_at_the_place_unless_one_is_named():
    image, model = spots((50, 62)), looking_aside(0, 0)
    assert explain(image, model, (50, 62), method="grad-cam").class_name == "spot"
    assert explain(image, model, (10, 10), method="grad-cam").class_name == "background"
    found = explain(image, model, (50, 62), class_name="background", method="integrated-gradients")
    assert found.odds < 0
    assert found.heat.min() < -abs(found.heat.max())


def test_a_class_is_explained_in_the_middle_of_the_image():
    found = explain(spots((45, 50)), looking_aside(0, 0), class_name="spot", method="integrated-gradients")
    assert np.hypot(*np.subtract(strongest(found), (45, 50))) < 5
    with pytest.raises(CellsegError, match="no spot is found in the middle"):
        explain(Image.from_array(np.zeros((90, 100)), "none"), looking_aside(0, 0), class_name="spot")


@pytest.mark.parametrize("pixel_nm", [0.5, 2.0])
def test_the_map_is_in_source_pixels(pixel_nm):
    """The model works at 1 nm; the spot it looks at lies 8 nm below the place."""
    below = round(8 / pixel_nm)
    image = spots((60, 50), size=round(8 / pixel_nm), pixel_nm=pixel_nm)
    model = looking_aside(8, 0, pixel_nm=1.0)
    found = explain(image, model, (60 - below, 50), method="integrated-gradients")
    assert np.hypot(*np.subtract(strongest(found), (60, 50))) < 4 / pixel_nm


def test_the_same_question_has_the_same_answer():
    image, model = spots((50, 62)), looking_aside(0, 0)
    first, second = (explain(image, model, (50, 62), method="lime").heat for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_network_is_left_as_it_is():
    model = looking_aside(0, 0)
    explain(spots((50, 62)), model, (50, 62), method="grad-cam")
    assert model.net[1].inplace
    assert all(weight.requires_grad for weight in model.net.parameters())
    assert not any(layer._forward_hooks for layer in model.net.modules())


def test_pooled_maps_are_not_taken_for_the_coarsest_layer():
    class Pooling(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(1, 2, 3, stride=8, padding=1)
            self.pooled = nn.Conv2d(2, 2, 1)

        def forward(self, x):
            x = self.down(x)
            return x + self.pooled(x.mean((2, 3), keepdim=True))

    net = Pooling()
    assert coarsest_layer(net, torch.zeros(1, 1, 64, 64)) is net.down


def test_superpixels_cover_the_window_from_0_on():
    numbers = superpixels(np.random.default_rng(0).normal(0, 1, (2, 60, 64)).astype(np.float32))
    assert numbers.shape == (60, 64)
    assert set(np.unique(numbers)) == set(range(numbers.max() + 1))
    assert numbers.max() > 8


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"at": (90, 5)}, r"place 90, 5 outside.*row 0 to 89"),
        ({"at": (-1, 5)}, "outside"),
        ({"at": (5, 5), "method": "tarot"}, r"unknown method 'tarot'.*occlusion"),
        ({"at": (5, 5), "class_name": "moon"}, "no class 'moon'"),
        ({"at": (5, 5), "class_name": "not annotated"}, "one of background, spot"),
        ({}, "neither a place nor a class"),
    ],
)
def test_a_question_that_is_none(arguments, says):
    with pytest.raises(CellsegError, match=says):
        explain(spots(), looking_aside(0, 0), **arguments)


def test_without_captum_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(explainers, "find_spec", lambda name: None)
    assert "pip install" in EXPLAINERS["lime"].missing()
    with pytest.raises(CellsegError, match=r"captum is not installed.*'napari-cellseg\[explain\]'"):
        explain(spots(), looking_aside(0, 0), (5, 5))
