"""Models for other programs: `EXPORTERS`, each checked against the network before it counts as written."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.nets.bioimageio import write_bioimageio
from napari_cellseg.nets.classifier_spec import Classifier
from napari_cellseg.nets.openvino import convert, load_openvino, probe, with_probabilities

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model

MOST_DIFFERENT = 1e-3
"""Of a probability, from that of PyTorch in float32."""

INPUT, OUTPUT = "image", "probabilities"
SPEC_KEY = "napari-cellseg"


@dataclass(frozen=True)
class Exported:
    """A model was written for another program.

    Attributes
    ----------
    path : Path
    difference : float
        The most by which a probability differs from PyTorch's, on a probe.
    size : tuple of int, or None
        Rows and columns that pictures must have; None = any multiple of the stride.
    """

    path: Path
    difference: float
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Exporter:
    """A form that other programs read.

    Attributes
    ----------
    write : callable
        ``write(model, path) -> Exported``.
    ending : str
        What the file's name ends in.
    needs : tuple of str
        Packages it takes.
    description : str
        One line for lists.
    """

    write: Callable[[Model | Classifier, Path], Exported]
    ending: str
    needs: tuple[str, ...]
    description: str

    def missing(self) -> str:
        """Return why it cannot be written here, or an empty string."""
        lacking = [name for name in self.needs if _absent(name)]
        return f"{' and '.join(lacking)} missing (pip install 'napari-cellseg[export]')" if lacking else ""


def export_model(model: Model | Classifier, to: str, out: Path, *, overwrite: bool = False) -> Exported:
    """Write a model for another program, checked against PyTorch on a probe.

    Parameters
    ----------
    model : Model or Classifier
    to : str
        Key of `EXPORTERS`.
    out : Path
        File to write.
    overwrite : bool
        Replace one that is there.

    Raises
    ------
    CellsegError
        If the form is unknown or cannot be written here, the name ends otherwise, a file is there,
        or what was written gives other probabilities; then nothing is left.
    """
    if to not in EXPORTERS:
        raise CellsegError(f"--to {to}", f"one of {', '.join(EXPORTERS)}")
    exporter = EXPORTERS[to]
    if exporter.missing():
        raise CellsegError(f"--to {to}: {exporter.missing()}")
    if not out.name.endswith(exporter.ending):
        raise CellsegError(f"--out {out}", f"a name that ends in {exporter.ending}")
    if out.exists() and not overwrite:
        raise CellsegError(f"{out}: exists already", remedy="choose another --out or give --overwrite")
    return exporter.write(model, out)


def spec_json(model: Model | Classifier) -> str:
    """Return what another program should know of a model: classes, pixel size, normalisation, provenance."""
    return json.dumps(model.spec.to_json())


def write_onnx(model: Model | Classifier, out: Path) -> Exported:
    """Write ONNX: normalised pictures (n, c, y, x) float32 to probabilities; the spec is in its metadata."""
    fixed = getattr(model.spec, "input_px", None)
    size = None if fixed is None else (fixed, fixed)
    with replace_whole(out) as part:
        try:
            _onnx_file(model, part, size)
            difference = _compared(model, _run_onnx(part))
        except _refusals() as error:
            if isinstance(model, Classifier) or size is not None:
                raise _cannot(model, error) from error
            size = _other_size(model)  # parts of some networks have no form for any size
            _onnx_file(model, part, size)
            difference = _compared(model, _run_onnx(part), size)
    return Exported(out, difference, size)


def write_openvino(model: Model | Classifier, out: Path) -> Exported:
    """Write OpenVINO's NAME.xml with NAME.bin beside it; the spec is in its runtime information."""
    openvino, network = load_openvino(), convert(model)
    network.set_rt_info(spec_json(model), [SPEC_KEY, "spec"])
    with replace_whole(out.with_suffix(".bin")) as weights, replace_whole(out) as part:
        openvino.save_model(network, part, compress_to_fp16=False)
        part.with_suffix(".bin").rename(weights)
        read = openvino.Core().read_model(part, weights)
        compiled = openvino.Core().compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        difference = _compared(model, lambda pictures: np.asarray(compiled(list(pictures))[0]))
    return Exported(out, difference)


def _write_bioimageio(model: Model | Classifier, out: Path) -> Exported:
    if isinstance(model, Classifier):
        raise CellsegError("a classifier", "a segmenter: bioimage.io has no form for it", "use --to onnx")
    with tempfile.TemporaryDirectory() as folder:
        written = write_onnx(model, Path(folder) / "model.onnx")
        with replace_whole(out) as part:
            write_bioimageio(model, written.path, part, size=written.size)
    return replace(written, path=out)


def _onnx_file(model: Model | Classifier, path: Path, size: tuple[int, int] | None) -> None:
    import onnx
    import torch

    pictures = _pictures(model, size or _other_size(model))
    free = torch.export.Dim.DYNAMIC
    sides = {} if size is not None or isinstance(model, Classifier) else {2: free, 3: free}
    shapes = tuple({0: free, **(sides if part.ndim == 4 else {})} for part in pictures)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        torch.onnx.export(
            with_probabilities(model),
            tuple(torch.from_numpy(np.repeat(part, 2, 0)) for part in pictures),
            path,
            input_names=[INPUT, "measurements"][: len(pictures)],
            output_names=[OUTPUT],
            dynamic_shapes=shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {SPEC_KEY: spec_json(model)})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def _other_size(model: Model | Classifier) -> tuple[int, int]:
    """Return a size for examples that the probe does not have: what was frozen in shows."""
    if isinstance(model, Classifier):
        return model.spec.size
    side = model.spec.stride * max(1, 256 // model.spec.stride)
    return side, side


def _refusals() -> tuple[type[Exception], ...]:
    """Return what says that a network cannot be exported; onnxruntime's kinds have no common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as kinds

    theirs = (
        kinds.Fail,
        kinds.InvalidArgument,
        kinds.InvalidGraph,
        kinds.NotImplemented,
        kinds.RuntimeException,
    )
    return (*theirs, RuntimeError, ValueError)


def _run_onnx(path: Path) -> Callable[[tuple[NDArray[np.float32], ...]], NDArray[np.float32]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda pictures: np.asarray(session.run(None, dict(zip(names, pictures, strict=True)))[0])


def _pictures(
    model: Model | Classifier, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.float32], ...]:
    """Return what the network is shown to compare with: pictures, and measurements where it is told some."""
    if not isinstance(model, Classifier):
        shown = probe(model)
        return (shown if size is None else np.ascontiguousarray(shown[:, :, : size[0], : size[1]]),)
    rng, spec = np.random.default_rng(0), model.spec
    pictures = rng.uniform(size=(1, len(spec.channels), *spec.size)).astype(np.float32)
    if not model.net.measurements:
        return (pictures,)
    return pictures, rng.normal(size=(1, model.net.measurements)).astype(np.float32)


def _compared(
    model: Model | Classifier,
    run: Callable[[tuple[NDArray[np.float32], ...]], NDArray[np.float32]],
    size: tuple[int, int] | None = None,
) -> float:
    """Return by how much probabilities differ from PyTorch's at most; a refusal where it is too much."""
    import torch

    pictures = _pictures(model, size)
    with torch.inference_mode():
        exact = with_probabilities(model)(*map(torch.from_numpy, pictures)).numpy()
    difference = float(np.abs(run(pictures) - exact).max())
    if not difference <= MOST_DIFFERENT:
        raise CellsegError(
            f"probabilities of the exported network differ by up to {difference:.3g} from PyTorch's",
            f"at most {MOST_DIFFERENT:g}",
        )
    return difference


def _cannot(model: Model | Classifier, error: Exception) -> CellsegError:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return CellsegError(f"{model.spec.architecture} cannot be exported ({text[0][:200]})")


def _absent(name: str) -> bool:
    try:
        return find_spec(name) is None
    except ModuleNotFoundError:  # of the package it is in
        return True


EXPORTERS: dict[str, Exporter] = {
    "onnx": Exporter(
        write_onnx,
        ".onnx",
        ("onnx", "onnxruntime", "onnxscript"),
        "ONNX, for whatever reads it; the spec in it",
    ),
    "openvino": Exporter(write_openvino, ".xml", ("openvino",), "OpenVINO's XML, with a .bin beside it"),
    "bioimageio": Exporter(
        _write_bioimageio,
        ".zip",
        ("onnx", "onnxruntime", "onnxscript", "bioimageio.spec", "bioimageio.core"),
        "a package of bioimage.io, for ilastik, deepImageJ and others",
    ),
}
