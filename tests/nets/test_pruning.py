"""Thinner networks are built, kept and loaded like whole ones."""

from dataclasses import replace

import pytest
import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, load_model, new_model, save_model
from napari_cellseg.nets.pruning import prune, set_widths

SMALL = {"depth": 3, "width": 16}


def built(architecture="unet", encoder="resnet18", options=SMALL, stride=8):
    torch.manual_seed(0)
    return new_model(ModelSpec(architecture, encoder, Classes.of("a", "b"), stride=stride, options=options))


def weights(model):
    return sum(tensor.numel() for tensor in model.net.parameters())


def answer(model, side=64):
    torch.manual_seed(1)
    with torch.inference_mode():
        return model.net.eval()(torch.randn(1, 1, side, side))


@pytest.mark.parametrize("share", [0, -0.1, 0.95, float("nan")])
def test_a_share_out_of_bounds(share):
    with pytest.raises(CellsegError, match="a share above 0"):
        prune(built(), share)


@pytest.mark.parametrize(
    ("architecture", "encoder", "options", "stride"),
    [
        ("unet", "resnet18", SMALL, 8),
        ("unet", "tu-efficientnet_lite0", {}, 32),  # depthwise
        ("unetplusplus", "resnet18", {}, 32),
        ("linknet", "resnet18", {}, 32),
        ("unet-light", "", {"depth": 3}, 4),
        ("unet-vanilla", "", {"depth": 3, "width": 32}, 4),
        ("unet-nested", "", {"depth": 3, "deep_supervision": True}, 4),
    ],
)
def test_a_pruned_network_comes_back_from_its_file(architecture, encoder, options, stride, tmp_path):
    whole = built(architecture, encoder, options, stride)
    before = weights(whole)
    thin = prune(whole, 0.5)
    assert weights(whole) == before
    assert weights(thin) < 0.5 * before
    assert answer(thin).shape == (1, 3, 64, 64)
    back = load_model(save_model(tmp_path / "thin.safetensors", thin.spec, thin.net))
    assert back.spec.widths
    torch.testing.assert_close(answer(back), answer(thin))
    loss = back.net.train()(torch.randn(2, 1, 64, 64))  # it can be trained
    (loss[0] if isinstance(loss, tuple) else loss).mean().backward()
    assert all(p.grad is None or p.grad.shape == p.shape for p in back.net.parameters())


def test_channels_that_do_nothing_go_first():
    """Half of a layer's channels are silenced everywhere: without them the answer is the same."""
    model = built("unet-vanilla", "", {"depth": 2, "width": 16}, 2)
    for layer in model.net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            silent = slice(0, len(layer.weight) // 2)
            with torch.no_grad():
                layer.weight[silent] = layer.bias[silent] = 0
    rising = model.net.rise[0]
    with torch.no_grad():
        rising.weight[:, :8] = rising.bias[:8] = 0
        for layer in model.net.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.out_channels > 3:
                layer.weight[: layer.out_channels // 2] = 0
    thin = prune(model, 0.5)
    assert thin.net.head.in_channels == 8
    torch.testing.assert_close(answer(thin), answer(model))


@pytest.mark.parametrize(("share", "left"), [(0.1, 8), (0.5, 8), (0.9, 8)])
def test_a_multiple_of_8_stays(share, left):
    thin = prune(built("unet-light", "", {"depth": 3, "width": 16}, 4), share)
    assert thin.net.down[0].both[0].out_channels == left
    assert {layer.out_channels % 8 for layer in thin.net.modules() if isinstance(layer, torch.nn.Conv2d)} <= {
        0,
        3,
    }


def test_pruned_twice():
    once = prune(built(), 0.25)
    twice = prune(once, 0.5)
    assert weights(twice) < weights(once)
    again = new_model(twice.spec).net
    again.load_state_dict(twice.net.state_dict())


def test_nothing_to_take():
    with pytest.raises(CellsegError, match="takes none away"):
        prune(built("unet-light", "", {"depth": 2, "width": 4}, 2), 0.1)


@pytest.mark.parametrize(
    ("architecture", "encoder", "says"),
    [
        ("unet-shuffle", "resnet18", "PixelShuffle"),
        ("unet", "mit_b0", "LayerNorm"),
        ("manet", "resnet18", "attention"),
    ],
)
def test_parts_that_pruning_does_not_follow(architecture, encoder, says):
    with pytest.raises(CellsegError, match=f"cannot be pruned .*{says}"):
        prune(built(architecture, encoder, {}, 32), 0.5)


@pytest.mark.parametrize("widths", [{"nobody": [1, 2]}, {"head": ["a", 2]}, {"down": [3]}, {"head": 3}])
def test_widths_of_no_such_network(widths, tmp_path):
    model = built("unet-light", "", {"depth": 2}, 2)
    with pytest.raises((KeyError, TypeError, ValueError)):
        set_widths(model.net, widths)
    spec = replace(model.spec, widths=widths)
    path = save_model(tmp_path / "m.safetensors", spec, model.net)
    with pytest.raises(CellsegError, match="the spec describes no network"):
        load_model(path)
