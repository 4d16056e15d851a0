"""How much the layers of a network keep of what they are shown, in the manner of an information plane.

The matrix-based Renyi entropy of order alpha (Giraldo, Rao and Principe 2015,
https://doi.org/10.1109/TIT.2014.2370058) needs no density: it is the entropy of the
eigenvalues of a normalised Gram matrix of samples. Entropies are in bits, from 0 (all samples
look alike to the layer) to log2 of the number of samples (it tells all of them apart). Layers
in a row that keep the same add nothing to each other: there a network can be thinner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    import torch

    from napari_cellseg.nets.model import Model

ALPHA = 1.01  # close to Shannon's, as in the papers on information planes
LEAST_WINDOWS = 4
PLACES = 16  # a map is averaged to at most so many places a side before it is compared
INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True)
class LayerInformation:
    """What a layer keeps.

    Attributes
    ----------
    name : str
        As `torch.nn.Module.named_modules` calls it.
    shape : (channels, y, x)
        Of its output.
    entropy_bits : float
        Of its output over all windows.
    input_bits : float
        Mutual information with the window it comes from.
    output_bits : float
        Mutual information with the logits it leads to.
    """

    name: str
    shape: tuple[int, ...]
    entropy_bits: float
    input_bits: float
    output_bits: float


def layer_information(
    model: Model, windows: NDArray[np.float32], *, alpha: float = ALPHA, device: str = "cpu"
) -> list[LayerInformation]:
    """Return for each convolution how much it keeps of the input and knows of the output.

    Parameters
    ----------
    model : Model
    windows : (n, c, y, x) float32
        Normalised windows as the network is fed, at least 4, at best some 50 to 200; sides
        multiples of the stride. They are run one by one.
    alpha : float
        Order of the entropy, positive and not 1.
    device : str
        "cpu", "cuda" or "mps".

    Returns
    -------
    list of LayerInformation
        In the order the layers are run in.

    Raises
    ------
    CellsegError
        If there are fewer than 4 windows.
    """
    if len(windows) < LEAST_WINDOWS:
        raise CellsegError(f"{len(windows)} windows to compare", f"{LEAST_WINDOWS} at least", "use more")
    shapes, outputs = _activations(model.net.eval().to(device), windows, device)
    shown, said = (gram_matrix(np.stack(outputs.pop(name))) for name in (INPUT, OUTPUT))
    found = []
    for name, samples in outputs.items():
        kept = gram_matrix(np.stack(samples))
        found.append(
            LayerInformation(
                name,
                shapes[name],
                renyi_entropy(kept, alpha),
                mutual_information(shown, kept, alpha),
                mutual_information(kept, said, alpha),
            )
        )
    return found


def gram_matrix(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Return the similarities of samples, scaled to a trace of 1.

    Gaussian of the distance, as wide as the median distance between two samples: so layers
    of any size and scale can be compared.

    Parameters
    ----------
    samples : (n, ...)

    Returns
    -------
    (n, n)

    Examples
    --------
    >>> gram_matrix(np.array([[0.0], [0.0]]))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    from scipy.spatial.distance import pdist, squareform

    distances = pdist(samples.reshape(len(samples), -1).astype(np.float64))
    width = np.median(distances) or distances.max(initial=0) or 1.0
    gram: NDArray[np.float64] = np.exp(-0.5 * (squareform(distances) / width) ** 2) / len(samples)
    return gram


def renyi_entropy(gram: NDArray[np.float64], alpha: float = ALPHA) -> float:
    """Return the entropy in bits of a Gram matrix with a trace of 1.

    Parameters
    ----------
    gram : (n, n)
    alpha : float
        Order, positive and not 1.

    Examples
    --------
    >>> renyi_entropy(np.eye(8) / 8), renyi_entropy(np.ones((8, 8)) / 8)
    (3.0, 0.0)
    """
    values = np.linalg.eigvalsh(gram).clip(0)
    return float(round(np.log2((values**alpha).sum()) / (1 - alpha), 9)) + 0.0


def mutual_information(
    first: NDArray[np.float64], second: NDArray[np.float64], alpha: float = ALPHA
) -> float:
    """Return how many bits two views of the same samples share.

    Parameters
    ----------
    first, second : (n, n)
        Gram matrices with a trace of 1.
    alpha : float
        Order of the entropy.

    Examples
    --------
    >>> apart, alike = np.eye(4) / 4, np.ones((4, 4)) / 4
    >>> mutual_information(apart, apart), mutual_information(apart, alike)
    (2.0, 0.0)
    """
    joint = first * second
    both = renyi_entropy(joint / np.trace(joint), alpha)
    return renyi_entropy(first, alpha) + renyi_entropy(second, alpha) - both


def _activations(
    net: torch.nn.Module, windows: NDArray[np.float32], device: str
) -> tuple[dict[str, tuple[int, ...]], dict[str, list[NDArray[np.float32]]]]:
    """Return the shapes of all convolutions' outputs, and of each window the outputs and what they are of."""
    import torch

    shapes: dict[str, tuple[int, ...]] = {}
    outputs: dict[str, list[NDArray[np.float32]]] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        shapes[name] = tuple(output.shape[1:])
        outputs.setdefault(name, []).append(_small(output))

    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output, name=name: keep(name, output))
        for name, layer in net.named_modules()
        if isinstance(layer, torch.nn.Conv2d)
    ]
    try:
        with torch.inference_mode():
            for window in windows:
                batch = torch.from_numpy(np.ascontiguousarray(window, np.float32))[None].to(device)
                keep(INPUT, batch)
                keep(OUTPUT, net(batch))
    finally:
        for hook in hooks:
            hook.remove()
    return shapes, outputs


def _small(output: torch.Tensor) -> NDArray[np.float32]:
    """Return a map (1, c, y, x) as an array (c, y, x), large ones averaged to fewer places."""
    import torch

    size = (min(output.shape[2], PLACES), min(output.shape[3], PLACES))
    output = torch.nn.functional.adaptive_avg_pool2d(output, size)
    small: NDArray[np.float32] = output[0].float().cpu().numpy()
    return small
