"""Networks run by OpenVINO: converted once, kept beside the model, compared with torch."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.machine import threads
from napari_cellseg.nets.model_cache import cache_folder, note_fact, read_facts
from napari_cellseg.nets.openvino_memory import held_per_px

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from napari_cellseg.nets.classifier_spec import Classifier
    from napari_cellseg.nets.model import Model

    Forward = Callable[[NDArray[Any]], NDArray[np.float32]]

log = logging.getLogger(__name__)

NETWORK = "network.xml"
PRECISIONS = {"bfloat16": "bf16", "float32": "f32"}
INT8 = "int8"
HELD = "bytes a pixel"
INT8_TENSORS = ("int8/network", "int8/weights")
"""Names of the tensors in a model file that hold OpenVINO's two files of a network in 8 bits."""

MOST_DIFFERENT = 1e-3
"""Share of the labels of the probe that may differ from those of torch in float32."""

PROBE_PX = (512, 384)  # another shape than it is converted with: a size that was frozen in shows
KEPT = 2  # compiled networks
SHAPES = 4  # compiled at a time; images of one size have blocks of one or two shapes


def missing() -> str:
    """Return why OpenVINO cannot be used here, or an empty string."""
    try:
        version("openvino")
    except PackageNotFoundError:
        return "OpenVINO is not installed (pip install 'napari-cellseg[cpu]')"
    return ""


@functools.cache
def load_openvino() -> Any:
    """Return the package openvino, kept from reporting its use over the network.

    Its import sends an event unless the package that does so is absent, for which it has a stand-in.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def precisions() -> list[str]:
    """Return the number formats that this processor is fast in, the fastest first."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["bfloat16", "float32"] if "BF16" in capabilities else ["float32"]


def prepare_openvino(model: Model, device: str, precision: str) -> Forward:
    """Return a function that runs a network on the CPU.

    With precision "auto" or "bfloat16" it is bfloat16 where the processor has it and labels of the
    probe come out as in float32, and float32 elsewhere. A network that was hardly trained has many
    pixels between two classes, which fall either way in bfloat16: it runs in float32. A model that
    was put into 8 bits runs in these with "auto": what that costs was judged when it was made.

    Raises
    ------
    CellsegError
        If the device is no CPU, the network cannot be converted, or its labels differ from those
        of torch on more than 0.1 % of the probe.
    """
    if device not in ("auto", "cpu"):
        raise CellsegError(f"backend openvino on {device!r}", "--device cpu", "or choose --backend torch")
    if precision not in ("auto", *PRECISIONS):
        raise CellsegError(f"precision {precision} with OpenVINO", f"one of auto, {', '.join(PRECISIONS)}")
    chosen = [name for name in precisions() if precision in ("auto", name) or name == "float32"]
    folder = cache_folder(model)
    if model.spec.int8 and precision == "auto" and model.path is not None:
        return _measured(model, _compiled(model, folder, INT8), folder, INT8)
    for name in chosen:
        forward = _compiled(model, folder, name)
        differing = _differing(model, forward, folder, name)
        if differing <= MOST_DIFFERENT:
            return _measured(model, forward, folder, name)
        log.info("OpenVINO in %s: %.2f %% of the labels of a probe differ", name, 100 * differing)
    raise CellsegError(
        f"labels of OpenVINO in {chosen[-1]} differ from those of torch on {differing:.2%} of a probe",
        f"at most {MOST_DIFFERENT:.1%}",
        "use --backend torch",
    )


def likely_precision(model: Model, device: str, precision: str) -> str:
    """Return the number format that `prepare_openvino` will choose; float32 if the model was never tried."""
    if model.spec.int8 and precision == "auto":
        return INT8
    facts = read_facts(cache_folder(model))
    for name in precisions():
        if precision in ("auto", name) and facts.get(_fact("differs", name), 1.0) <= MOST_DIFFERENT:
            return name
    return "float32"


def likely_bytes(model: Model, device: str, precision: str, tensors: float) -> float:
    """Return the bytes that a pass will hold for each pixel of a window.

    As worked out when the model was first run here; before, by what tensors of torch would take in
    float32: 0.84 and 0.48 of that with U-Net/ResNet18, 1.14 in float32 with a U-Net of two layers.
    """
    name = likely_precision(model, device, precision)
    known = read_facts(cache_folder(model)).get(_fact(HELD, name))
    if isinstance(known, float):
        return known
    return tensors * (1.15 if name == "float32" else 0.5)


def convert(model: Model | Classifier) -> Any:
    """Return the network as an OpenVINO model: pictures (n, c, y, x) to probabilities (n, k, ...).

    Raises
    ------
    CellsegError
        If something in the network has no counterpart there.
    """
    import torch

    openvino, spec = load_openvino(), model.spec
    shapes: list[tuple[int, ...]]
    if isinstance(spec, ClassifierSpec):
        told = int(spec.options.get("measurements", 0))
        shapes = [(-1, len(spec.channels), *spec.size), *([(-1, told)] if told else [])]
    else:
        side = spec.input_px or -1
        shapes = [(-1, spec.channels, side, side)]
    known = [
        [256 if place and side < 0 else abs(side) for place, side in enumerate(shape)] for shape in shapes
    ]
    examples = tuple(torch.zeros(shape) for shape in known)
    try:
        with torch.no_grad(), warnings.catch_warnings(), _log_as_it_is():
            warnings.simplefilter("ignore")  # what tracing says of itself and of sizes; the probe tells
            # as `convert_model` traces, but once: it would run the network twice more to compare
            net, trace = with_probabilities(model), torch.jit.trace
            traced = trace(net, examples, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            return openvino.convert_model(traced, example_input=examples, input=shapes)
    except (
        openvino.frontend.OpConversionFailure,
        openvino.frontend.NotImplementedFailure,
        RuntimeError,
    ) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise CellsegError(
            f"OpenVINO cannot convert {spec.architecture} ({text[0][:200]})", remedy="use --backend torch"
        ) from error


@contextlib.contextmanager
def _log_as_it_is() -> Iterator[None]:
    """Give the root logger back as it was: where a conversion fails it would stay deaf to warnings."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


def with_probabilities(model: Model | Classifier) -> torch.nn.Module:
    """Return the network on the CPU, followed by what makes probabilities of its logits."""
    import torch

    views = getattr(model.spec, "views", 1)

    class WithProbabilities(torch.nn.Module):
        def __init__(self, net: torch.nn.Module, temperature: float) -> None:
            super().__init__()
            self.net, self.temperature = net, temperature

        def forward(self, pictures: torch.Tensor, measured: torch.Tensor | None = None) -> torch.Tensor:
            more = (measured, views) if isinstance(model.spec, ClassifierSpec) else ()
            logits: torch.Tensor = self.net(pictures, *more)
            return (logits / self.temperature).softmax(1)

    net = model.net.eval().to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return WithProbabilities(net, getattr(model.spec, "temperature", 1.0)).eval()


def _compiled(model: Model, folder: Path | None, name: str) -> _Compiled:
    forward = _kept.pop((model.sha256, name), None)
    if forward is None:
        network = _stored(model) if name == INT8 else _network(model, folder)
        forward = _Compiled(network, name)
    if model.sha256:  # compiling takes a second: the next image finds it done
        _kept[model.sha256, name] = forward
    for key in [*_kept][:-KEPT]:
        del _kept[key]
    return forward


def _stored(model: Model) -> Any:
    """Return the network in 8 bits that the model's file holds."""
    import safetensors

    with safetensors.safe_open(model.path, framework="np") as file:
        return _core().read_model(*(file.get_tensor(name).tobytes() for name in INT8_TENSORS))


def _network(model: Model, folder: Path | None) -> Any:
    """Return the converted network, from the cache where it is there and whole."""
    if folder is None:
        return convert(model)
    path = folder / f"openvino-{version('openvino')}" / NETWORK
    if path.exists():
        try:
            return _core().read_model(path)
        except RuntimeError:
            log.warning("%s cannot be read: converted anew", path)
    network = convert(model)
    try:
        with replace_whole(path.parent) as part:
            part.mkdir()
            load_openvino().save_model(network, part / NETWORK, compress_to_fp16=False)
    except CellsegError as error:
        log.warning("the converted network is not kept: %s", error)
    return network


_kept: dict[tuple[str, str], _Compiled] = {}


class _Compiled:
    """A network compiled for the shapes it is asked for."""

    def __init__(self, network: Any, precision: str) -> None:
        self._network, self._precision = network, precision
        self.compiled = functools.lru_cache(SHAPES)(self._compile)

    def _compile(self, shape: tuple[int, ...]) -> Any:
        network = self._network.clone()
        network.reshape(shape)
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS.get(self._precision, "f32"),
            "INFERENCE_NUM_THREADS": threads(),
            "ENABLE_CPU_PINNING": False,  # or two processes would be tied to the same cores
        }
        return _core().compile_model(network, "CPU", options)

    def __call__(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        windows = np.ascontiguousarray(windows, np.float32)
        answer: NDArray[np.float32] = self.compiled(windows.shape)(windows, share_inputs=True)[0]
        return answer


def _differing(model: Model, forward: Forward, folder: Path | None, precision: str) -> float:
    """Return the share of the probe's labels that differ from torch's; worked out once."""
    key = _fact("differs", precision)
    known = read_facts(folder).get(key)
    if isinstance(known, float):
        return known
    import torch

    window = probe(model)
    with torch.inference_mode():
        exact = model.net.eval().to("cpu")(torch.from_numpy(window)).argmax(1).numpy()
    share = float((forward(window).argmax(1) != exact).mean())
    note_fact(folder, key, share)
    return share


def _measured(model: Model, forward: _Compiled, folder: Path | None, precision: str) -> _Compiled:
    """Note how much memory a pass holds, once; returns the network."""
    key = _fact(HELD, precision)
    if key not in read_facts(folder):
        note_fact(folder, key, held_per_px(forward.compiled(probe(model).shape)))
    return forward


def _fact(what: str, precision: str) -> str:
    # each processor rounds in its own way, and has layers of its own
    processor = _core().get_property("CPU", "FULL_DEVICE_NAME").strip()
    return f"openvino {version('openvino')} {precision} {what} on {processor}"


def probe(model: Model) -> NDArray[np.float32]:
    """Return a normalised picture (1, c, y, x) with something at every scale: noise, blobs and lines."""
    from scipy.ndimage import gaussian_filter

    spec = model.spec
    rows, cols = (spec.input_px or -(-side // spec.stride) * spec.stride for side in PROBE_PX)
    rng = np.random.default_rng(0)
    plane = np.zeros((spec.channels, rows, cols), np.float32)
    for sigma in (0, 1.5, 6, 24):
        noise = gaussian_filter(rng.normal(size=plane.shape), (0, sigma, sigma))
        plane += (noise / noise.std()).astype(np.float32)
    for width in (3, 8, 20):
        at = int(rng.integers(width, cols - width)) if cols > 2 * width else 0
        plane[:, :, at : at + width] -= 2
    return np.asarray((plane - plane.mean()) / plane.std(), np.float32)[None]


@functools.cache
def _core() -> Any:
    return load_openvino().Core()
