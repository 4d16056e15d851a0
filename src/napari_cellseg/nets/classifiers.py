"""Networks that name single cells: `BACKBONES`, `HEADS` and how one is built.

Importing this module costs no torch; building a network does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.encoders import TIMM, hub_file

if TYPE_CHECKING:
    import torch

    from napari_cellseg.nets.cell_nets import CellNet
    from napari_cellseg.nets.classifier_spec import ClassifierSpec

MOST_CHANNELS = 12
WIDTH = 24
MEASURED = "measured"


@dataclass(frozen=True)
class Backbone:
    """What looks at a cell.

    Attributes
    ----------
    build : callable
        ``build(channels, size) -> torch.nn.Module`` mapping ``(n, c, y, x)`` to ``(n, f)``.
    description : str
        One line with the source of the method.
    pretrained : bool
        Whether there are ImageNet weights for it.
    """

    build: Callable[[int, tuple[int, int]], torch.nn.Module]
    description: str
    pretrained: bool = True


@dataclass(frozen=True)
class Head:
    """What decides on the class from the flattened features: dense layers with ReLU, then softmax.

    Attributes
    ----------
    widths : tuple of int
        Units of each hidden layer.
    dropouts : tuple of float
        Share of units left out after each hidden layer while training; as many as `widths`.
    description : str
    """

    widths: tuple[int, ...]
    dropouts: tuple[float, ...]
    description: str


def _of_timm(name: str) -> Callable[[int, tuple[int, int]], torch.nn.Module]:
    def build(channels: int, size: tuple[int, int]) -> torch.nn.Module:
        import timm
        import torch

        from napari_cellseg.nets.cell_nets import Flattened

        known = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
        fixed: dict[str, Any] = {"img_size": size} if known is not None and known.fixed_input_size else {}
        model = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=0, **fixed)
        for unused in ("pre_logits", "head"):  # 120 M weights of VGG16 that nothing here runs
            if hasattr(model, unused):
                setattr(model, unused, torch.nn.Identity())
        return Flattened(model)

    return build


def _cells_small(channels: int, size: tuple[int, int]) -> torch.nn.Module:
    from napari_cellseg.nets.cell_nets import CellsSmall

    return CellsSmall(channels, WIDTH)


def _none(channels: int, size: tuple[int, int]) -> torch.nn.Module:
    from napari_cellseg.nets.cell_nets import Nothing

    return Nothing()


BACKBONES: dict[str, Backbone] = {
    "cells-small": Backbone(
        _cells_small,
        "small residual network for cells of 24 to 96 px, 0.7 M parameters: trained through in minutes",
        pretrained=False,
    ),
    MEASURED: Backbone(
        _none, "no network: the head is told what is measured on a cell, and nothing else", pretrained=False
    ),
    "resnet18": Backbone(_of_timm("resnet18"), "ResNet18 (He et al. 2015), 11 M parameters"),
    "resnet50": Backbone(_of_timm("resnet50"), "ResNet50 (He et al. 2015), 24 M parameters"),
    "vgg16": Backbone(_of_timm("vgg16"), "VGG16 (Simonyan and Zisserman 2014), 15 M parameters"),
}
"""A choice; every other model of timm works by name."""

HEADS: dict[str, Head] = {
    "linear": Head((), (), "straight from the features to the classes"),
    "I": Head((512,), (0.0,), "published head I: dense 512"),
    "II": Head((512, 256, 128), (0.0, 0.0, 0.0), "published head II: dense 512, 256, 128"),
    "III": Head(
        (512, 256, 128),
        (0.2, 0.2, 0.0),
        "published head III: dense 512, dropout 0.2, 256, dropout 0.2, 128",
    ),
    "IV": Head((512, 256, 128, 128), (0.0,) * 4, "published head IV: dense 512, 256, 128, 128"),
}


def find_backbone(name: str) -> Backbone:
    """Return an entry of `BACKBONES`, or a model of timm as one.

    Raises
    ------
    CellsegError
        If there is none of this name; names near it are listed.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    import timm

    models = timm.list_models()
    if name.split(".")[0] in models:
        return Backbone(_of_timm(name), f"{name} of timm")
    near = get_close_matches(name, [*BACKBONES, *models], 4, 0.5) or list(BACKBONES)
    raise CellsegError(
        f"unknown network for cells {name!r}",
        f"such as {', '.join(near)}",
        "see `napari-cellseg list backbones`; any model of timm works by name",
    )


def find_head(name: str) -> Head:
    """Return an entry of `HEADS`.

    Raises
    ------
    CellsegError
        If the name is unknown; all are listed.
    """
    if name not in HEADS:
        raise CellsegError(f"unknown head {name!r}", f"one of {', '.join(HEADS)}")
    return HEADS[name]


def build_classifier(spec: ClassifierSpec) -> CellNet:
    """Return the network that a spec describes, with random weights (torch's global generator).

    Its ``options``: ``members``, networks side by side; ``rgb``, whether one channel is shown as
    three; ``measurements``, how many numbers are told beside the picture.

    Raises
    ------
    CellsegError
        If a name is unknown, the channels do not fit, or the network does not take such pictures.
    """
    from napari_cellseg.nets import cell_nets

    backbone, head = find_backbone(spec.architecture), find_head(spec.head)
    channels = len(spec.channels)
    if not 1 <= channels <= MOST_CHANNELS:
        raise CellsegError(f"{channels} channels", f"1 to {MOST_CHANNELS}", "choose some with --channels")
    if spec.options.get("rgb") and channels not in (1, 3):
        raise CellsegError(
            f"{channels} channels ({', '.join(spec.channels)}) as RGB",
            "one, which is repeated, or three",
            "choose them, as in --channels Ch4 or --channels Ch4,Ch5,Ch6",
        )
    repeats = 3 // channels if spec.options.get("rgb") else 1

    def make_head(features: int) -> torch.nn.Module:
        return cell_nets.Head(features, head.widths, head.dropouts, len(spec.classes))

    try:
        backbones = [
            backbone.build(channels * repeats, spec.size) for _ in range(spec.options.get("members", 1))
        ]
        return cell_nets.CellNet(
            backbones,
            make_head,
            channels=channels,
            size=spec.size,
            measurements=spec.options.get("measurements", 0),
            repeats=repeats,
        )
    except (ValueError, TypeError, RuntimeError, AssertionError, AttributeError) as error:
        reason = " ".join(str(error).split())
        height, width = spec.size
        raise CellsegError(
            f"{spec.architecture} for cells of {height} x {width}: {reason}",
            "a network that takes such pictures",
            "give a larger --height-px and --width-px, or another --architecture",
        ) from None


def find_backbone_weights(architecture: str, *, weights_file: str = "") -> tuple[Path | None, str]:
    """Return the file with ImageNet weights of a backbone, or None and why there is none.

    Parameters
    ----------
    architecture : str
        Name of the backbone.
    weights_file : str
        A local ``.safetensors`` file of timm's model of that name; empty = the hub or its cache.

    Raises
    ------
    CellsegError
        If a file is given for a backbone that takes none.
    """
    if find_backbone(architecture).pretrained:
        return (Path(weights_file), "") if weights_file else hub_file(TIMM + architecture)
    if weights_file:
        raise CellsegError(f"--weights-file {weights_file} for {architecture}", remedy="leave it out")
    return None, "there are none"


def load_backbone_weights(net: CellNet, architecture: str, path: Path) -> None:
    """Give the backbones of `net` the weights in a file of timm's model.

    The three colours of the first layer are folded into as many channels as the network has.

    Raises
    ------
    CellsegError
        If the file does not hold weights of this backbone.
    """
    import safetensors
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
        for backbone in net.backbones:
            _set_weights(backbone.model, weights)
    except (OSError, safetensors.SafetensorError, RuntimeError, KeyError) as error:
        raise CellsegError(
            f"{path}: no weights of {architecture} ({str(error).splitlines()[0]})",
            f"the safetensors file of timm's {architecture}",
            "give another --weights-file, or --no-pretrained to start from scratch",
        ) from None


def _set_weights(model: Any, weights: dict[str, torch.Tensor]) -> None:
    from timm.models._manipulate import adapt_input_conv

    wanted = model.state_dict()
    missing = [name for name in wanted if name not in weights]
    if missing:
        raise KeyError(f"{len(missing)} of {len(wanted)} layers are missing")
    found = {name: weights[name] for name in wanted}
    first = model.pretrained_cfg.get("first_conv") or ()
    for layer in (first,) if isinstance(first, str) else first:
        name = f"{layer}.weight"
        found[name] = adapt_input_conv(wanted[name].shape[1], found[name])
    model.load_state_dict(found)
