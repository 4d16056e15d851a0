"""Structured pruning: whole channels leave a network, which gets smaller and faster wherever it runs.

Which channels depend on each other (through skips, residuals and concatenations) is found by
torch-pruning from one traced pass (Fang et al. 2023, https://arxiv.org/abs/2301.12900). Of each
group of channels those with the smallest weights go. How wide the layers are afterwards stands in
the spec, so that a pruned model is built and loaded like any other.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.segmenters import ATTENDS, not_tiled

if TYPE_CHECKING:
    import torch

    from napari_cellseg.nets.model import Model, ModelSpec

ROUND_TO = 8
"""Channels that are left are a multiple of this: vectors of the processor are full."""

MOST = 0.9


def prune(model: Model, share: float) -> Model:
    """Return a thinner model, which has to be trained on before it is of use.

    Parameters
    ----------
    model : Model
        Left as it is.
    share : float
        Of the channels of every layer, what goes at least: above 0, at most 0.9. A multiple of 8
        stays, 8 at least.

    Raises
    ------
    CellsegError
        If the share is out of bounds, torch-pruning is missing, or the network has parts that cannot
        be pruned.
    """
    if not 0 < share <= MOST:
        raise CellsegError(f"{share:g} of the channels to prune", f"a share above 0, at most {MOST:g}")
    if find_spec("torch_pruning") is None:
        raise CellsegError("torch-pruning is not installed", remedy="pip install 'napari-cellseg[compress]'")
    import torch
    import torch_pruning

    net, spec = copy.deepcopy(model.net).to("cpu").eval(), model.spec
    _check_parts(net, spec)
    side = spec.input_px or 4 * spec.stride
    # an answer's channels are its classes
    answers = [layer for layer in _convolutions(net) if layer.out_channels == spec.outputs]
    for parameter in net.parameters():
        parameter.requires_grad_(True)  # the traced graph is that of gradients
    torch_pruning.pruner.BasePruner(
        net,
        torch.zeros((1, spec.channels, side, side)),
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.0,
        pruning_ratio_dict={layer: _lost(layer.out_channels, share) for layer in _convolutions(net)},
        ignored_layers=answers,
    ).step()
    widths = _widths(net)
    from napari_cellseg.nets.model import new_model

    whole = _widths(new_model(replace(spec, widths={})).net)
    thinner = {name: width for name, width in widths.items() if width != whole[name]}
    if thinner == spec.widths:
        raise CellsegError(
            f"pruning {share:g} of the channels takes none away", "wider layers", "give a larger share"
        )
    return replace(model, spec=replace(spec, widths=thinner), net=net, sha256="", path=None)


def _lost(channels: int, share: float) -> float:
    """Return the share of a layer that goes, so that a multiple of 8 stays, and 8 at least."""
    left = max(ROUND_TO, int(channels * (1 - share)) // ROUND_TO * ROUND_TO)
    return max(0.0, 1 - (left + 0.5) / channels)  # the half: what is left is rounded down


def set_widths(net: torch.nn.Module, widths: dict[str, list[int]]) -> None:
    """Make layers as wide as they were left by `prune`; what their weights are then means nothing.

    Parameters
    ----------
    net : torch.nn.Module
        Changed in place.
    widths : dict
        Channels by the layer's name: in and out of a convolution, one number for a batch norm.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the network has no such layers.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.BatchNorm2d(16))
    >>> set_widths(net, {"0": [3, 8], "1": [8]})
    >>> net(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 8, 6, 6])
    """
    layers: dict[str, Any] = dict(net.named_modules())
    for name, width in widths.items():
        _set_width(layers[name], *width)


def _set_width(layer: Any, inputs: int, outputs: int = 0) -> None:
    import torch
    from torch import nn

    def cut(name: str, *sides: int) -> None:
        whole = getattr(layer, name)
        if whole is None:
            return
        part = whole.detach()[tuple(slice(side) for side in sides)].clone()
        setattr(layer, name, nn.Parameter(part) if isinstance(whole, nn.Parameter) else part)

    if isinstance(layer, nn.BatchNorm2d):
        layer.num_features = inputs
        for name in ("weight", "bias", "running_mean", "running_var"):
            cut(name, inputs)
    elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        if layer.groups == layer.in_channels > 1:
            layer.groups = inputs  # one for each channel
        layer.in_channels, layer.out_channels = inputs, outputs
        if isinstance(layer, torch.nn.Conv2d):
            cut("weight", outputs, inputs // layer.groups)
        else:
            cut("weight", inputs, outputs // layer.groups)
        cut("bias", outputs)
    else:
        raise TypeError(f"{type(layer).__name__} has no width")


def _widths(net: torch.nn.Module) -> dict[str, list[int]]:
    from torch import nn

    widths = {}
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            widths[name] = [layer.in_channels, layer.out_channels]
        elif isinstance(layer, nn.BatchNorm2d):
            widths[name] = [layer.num_features]
    return widths


def _convolutions(net: torch.nn.Module) -> list[Any]:
    from torch import nn

    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


def _check_parts(net: torch.nn.Module, spec: ModelSpec) -> None:
    """Refuse a network with weights, or a reordering of channels, that pruning does not follow."""
    from torch import nn

    known = nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d
    foreign = {
        type(layer).__name__
        for layer in net.modules()
        if isinstance(layer, nn.PixelShuffle)
        or (any(True for _ in layer.parameters(recurse=False)) and not isinstance(layer, known))
    }
    if not_tiled(spec.architecture, spec.encoder) == ATTENDS:
        foreign |= {"attention"}
    if foreign:
        raise CellsegError(
            f"{spec.architecture} has layers that cannot be pruned ({', '.join(sorted(foreign))})",
            "convolutions and batch norms",
            "give --int8, or train a smaller network",
        )
