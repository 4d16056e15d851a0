"""Networks that label every pixel: `ARCHITECTURES` and how one is built.

Importing this module costs no torch; building a network does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.encoders import check_encoder, trim_encoder

if TYPE_CHECKING:
    import torch

Build = Callable[[str, int, int, dict[str, Any]], "torch.nn.Module"]

POOLS = "it pools over the whole window, so a pixel's label depends on how much is seen at once"
ATTENDS = "it attends over the whole window, so a pixel's label depends on how much is seen at once"
NORMALISES = "it normalises over the whole window, so a pixel's label depends on how much is seen at once"


@dataclass(frozen=True)
class Architecture:
    """How a network is built, and what its maker should know.

    Attributes
    ----------
    build : callable
        ``build(encoder, channels, outputs, options) -> torch.nn.Module`` mapping
        ``(n, channels, y, x)`` to logits ``(n, outputs, y, x)``; several logits while
        training where several outputs are supervised.
    description : str
        One line with the source of the method.
    options : dict
        Settings it takes beside the encoder, and what they are when nobody says.
    stride : callable
        ``stride(options) -> int``: the network takes planes whose sides are multiples of it.
    has_encoder : bool
        Whether it is built over one of `ENCODERS`.
    not_tiled : str
        Why its labels in blocks differ from those of the whole plane; empty if they do not.
    """

    build: Build
    description: str
    options: dict[str, Any] = field(default_factory=dict)
    stride: Callable[[dict[str, Any]], int] = lambda options: 32
    has_encoder: bool = True
    not_tiled: str = ""

    def completed(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options with this architecture's own values for those that are not given.

        Raises
        ------
        CellsegError
            If one is given that it does not take.
        """
        foreign = {name: value for name, value in options.items() if name not in self.options and value}
        if foreign:
            listed = ", ".join(f"{name} = {value}" for name, value in foreign.items())
            raise CellsegError(
                f"{listed} for an architecture without it",
                ", ".join(self.options) or "no such option",
                "leave it out, or choose another architecture",
            )
        given = {name: options[name] for name in self.options if options.get(name) is not None}
        return self.options | given


def _unet(encoder: str, channels: int, outputs: int, options: dict[str, Any]) -> torch.nn.Module:
    import segmentation_models_pytorch as smp

    depth = options["depth"]
    net: torch.nn.Module = smp.Unet(
        encoder_name=encoder,
        encoder_depth=depth,
        encoder_weights=None,
        decoder_channels=_widths(options)[::-1],
        in_channels=channels,
        classes=outputs,
    )
    trim_encoder(net.encoder, depth)
    return net


def _of_library(name: str, **fixed: Any) -> Build:
    def build(encoder: str, channels: int, outputs: int, options: dict[str, Any]) -> torch.nn.Module:
        import segmentation_models_pytorch as smp

        net: torch.nn.Module = smp.create_model(
            name, encoder, encoder_weights=None, in_channels=channels, classes=outputs, **fixed
        )
        trim_encoder(net.encoder, fixed.get("encoder_depth", 5))
        return net

    return build


def _plain(encoder: str, channels: int, outputs: int, options: dict[str, Any]) -> torch.nn.Module:
    from napari_cellseg.nets.unets import PlainUNet

    return PlainUNet(channels, outputs, _widths(options))


def _light(encoder: str, channels: int, outputs: int, options: dict[str, Any]) -> torch.nn.Module:
    from napari_cellseg.nets.unets import PlainUNet

    return PlainUNet(channels, outputs, _widths(options), light=True)


def _nested(encoder: str, channels: int, outputs: int, options: dict[str, Any]) -> torch.nn.Module:
    from napari_cellseg.nets.unets import NestedUNet

    return NestedUNet(channels, outputs, _widths(options), supervised=options["deep_supervision"])


def _shuffled(encoder: str, channels: int, outputs: int, options: dict[str, Any]) -> torch.nn.Module:
    from segmentation_models_pytorch.encoders import get_encoder

    from napari_cellseg.nets.unets import ShuffleUNet

    return ShuffleUNet(get_encoder(encoder, in_channels=channels, weights=None), outputs)


def _widths(options: dict[str, Any]) -> list[int]:
    """Return the channels of each level, the finest first, doubled at each coarser one."""
    return [int(options["width"]) * 2**level for level in range(int(options["depth"]))]


def _stride_of_levels(options: dict[str, Any]) -> int:
    return int(2 ** (options["depth"] - 1))  # the finest level is the image itself


ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture(
        _unet,
        "U-Net (Ronneberger et al. 2015) over an encoder",
        {"depth": 5, "width": 16},
        lambda options: int(2 ** options["depth"]),
    ),
    "unet-light": Architecture(
        _light,
        "small residual U-Net without encoder: the fastest to train from scratch",
        {"depth": 4, "width": 16},
        _stride_of_levels,
        has_encoder=False,
    ),
    "unet-vanilla": Architecture(
        _plain,
        "the original five-level U-Net (Ronneberger et al. 2015) with batch norm, 64 to 1024 channels",
        {"depth": 5, "width": 64},
        _stride_of_levels,
        has_encoder=False,
    ),
    "unet-nested": Architecture(
        _nested,
        "U-Net++ (Zhou et al. 2018) without encoder, dense skips, deep supervision as an option",
        {"depth": 5, "width": 32, "deep_supervision": False},
        _stride_of_levels,
        has_encoder=False,
    ),
    "unet-shuffle": Architecture(
        _shuffled, "U-Net rising by pixel shuffle with ICNR start (Aitken et al. 2017), as in fastai"
    ),
    "unetplusplus": Architecture(_of_library("unetplusplus"), "U-Net++ (Zhou et al. 2018) over an encoder"),
    "manet": Architecture(
        _of_library("manet"), "MA-Net (Fan et al. 2020) over an encoder", not_tiled=ATTENDS
    ),
    "linknet": Architecture(_of_library("linknet"), "LinkNet (Chaurasia and Culurciello 2017)"),
    "fpn": Architecture(
        _of_library("fpn"), "feature pyramid network (Kirillov et al. 2019)", not_tiled=NORMALISES
    ),
    "pspnet": Architecture(
        _of_library("pspnet", encoder_depth=3),
        "PSPNet (Zhao et al. 2017)",
        stride=lambda options: 8,
        not_tiled=POOLS,
    ),
    "deeplabv3": Architecture(_of_library("deeplabv3"), "DeepLabv3 (Chen et al. 2017)", not_tiled=POOLS),
    "deeplabv3plus": Architecture(
        _of_library("deeplabv3plus"), "DeepLabv3+ (Chen et al. 2018)", not_tiled=POOLS
    ),
    "pan": Architecture(
        _of_library("pan"),
        "pyramid attention network (Li et al. 2018)",
        stride=lambda options: 128,  # its pyramid halves three times more below 1/16
        not_tiled=POOLS,
    ),
    "upernet": Architecture(_of_library("upernet"), "UPerNet (Xiao et al. 2018)", not_tiled=POOLS),
    "segformer": Architecture(_of_library("segformer"), "SegFormer's decoder (Xie et al. 2021)"),
}


def find_architecture(name: str) -> Architecture:
    """Return an entry of `ARCHITECTURES`.

    Raises
    ------
    CellsegError
        If the name is unknown; names near it, or all, are listed.
    """
    if name not in ARCHITECTURES:
        near = get_close_matches(name, ARCHITECTURES, 4, 0.6) or list(ARCHITECTURES)
        raise CellsegError(f"unknown architecture {name!r}", f"one of {', '.join(near)}")
    return ARCHITECTURES[name]


def not_tiled(architecture: str, encoder: str) -> str:
    """Return why labels in blocks differ from those of the whole plane; empty if they do not.

    Examples
    --------
    >>> not_tiled("unet", "resnet18"), not_tiled("unet", "mit_b0") == ATTENDS
    ('', True)
    """
    return find_architecture(architecture).not_tiled or (ATTENDS if encoder.startswith("mit_") else "")


def build_segmenter(
    architecture: str, encoder: str, *, channels: int, outputs: int, options: dict[str, Any] | None = None
) -> torch.nn.Module:
    """Return a network with random weights.

    Parameters
    ----------
    architecture : str
        Key of `ARCHITECTURES`.
    encoder : str
        Key of `ENCODERS`, any encoder of segmentation-models-pytorch, or ``tu-`` and a
        model of timm; ignored where the architecture has none.
    channels, outputs : int
        Channels of the image and of the logits.
    options : dict, optional
        ``depth``: levels of the network. ``width``: channels of the finest level, doubled
        at each coarser one. ``deep_supervision``. Whatever is left out is as the
        architecture has it.

    Raises
    ------
    CellsegError
        If a name is unknown (near ones are listed), an option is not the architecture's,
        or the encoder does not go with it.
    """
    found = find_architecture(architecture)
    complete = found.completed(options or {})
    if not found.has_encoder:
        return found.build("", channels, outputs, complete)
    check_encoder(encoder)
    try:
        return found.build(encoder, channels, outputs, complete)
    except (ValueError, NotImplementedError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CellsegError(
            f"{architecture} over {encoder}: {reason}", "an encoder that goes with it", "take another encoder"
        ) from None
