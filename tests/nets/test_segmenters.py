import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, load_model, new_model, save_model
from napari_cellseg.nets.segmenters import ARCHITECTURES, build_segmenter, not_tiled

SMALL = {"depth": 3, "width": 4}


def small(name):
    """Return options that make an architecture quick to build."""
    return {key: value for key, value in SMALL.items() if key in ARCHITECTURES[name].options}


def build(name, *, channels=1, outputs=2, **options):
    return build_segmenter(
        name, "resnet18", channels=channels, outputs=outputs, options=small(name) | options
    )


def stride_of(name):
    return ARCHITECTURES[name].stride(ARCHITECTURES[name].completed(small(name)))


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ARCHITECTURES)
class TestContract:
    @pytest.mark.parametrize(("channels", "outputs"), [(1, 2), (5, 6), (3, 3)])
    def test_shapes_and_gradients(self, name, channels, outputs):
        net = build(name, channels=channels, outputs=outputs)
        rows, cols = (max(2, 64 // stride_of(name)) * stride_of(name), 3 * stride_of(name))
        logits = net(noise(2, channels, rows, cols))
        assert logits.shape == (2, outputs, rows, cols)
        assert logits.dtype == torch.float32
        logits.square().mean().backward()
        for part, parameter in net.named_parameters():
            assert parameter.grad is not None, part
            assert parameter.grad.isfinite().all(), part
        assert any(parameter.grad.any() for parameter in net.parameters())

    def test_saved_and_loaded(self, name, tmp_path):
        entry = ARCHITECTURES[name]
        spec = ModelSpec(
            name,
            "resnet18" if entry.has_encoder else "",
            Classes.of("a"),
            stride=stride_of(name),
            options=entry.completed(small(name)),
        )
        torch.manual_seed(1)
        model = new_model(spec)
        window = noise(1, 1, 128, 256)
        loaded = load_model(save_model(tmp_path / "m.safetensors", spec, model.net))
        assert loaded.spec == spec
        with torch.no_grad():
            assert torch.equal(model.net(window), loaded.net(window))

    def test_what_is_far_away_changes_nothing_or_a_reason_is_given(self, name):
        """So tiled equals untiled, given a halo; see tests/predict for the blocks themselves."""
        net = build(name).eval()
        window = noise(1, 1, 128, 1024)
        other = window.clone()
        other[..., -64:] += 5
        with torch.no_grad():
            far = (net(window) - net(other))[..., :64].abs().max()
        if ARCHITECTURES[name].not_tiled:
            assert far > 0
        else:
            assert far < 1e-4

    def test_described(self, name):
        assert ARCHITECTURES[name].description


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
            "unknown architecture 'transformer9'; expected one of segformer",
        ),
        ("unett", "resnet18", "unknown architecture 'unett'; expected one of unet, upernet"),
        ("unet", "vgg", "unknown encoder 'vgg'; expected such as vgg"),
        ("deeplabv3plus", "vgg16", "deeplabv3plus over vgg16: "),
    ],
)
def test_what_cannot_be_built_says_what_could(architecture, encoder, line):
    with pytest.raises(CellsegError) as raised:
        build_segmenter(architecture, encoder, channels=1, outputs=2)
    assert str(raised.value).startswith(line)


def test_encoders_that_attend_are_not_tiled():
    assert not_tiled("unet", "mit_b0")
    assert not not_tiled("segformer", "resnet18")


def test_options_an_architecture_does_not_take():
    with pytest.raises(CellsegError, match="width = 8 for an architecture without it"):
        build_segmenter("fpn", "resnet18", channels=1, outputs=2, options={"width": 8})
    with pytest.raises(CellsegError, match="deep_supervision = True"):
        build_segmenter("unet-vanilla", "", channels=1, outputs=2, options={"deep_supervision": True})


def test_original_u_net_has_its_channels():
    net = build_segmenter("unet-vanilla", "", channels=1, outputs=2)
    assert [block.both[0].out_channels for block in net.down] == [64, 128, 256, 512, 1024]


def test_deep_supervision_trains_every_decoding_and_predicts_their_mean():
    net = build("unet-nested", deep_supervision=True)
    outputs = net(noise(2, 1, 32, 32))
    assert [logits.shape for logits in outputs] == [(2, 2, 32, 32)] * 2
    one = net.eval()(noise(1, 1, 32, 32))
    assert one.shape == (1, 2, 32, 32)


@pytest.mark.parametrize("levels", [1, 3])
def test_pixel_shuffle_starts_without_checkerboard(levels):
    from napari_cellseg.nets.unets import _shuffle

    torch.manual_seed(levels)
    raised = _shuffle(levels, 2)(noise(1, levels, 4, 4))
    assert torch.equal(raised[..., ::2, ::2], raised[..., 1::2, 1::2])


@given(
    name=st.sampled_from(["unet", "unet-light", "unet-nested", "unet-vanilla"]),
    rows=st.integers(1, 4),
    cols=st.integers(1, 4),
)
@settings(max_examples=12, deadline=None)
def test_sides_are_kept_for_any_multiple_of_the_stride(name, rows, cols):
    stride = stride_of(name)
    with torch.no_grad():
        assert build(name).eval()(noise(1, 1, rows * stride, cols * stride)).shape[2:] == (
            rows * stride,
            cols * stride,
        )


def test_importing_costs_no_torch():
    code = (
        "import sys, napari_cellseg.nets.segmenters, napari_cellseg.nets.losses, napari_cellseg.nets.presets,"
        "napari_cellseg.nets.backends; sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
