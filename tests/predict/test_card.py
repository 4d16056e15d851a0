"""What happens on a graphics card, done on every device that is there, processors included."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_cellseg.images.micrographs import Image
from napari_cellseg.nets import backends
from napari_cellseg.nets.machine import accelerators
from napari_cellseg.nets.model import Model
from napari_cellseg.predict import card
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.plan import plan_grid
from napari_cellseg.predict.segment import segment_grid
from napari_cellseg.settings import SegmentSettings

DEVICES = ["cpu", *(device for device in accelerators() if device.startswith("cuda"))]


@pytest.fixture(params=DEVICES)
def settings(request, monkeypatch) -> SegmentSettings:
    monkeypatch.setattr(backends, "pick_device", lambda device="auto": device)
    return SegmentSettings(device=request.param, backend="torch", precision="float32", block_px=64)


def pixels(kind: str, *shape: int) -> np.ndarray:
    values = np.random.default_rng(0).normal(100, 20, shape).clip(1, 200)
    if np.dtype(kind).kind == "f":
        values[..., 3, 5], values[..., 7, :2] = np.nan, np.inf
    return values.astype(kind)


def made(image: Image, model, settings: SegmentSettings, encode: Encode) -> np.ndarray:
    grid = plan_grid(image, model, settings=settings)
    lazy = segment_grid(image, model, grid, settings=settings, encode=encode)
    assert lazy.dtype == np.uint8
    return lazy.compute(scheduler="synchronous")


@pytest.fixture
def on_card(monkeypatch):
    """Take everything to the card, wherever it is; return what went there."""
    went, launch = [], card.CardNetwork.launch

    def noted(self, window, keep):
        went.append(window)
        return launch(self, window, keep)

    monkeypatch.setattr(card.CardNetwork, "launch", noted)
    monkeypatch.setattr(card, "takes", lambda *_: True)
    return went


@pytest.mark.parametrize("threshold", [None, 0.45])
@pytest.mark.parametrize("kind", ["u1", "<u2", ">u2", "i2", "f2", ">f4"])
def test_the_same_as_beside_it(kind, threshold, settings, small_net, request):
    image, model, encode = Image.from_array(pixels(kind, 150, 131)), small_net(), Encode(2, threshold)
    beside = made(image, model, settings.model_copy(update={"device": "cpu"}), encode)
    went = request.getfixturevalue("on_card")
    there = made(image, model, settings, encode)
    assert len(went) == 9
    assert {window.dtype for window in went} == {image.data.dtype}  # as in the file
    assert abs(there[:-1].astype(int) - beside[:-1]).max() <= 1
    assert (there[-1] == beside[-1]).mean() > 0.999


def test_several_channels_and_classes(settings, small_net, request):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), small_net(4).net)
    model = Model(replace(small_net(4).spec, channels=3), net.eval())
    image = Image.from_array(pixels("u2", 3, 70, 90) * np.array([1, 30, 200], np.uint16)[:, None, None])
    beside = made(image, model, settings.model_copy(update={"device": "cpu"}), Encode(4))
    request.getfixturevalue("on_card")
    there = made(image, model, settings, Encode(4))
    assert abs(there[:-1].astype(int) - beside[:-1]).max() <= 1
    assert set(np.unique(there[-1])) <= {1, 2, 3, 4}


def test_halved_where_memory_runs_out(settings, small_net, on_card, monkeypatch, caplog):
    image, model = Image.from_array(pixels("u2", 200, 180)), small_net()
    expected = made(image, model, settings, Encode(2))
    launch = card.CardNetwork.launch

    def limited(self, window, keep):
        if window[0].size > 70 * 70:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return launch(self, window, keep)

    monkeypatch.setattr(card.CardNetwork, "launch", limited)
    assert abs(made(image, model, settings, Encode(2)).astype(int) - expected).max() <= 1
    assert "out of memory" in caplog.text


def test_what_goes_to_the_card(local_model, monkeypatch):
    monkeypatch.setattr(backends, "pick_device", lambda device="auto": "cuda" if device == "auto" else device)
    image, kind = Image.from_array(pixels("u2", 60, 50), pixel_nm=1.0), np.dtype("u2")
    grid = plan_grid(image, local_model(), settings=SegmentSettings(block_px=64))
    assert card.takes(kind, grid, SegmentSettings())
    assert card.takes(kind, grid, SegmentSettings(backend="torch", device="cuda"))
    for other in ({"views": 4}, {"uncertainty": "entropy"}, {"device": "cpu"}, {"backend": "openvino"}):
        assert not card.takes(kind, grid, SegmentSettings(**other))
    assert not card.takes(np.dtype("f8"), grid, SegmentSettings())
    resampled = plan_grid(image, local_model(pixel_nm=2.0), settings=SegmentSettings(block_px=64))
    assert not card.takes(kind, resampled, SegmentSettings())
