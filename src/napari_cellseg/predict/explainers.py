"""Methods that explain a decision of a network: `EXPLAINERS`.

They come from captum (extra ``explain``); of a network no more is asked than that it maps
``(n, c, y, x)`` to logits. Importing this module costs neither torch nor captum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    Odds = Callable[[torch.Tensor], torch.Tensor]

Heat = NDArray[np.float32]

BATCH_PX = 8 * 128 * 128  # pixels in one pass: more is no faster on a CPU
PATCHES = 10  # occluding patches along a window
IG_STEPS, IG_SIGMA_PX = 32, 1.5  # single pixels of the gradient are noise and hardly to be seen
LIME_SAMPLES = 400
SUPERPIXEL_PX = 12  # about a side of the pieces that LIME switches off


@dataclass(frozen=True)
class Explainer:
    """A method of explanation.

    Attributes
    ----------
    heat : callable
        ``heat(odds, net, window) -> array (y, x)``: `odds` maps windows (n, c, y, x) to
        log-odds (n,), `window` is (1, c, y, x).
    description : str
        One line with the source of the method.
    """

    heat: Callable[[Odds, torch.nn.Module, torch.Tensor], Heat]
    description: str

    def missing(self) -> str:
        """Return why it cannot be used here, or an empty text."""
        return "" if find_spec("captum") else "captum is not installed: pip install 'napari-cellseg[explain]'"


def _occlusion(odds: Odds, net: torch.nn.Module, window: torch.Tensor) -> Heat:
    from captum.attr import Occlusion

    channels, side = window.shape[1], max(2, window.shape[2] // PATCHES)
    found = Occlusion(odds).attribute(
        window,
        sliding_window_shapes=(channels, side, side),
        strides=(channels, side // 2, side // 2),
        perturbations_per_eval=_passes(window),
    )
    return _array(found[0, 0])  # the same for all channels: they are occluded together


def _integrated_gradients(odds: Odds, net: torch.nn.Module, window: torch.Tensor) -> Heat:
    from captum.attr import IntegratedGradients
    from scipy import ndimage

    found = IntegratedGradients(odds).attribute(
        window.requires_grad_(), n_steps=IG_STEPS, internal_batch_size=_passes(window)
    )
    heat: Heat = ndimage.gaussian_filter(_array(found[0].sum(0)), IG_SIGMA_PX)
    return heat


def _grad_cam(odds: Odds, net: torch.nn.Module, window: torch.Tensor) -> Heat:
    from captum.attr import LayerAttribution, LayerGradCam

    layer = coarsest_layer(net, window)
    found = LayerGradCam(odds, layer).attribute(window.requires_grad_(), relu_attributions=True)
    size = (window.shape[2], window.shape[3])
    return _array(LayerAttribution.interpolate(found, size, interpolate_mode="bilinear")[0, 0])


def _lime(odds: Odds, net: torch.nn.Module, window: torch.Tensor) -> Heat:
    import torch
    from captum.attr import Lime

    pieces = torch.from_numpy(superpixels(window[0].cpu().numpy()))
    mask = pieces[None, None].expand(window.shape).to(window.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same map for the same question
        found = Lime(odds).attribute(
            window, feature_mask=mask, n_samples=LIME_SAMPLES, perturbations_per_eval=_passes(window)
        )
    return _array(found[0, 0])


def _array(heat: torch.Tensor) -> Heat:
    array: Heat = heat.detach().cpu().numpy()
    return array


def coarsest_layer(net: torch.nn.Module, window: torch.Tensor) -> torch.nn.Module:
    """Return the last of the convolutions with the coarsest map that still has places.

    In a U-Net that is the bottom of the U. Maps pooled to a few pixels, as pyramid pooling
    has them beside finer ones, tell no place: a map must have at least 4 x 4 pixels.

    Parameters
    ----------
    net : torch.nn.Module
    window : (1, c, y, x) tensor
        What it is run on.
    """
    import torch

    sizes: list[tuple[int, torch.nn.Module]] = []

    def note(layer: torch.nn.Module, inputs: Any, output: torch.Tensor) -> None:
        if min(output.shape[2:]) >= 4:
            sizes.append((output.shape[2] * output.shape[3], layer))

    hooks = [
        layer.register_forward_hook(note) for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            net(window)
    finally:
        for hook in hooks:
            hook.remove()
    coarsest = min(size for size, _ in sizes)
    return [layer for size, layer in sizes if size == coarsest][-1]


def superpixels(window: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return numbers from 0 for the pieces of a window (c, y, x) that look alike."""
    from scipy import ndimage
    from skimage.segmentation import slic

    calm = ndimage.gaussian_filter(window, (0, 2, 2))
    pieces = max(4, window[0].size // SUPERPIXEL_PX**2)
    numbered: NDArray[np.int64] = slic(
        calm, n_segments=pieces, compactness=0.3, channel_axis=0, start_label=0
    ).astype(np.int64)
    return numbered


def _passes(window: torch.Tensor) -> int:
    return max(1, BATCH_PX // (window.shape[2] * window.shape[3]))


EXPLAINERS: dict[str, Explainer] = {
    "occlusion": Explainer(
        _occlusion,
        "how much the odds fall when a patch is greyed out (Zeiler and Fergus 2014)",
    ),
    "integrated-gradients": Explainer(
        _integrated_gradients, "gradients summed on the way from grey to the image (Sundararajan et al. 2017)"
    ),
    "grad-cam": Explainer(
        _grad_cam, "the coarsest features that raise the odds (Selvaraju et al. 2017); coarse, fastest"
    ),
    "lime": Explainer(
        _lime, "a linear model of which superpixels matter (Ribeiro et al. 2016); needs the most passes"
    ),
}
