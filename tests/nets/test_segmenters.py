import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.segmenters import ARCHITECTURES, ENCODERS, build_segmenter, load_encoder_weights

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
    from safetensors.torch import load_file
    from segmentation_models_pytorch.encoders import get_encoder

    rgb = get_encoder("resnet18", depth=depth, weights=None)
    rgb.load_state_dict(load_file(path), strict=False)
    rgb.set_in_channels(channels, pretrained=True)
    return rgb.state_dict()["conv1.weight"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    ("depth", "channels", "outputs"), [(3, 1, 2), (3, 5, 6), (4, 3, 3), (4, 4, 5), (5, 2, 4)]
)
def test_contract(architecture, encoder, depth, channels, outputs):
    options = {"depth": depth, "width": 4}
    net = build_segmenter(architecture, encoder, channels=channels, outputs=outputs, options=options)
    stride = 2**depth
    logits = net(torch.randn((2, channels, stride, 2 * stride), generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, outputs, stride, 2 * stride)
    assert logits.dtype == torch.float32
    logits.square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert any(parameter.grad.any() for parameter in net.parameters())


def test_a_window_stands_for_itself_in_evaluation():
    net = build_segmenter("unet", "resnet18", channels=1, outputs=2, options=SMALL).eval()
    windows = torch.randn((3, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = net(windows)
        alone = torch.cat([net(window[None]) for window in windows])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_width_sets_the_size_and_no_unused_layer_is_kept():
    sizes = [
        sum(
            p.numel()
            for p in build_segmenter("unet", "resnet18", channels=1, outputs=2, options=o).parameters()
        )
        for o in (
            {"depth": 3, "width": 4},
            {"depth": 3, "width": 8},
            {"depth": 4, "width": 8},
            {"depth": 5, "width": 8},
            {},
        )
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < 1e6
    assert sizes[-1] > 1e7


@pytest.mark.parametrize(
    ("architecture", "encoder", "line"),
    [
        (
            "transformer9",
            "resnet18",
            f"unknown architecture 'transformer9'; expected one of {', '.join(ARCHITECTURES)}",
        ),
        ("unet", "vgg", f"unknown encoder 'vgg'; expected one of {', '.join(ENCODERS)}"),
    ],
)
def test_unknown_names_list_the_known_ones(architecture, encoder, line):
    with pytest.raises(CellsegError) as raised:
        build_segmenter(architecture, encoder, channels=1, outputs=2)
    assert str(raised.value) == line


@pytest.mark.parametrize("names", [ARCHITECTURES, ENCODERS])
def test_described(names):
    assert all(str(getattr(entry, "description", entry)) for entry in names.values())


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
    from safetensors.torch import load_file

    weights = load_file(weights_file)
    for name, tensor in net.encoder.state_dict().items():
        if name != "conv1.weight":
            assert torch.equal(tensor, weights[name]), name
    assert torch.equal(net.segmentation_head[0].weight, head)


def test_grey_is_the_sum_of_the_colours(weights_file):
    from safetensors.torch import load_file

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
    from safetensors.torch import load_file

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
        from segmentation_models_pytorch.encoders import encoders

        for encoder in ENCODERS:
            assert {"repo_id", "revision"} <= encoders[encoder]["pretrained_settings"]["imagenet"].keys()


def test_importing_costs_no_torch():
    code = (
        "import sys, napari_cellseg.nets.segmenters, napari_cellseg.nets.losses, napari_cellseg.nets.presets,"
        "napari_cellseg.nets.backends; sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
