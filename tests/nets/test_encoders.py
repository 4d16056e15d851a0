import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.encoders import ENCODERS, _hub_place, check_encoder, load_encoder_weights
from napari_cellseg.nets.segmenters import build_segmenter

SMALL = {"depth": 3, "width": 4}


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Return a file as the library publishes it: the RGB encoder, whole."""
    from segmentation_models_pytorch.encoders import get_encoder

    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(get_encoder("resnet18", weights=None).state_dict(), path)
    return path


def first_layer_of_the_library(path, channels, depth):
    from segmentation_models_pytorch.encoders import get_encoder

    rgb = get_encoder("resnet18", depth=depth, weights=None)
    rgb.load_state_dict(load_file(path), strict=False)
    rgb.set_in_channels(channels, pretrained=True)
    return rgb.state_dict()["conv1.weight"]


@pytest.mark.parametrize("depth", [3, 5])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_local_weights(weights_file, channels, depth):
    options = {"depth": depth, "width": 4}
    net = build_segmenter("unet", "resnet18", channels=channels, outputs=2, options=options)
    head = net.segmentation_head[0].weight.clone()
    sentence = load_encoder_weights(net, "resnet18", weights_file=str(weights_file))
    assert sentence == "Encoder resnet18 starts from the weights in resnet18.safetensors."
    first = net.encoder.conv1.weight
    assert first.shape[1] == channels
    assert torch.equal(first, first_layer_of_the_library(weights_file, channels, depth))
    weights = load_file(weights_file)
    for name, tensor in net.encoder.state_dict().items():
        if name != "conv1.weight":
            assert torch.equal(tensor, weights[name]), name
    assert torch.equal(net.segmentation_head[0].weight, head)


def test_grey_is_the_sum_of_the_colours(weights_file):
    net = build_segmenter("unet", "resnet18", channels=1, outputs=2, options=SMALL)
    load_encoder_weights(net, "resnet18", weights_file=str(weights_file))
    rgb = load_file(weights_file)["conv1.weight"]
    torch.testing.assert_close(net.encoder.conv1.weight, rgb.sum(1, keepdim=True))


def test_file_of_something_else(tmp_path, weights_file):
    net = build_segmenter("unet", "resnet18", channels=1, outputs=2, options=SMALL)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("weights")
    (tmp_path / "cut").write_bytes(weights_file.read_bytes()[:-9])
    (tmp_path / "folder").mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    for name in ("missing", "empty", "text", "cut", "folder", "foreign"):
        with pytest.raises(CellsegError) as raised:
            load_encoder_weights(net, "resnet18", weights_file=str(tmp_path / name))
        line = str(raised.value)
        assert str(tmp_path / name) in line
        assert "no weights of encoder resnet18" in line
        assert "--no-pretrained" in line
        assert "\n" not in line
    with pytest.raises(CellsegError, match="no weights of encoder resnet34"):
        load_encoder_weights(
            build_segmenter("unet", "resnet34", channels=1, outputs=2, options=SMALL),
            "resnet34",
            weights_file=str(weights_file),
        )
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_layers_of_another_shape(tmp_path, weights_file):
    weights = load_file(weights_file)
    weights["conv1.weight"] = weights["conv1.weight"][:, :2].contiguous()
    save_file(weights, tmp_path / "a.safetensors")
    net = build_segmenter("unet", "resnet18", channels=1, outputs=2, options=SMALL)
    with pytest.raises(CellsegError, match="no weights of encoder"):
        load_encoder_weights(net, "resnet18", weights_file=str(tmp_path / "a.safetensors"))


class TestHub:
    """Nothing here leaves the machine."""

    @pytest.fixture
    def net(self):
        return build_segmenter("unet", "resnet18", channels=1, outputs=2, options=SMALL)

    def test_offline(self, net, tmp_path, monkeypatch):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda **_: None)
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        began = time.monotonic()
        sentence = load_encoder_weights(net, "resnet18")
        assert time.monotonic() - began < 20  # the library's own retries take longer
        assert "HF_HUB_OFFLINE is set" in sentence
        assert sentence.endswith("starts from scratch.")
        assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())

    def test_unreachable(self, net, monkeypatch):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda **_: None)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        sentence = load_encoder_weights(net, "resnet18")
        assert "the model hub cannot be reached" in sentence
        assert sentence.endswith("starts from scratch.")

    def test_download_that_breaks_off(self, net, monkeypatch):
        from huggingface_hub import constants
        from huggingface_hub.errors import HfHubHTTPError

        def break_off(**_):
            raise HfHubHTTPError.__bases__[0]("connection reset")

        class Answer:
            def close(self):
                pass

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda **_: None)
        monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer())
        monkeypatch.setattr("huggingface_hub.hf_hub_download", break_off)
        assert "cannot be reached" in load_encoder_weights(net, "resnet18")

    def test_cached(self, net, weights_file, monkeypatch):
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda **_: str(weights_file))
        assert load_encoder_weights(net, "resnet18") == "Encoder resnet18 starts from ImageNet weights."

    def test_every_encoder_is_known_to_the_hub(self):
        for encoder in ENCODERS:
            assert _hub_place(encoder)["repo_id"], encoder


@pytest.mark.parametrize("name", ["resnet152", "timm-efficientnet-b0", "tu-resnet26d", "tu-resnet18.a1_in1k"])
def test_any_encoder_of_the_libraries_is_known(name):
    check_encoder(name)


@pytest.mark.parametrize(
    ("name", "near"), [("resnet19", "resnet18"), ("tu-resnet19", "tu-resnet18"), ("", "resnet18")]
)
def test_unknown_encoders_list_near_ones(name, near):
    with pytest.raises(CellsegError, match=f"unknown encoder '{name}'; expected such as .*{near}"):
        check_encoder(name)


@pytest.mark.parametrize(("encoder", "channels"), [("vgg16", 1), ("tu-resnet10t", 2)])
def test_local_weights_of_other_families(tmp_path, encoder, channels):
    import timm
    from segmentation_models_pytorch.encoders import get_encoder

    torch.manual_seed(3)
    whole = (
        timm.create_model("resnet10t") if encoder.startswith("tu-") else get_encoder(encoder, weights=None)
    )
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    net = build_segmenter("unet-shuffle", encoder, channels=channels, outputs=2)
    load_encoder_weights(net, encoder, weights_file=str(tmp_path / "w.safetensors"))
    inner = net.encoder.model if encoder.startswith("tu-") else net.encoder
    mine, theirs = inner.state_dict(), whole.state_dict()
    last = [name for name, tensor in mine.items() if tensor.ndim == 4][-1]
    known = {name.replace(".", "_"): tensor for name, tensor in theirs.items()}
    assert torch.equal(mine[last], known[last.replace(".", "_")])


def test_a_network_without_encoder_says_so():
    net = build_segmenter("unet-light", "", channels=1, outputs=2, options=SMALL)
    assert "no encoder" in load_encoder_weights(net, "")
    with pytest.raises(CellsegError, match="without encoder"):
        load_encoder_weights(net, "", weights_file="a.safetensors")
