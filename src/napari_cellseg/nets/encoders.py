"""What encodes an image for a segmenter: `ENCODERS`, and the weights they may start from.

Importing this module costs no torch; checking a name that is not listed does.
"""

from __future__ import annotations

import logging
import urllib.request
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

TIMM = "tu-"
"""Prefix of encoders that the library takes from timm."""

ENCODERS: dict[str, str] = {
    "resnet18": "ResNet18 (He et al. 2015), 11 M parameters",
    "resnet34": "ResNet34 (He et al. 2015), 21 M parameters",
    "resnet50": "ResNet50 (He et al. 2015), 24 M parameters",
    "vgg16": "VGG16 (Simonyan and Zisserman 2014), 15 M parameters; large planes, slow",
    "efficientnet-b0": "EfficientNet-B0 (Tan and Le 2019), 4 M parameters",
    "mobilenet_v2": "MobileNetV2 (Sandler et al. 2018), 2 M parameters",
    "mit_b0": "Mix Transformer B0 (Xie et al. 2021), 3 M parameters",
    "tu-convnext_tiny": "ConvNeXt-Tiny (Liu et al. 2022) from timm, 28 M parameters",
}
"""A choice; every other encoder of segmentation-models-pytorch, or ``tu-`` and a model of timm, works too."""


def check_encoder(name: str) -> None:
    """Do nothing if there is an encoder of this name.

    Raises
    ------
    CellsegError
        If there is none; names near it are listed.

    Examples
    --------
    >>> check_encoder("resnet18")
    """
    if name in ENCODERS:
        return
    from segmentation_models_pytorch.encoders import get_encoder_names

    known = list(get_encoder_names())
    if name.startswith(TIMM):
        import timm

        models = timm.list_models()
        if name.removeprefix(TIMM).split(".")[0] in models:
            return
        known = [TIMM + model for model in models]
    elif name in known:
        return
    near = get_close_matches(name, known, 4, 0.5) or list(ENCODERS)
    raise CellsegError(
        f"unknown encoder {name!r}",
        f"such as {', '.join(near)}",
        "see `napari-cellseg list encoders`; any encoder of segmentation-models-pytorch works, "
        "and tu-NAME for a model of timm",
    )


def trim_encoder(encoder: Any, depth: int) -> None:
    """Drop the levels the library keeps but never runs: they would be saved and counted as parameters."""
    import torch

    for level in range(depth, 5):
        if hasattr(encoder, f"layer{level}"):
            setattr(encoder, f"layer{level}", torch.nn.Identity())
    if hasattr(encoder, "features") and hasattr(encoder, "_out_indexes"):
        encoder.features = encoder.features[: encoder._out_indexes[depth] + 1]


def load_encoder_weights(net: torch.nn.Module, encoder: str, *, weights_file: str = "") -> str:
    """Start the encoder of `net` from ImageNet weights, where they can be had.

    Parameters
    ----------
    net : torch.nn.Module
        As `build_segmenter` made it.
    encoder : str
        The encoder's name; empty for a network that has none.
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
        If a file was asked for and does not hold weights of this encoder, or the network
        has no encoder.
    """
    import safetensors
    from safetensors.torch import load_file

    if not encoder:
        if weights_file:
            raise CellsegError(
                f"encoder weights {weights_file} for a network without encoder", remedy="leave it out"
            )
        return "This network has no encoder with ImageNet weights: it starts from scratch."
    if weights_file:
        path = Path(weights_file)
    else:
        downloaded, reason = hub_file(encoder)
        if downloaded is None:
            return f"No ImageNet weights for {encoder} ({reason}): the network starts from scratch."
        path = downloaded
    try:
        _set_weights(net, encoder, load_file(path))
    except (OSError, safetensors.SafetensorError, RuntimeError, KeyError) as error:
        raise CellsegError(
            f"{path}: no weights of encoder {encoder} ({str(error).splitlines()[0]})",
            f"the safetensors file of {_library(encoder)}'s {encoder.removeprefix(TIMM)}",
            "give another --weights-file, or --no-pretrained to start from scratch",
        ) from None
    origin = f"the weights in {path.name}" if weights_file else "ImageNet weights"
    return f"Encoder {encoder} starts from {origin}."


def _library(encoder: str) -> str:
    return "timm" if encoder.startswith(TIMM) else "segmentation-models-pytorch"


def _set_weights(net: torch.nn.Module, encoder: str, weights: dict[str, torch.Tensor]) -> None:
    from segmentation_models_pytorch.encoders import get_encoder

    target: Any = net.encoder
    used = target.state_dict()
    rgb: Any = get_encoder(encoder, depth=target._depth, weights=None)
    if encoder.startswith(TIMM):
        _set_timm(rgb.model, weights)
    else:
        missing = set(rgb.state_dict()) - set(weights)
        if missing:
            raise KeyError(f"{len(missing)} of {len(rgb.state_dict())} layers are missing")
        rgb.load_state_dict({name: weights[name] for name in rgb.state_dict()})
    # The library folds the three colour channels into as many as the image has.
    if target._in_channels != 3:
        _patch_first(rgb, target._in_channels)
    target.load_state_dict({name: tensor for name, tensor in rgb.state_dict().items() if name in used})


def _set_timm(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Load a whole model's file into the part of it that encodes."""
    wanted = model.state_dict()
    # timm joins the names of nested modules by an underscore where it cuts a model into features.
    flat = {name.replace(".", "_"): tensor for name, tensor in weights.items()}
    missing = [name for name in wanted if name.replace(".", "_") not in flat]
    if missing:
        raise KeyError(f"{len(missing)} of {len(wanted)} layers are missing")
    model.load_state_dict({name: flat[name.replace(".", "_")] for name in wanted})


def _patch_first(encoder: Any, channels: int) -> None:
    from segmentation_models_pytorch.encoders._utils import patch_first_conv

    patch_first_conv(model=encoder, new_in_channels=channels, pretrained=True)


def hub_file(encoder: str) -> tuple[Path | None, str]:
    """Return the weights file from the hub's cache or the hub; else None and the reason."""
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    where = _hub_place(encoder)
    if where is None:
        return None, f"{_library(encoder)} publishes none"
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


def _hub_place(encoder: str) -> dict[str, Any] | None:
    """Return repository, file and revision of an encoder's ImageNet weights, if it has any."""
    file = "model.safetensors"
    if encoder.startswith(TIMM):
        import timm

        known = timm.models.get_pretrained_cfg(encoder.removeprefix(TIMM), allow_unregistered=True)
        if known is None or not known.hf_hub_id:
            return None
        repo_id, _, revision = known.hf_hub_id.partition("@")
        return {"repo_id": repo_id, "filename": file, "revision": revision or None}
    from segmentation_models_pytorch.encoders import encoders

    settings = encoders[encoder]["pretrained_settings"].get("imagenet")
    if settings is None or "repo_id" not in settings:
        return None
    return {"repo_id": settings["repo_id"], "filename": file, "revision": settings["revision"]}
