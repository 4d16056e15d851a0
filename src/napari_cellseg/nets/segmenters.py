"""Networks that label every pixel: `ARCHITECTURES`, `ENCODERS` and how one is built.

Importing this module costs no torch; building a network does.
"""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Architecture:
    """How a network is built, and what its maker should know.

    Attributes
    ----------
    build : callable
        ``build(encoder, channels, outputs, options) -> torch.nn.Module`` mapping
        ``(n, channels, y, x)`` to logits ``(n, outputs, y, x)``.
    description : str
        One line with the source of the method.
    """

    build: Callable[[str, int, int, dict[str, Any]], torch.nn.Module]
    description: str


def _unet(encoder: str, channels: int, outputs: int, options: dict[str, Any]) -> torch.nn.Module:
    import segmentation_models_pytorch as smp
    import torch

    depth, width = int(options.get("depth", 5)), int(options.get("width", 16))
    net: torch.nn.Module = smp.Unet(
        encoder_name=encoder,
        encoder_depth=depth,
        encoder_weights=None,
        decoder_channels=[width * 2**level for level in reversed(range(depth))],
        in_channels=channels,
        classes=outputs,
    )
    # The library keeps the levels of the encoder it never runs; they would be saved and shown as parameters.
    for level in range(depth, 5):
        setattr(net.encoder, f"layer{level}", torch.nn.Identity())
    return net


ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture(_unet, "U-Net (Ronneberger et al. 2015) over a residual encoder"),
}

ENCODERS: dict[str, str] = {
    "resnet18": "ResNet18 (He et al. 2015), 11 M parameters",
    "resnet34": "ResNet34 (He et al. 2015), 21 M parameters",
}


def build_segmenter(
    architecture: str, encoder: str, *, channels: int, outputs: int, options: dict[str, Any] | None = None
) -> torch.nn.Module:
    """Return a network with random weights.

    Parameters
    ----------
    architecture, encoder : str
        Keys of `ARCHITECTURES` and `ENCODERS`.
    channels, outputs : int
        Channels of the image and of the logits.
    options : dict, optional
        ``depth`` (3 to 5): levels of the encoder; the network's stride is ``2**depth``.
        ``width``: channels of the decoder's finest level, doubled at each coarser one.

    Raises
    ------
    CellsegError
        If a name is unknown; the known ones are listed.
    """
    for name, registry, kind in (
        (architecture, ARCHITECTURES, "architecture"),
        (encoder, ENCODERS, "encoder"),
    ):
        if name not in registry:
            raise CellsegError(f"unknown {kind} {name!r}", f"one of {', '.join(registry)}")
    return ARCHITECTURES[architecture].build(encoder, channels, outputs, options or {})


def load_encoder_weights(net: torch.nn.Module, encoder: str, *, weights_file: str = "") -> str:
    """Start the encoder of `net` from ImageNet weights, where they can be had.

    Parameters
    ----------
    net : torch.nn.Module
        As `build_segmenter` made it.
    encoder : str
        Key of `ENCODERS`.
    weights_file : str
        A local ``.safetensors`` file of this encoder; empty = the hub or its cache.

    Returns
    -------
    str
        A sentence to show: where the weights came from, or why training starts from
        scratch.

    Raises
    ------
    CellsegError
        If a file was asked for and does not hold weights of this encoder.
    """
    import safetensors
    from safetensors.torch import load_file

    if weights_file:
        path = Path(weights_file)
    else:
        downloaded, reason = _hub_file(encoder)
        if downloaded is None:
            return f"No ImageNet weights for {encoder} ({reason}): the network starts from scratch."
        path = downloaded
    try:
        _set_weights(net, encoder, load_file(path))
    except (OSError, safetensors.SafetensorError, RuntimeError, KeyError) as error:
        raise CellsegError(
            f"{path}: no weights of encoder {encoder} ({str(error).splitlines()[0]})",
            f"the safetensors file of segmentation-models-pytorch's {encoder}",
            "give another --weights-file, or --no-pretrained to start from scratch",
        ) from None
    origin = f"the weights in {path.name}" if weights_file else "ImageNet weights"
    return f"Encoder {encoder} starts from {origin}."


def _set_weights(net: torch.nn.Module, encoder: str, weights: dict[str, torch.Tensor]) -> None:
    from segmentation_models_pytorch.encoders import get_encoder

    target: Any = net.encoder
    rgb: Any = get_encoder(encoder, depth=target._depth, weights=None)
    known = set(rgb.state_dict())
    missing = known - set(weights)
    if missing:
        raise KeyError(f"{len(missing)} of {len(known)} layers are missing")
    rgb.load_state_dict({name: tensor for name, tensor in weights.items() if name in known})
    # The library folds the three colour channels into as many as the image has.
    rgb.set_in_channels(target.conv1.in_channels, pretrained=True)
    used = target.state_dict().keys()
    target.load_state_dict({name: tensor for name, tensor in rgb.state_dict().items() if name in used})


def _hub_file(encoder: str) -> tuple[Path | None, str]:
    """Return the weights file from the hub's cache or the hub; else None and the reason."""
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError
    from segmentation_models_pytorch.encoders import encoders

    settings = encoders[encoder]["pretrained_settings"]["imagenet"]
    where = {
        "repo_id": settings["repo_id"],
        "filename": "model.safetensors",
        "revision": settings["revision"],
    }
    cached = hub.try_to_load_from_cache(**where)
    if isinstance(cached, str):
        return Path(cached), ""
    if constants.HF_HUB_OFFLINE:
        return None, "HF_HUB_OFFLINE is set"
    # Its first base is the error of whatever the library uses for transport.
    broken: tuple[type[BaseException], ...] = (*HfHubHTTPError.__bases__, OSError)
    try:
        # The library retries for half a minute without a network; one short question tells sooner.
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=3).close()
        return Path(hub.hf_hub_download(**where)), ""
    except broken as error:
        log.info("no weights for %s: %s", encoder, error)
        return None, "the model hub cannot be reached"
