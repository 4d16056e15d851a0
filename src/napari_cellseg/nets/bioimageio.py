"""Packages of bioimage.io: what a model takes and gives, with an example of both, in one file.

Our normalisation takes its figures from a sample of an image between two percentiles. What comes
nearest there is clipping at the same percentiles, then zero mean and unit variance of the image; the
example in the package is made by what the package says.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.normalise import PERCENTILES

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model, ModelSpec

IMAGE = "image"
EPS = 1e-6
NM_PER_UM = 1000.0


def write_bioimageio(model: Model, onnx: Path, out: Path, *, size: tuple[int, int] | None) -> None:
    """Write a package around an ONNX file, and try it the way other programs do.

    Parameters
    ----------
    model : Model
    onnx : Path
    out : Path
        Zip file.
    size : (y, x), optional
        The only size the ONNX file takes.

    Raises
    ------
    CellsegError
        If bioimageio's own check finds a mistake.
    """
    from bioimageio.core import test_model
    from bioimageio.spec import save_bioimageio_package

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        described = _described(model, onnx, folder, size)
        save_bioimageio_package(described, output_path=out)
        summary = test_model(out)
    if summary.status != "passed":
        raise CellsegError(f"bioimage.io refuses the package: {_complaints(summary)}")


def _described(model: Model, onnx: Path, folder: Path, size: tuple[int, int] | None) -> Any:
    import onnx as onnx_package
    import onnxruntime
    from bioimageio.spec.model import v0_5 as b

    spec = model.spec
    shown = _example(spec.channels, size or (2 * spec.stride * max(1, 128 // spec.stride),) * 2)
    session = onnxruntime.InferenceSession(onnx.read_bytes(), providers=["CPUExecutionProvider"])
    answer = session.run(None, {session.get_inputs()[0].name: normalised(shown)})[0]
    np.save(folder / "input.npy", shown)
    np.save(folder / "output.npy", answer)
    _write_cover(folder / "cover.png", shown[0, 0], answer[0, 1])
    _write_text(folder / "README.md", model)
    (folder / "model.onnx").write_bytes(onnx.read_bytes())
    opset = onnx_package.load(folder / "model.onnx").opset_import[0].version
    return b.ModelDescr(
        name=_plain(f"napari-cellseg {' '.join(spec.classes.targets)}"),
        description=f"{spec.architecture} segments {', '.join(spec.classes.targets)}",
        covers=[b.FileDescr(source=folder / "cover.png")],
        documentation=b.FileDescr(source=folder / "README.md"),
        authors=[b.Author(name="made with napari-cellseg")],
        cite=[b.CiteEntry(text="napari-cellseg", url="https://github.com/napari-cellseg/napari-cellseg")],
        license="CC-BY-4.0",
        tags=["segmentation", "napari-cellseg", *map(_plain, spec.classes.targets)],
        inputs=[_shown(spec, folder / "input.npy", shown.shape[2:], fixed=size is not None)],
        outputs=[_answered(spec, folder / "output.npy")],
        weights=b.WeightsDescr(onnx=b.OnnxWeightsDescr(source=folder / "model.onnx", opset_version=opset)),
        config=b.Config.model_validate({"napari_cellseg": {"spec": spec.to_json()}}),
    )


def _shown(spec: ModelSpec, example: Path, sides: tuple[int, int], *, fixed: bool) -> Any:
    """Describe what the network is shown, from the image as it is."""
    from bioimageio.spec.model import v0_5 as b

    plane = [b.AxisId("y"), b.AxisId("x")]
    clip = b.ClipKwargs(min_percentile=PERCENTILES[0], max_percentile=PERCENTILES[1], axes=plane)
    even = b.ZeroMeanUnitVarianceKwargs(axes=plane, eps=EPS)
    sizes = [side if fixed else b.ParameterizedSize(min=side, step=spec.stride) for side in sides]
    channels = [f"channel {number + 1}" for number in range(spec.channels)]
    return b.InputTensorDescr(
        id=b.TensorId(IMAGE),
        axes=[
            b.BatchAxis(),
            b.ChannelAxis(channel_names=channels),
            *(
                b.SpaceInputAxis(id=axis, size=size, **_scale(spec))
                for axis, size in zip(plane, sizes, strict=True)
            ),
        ],
        test_tensor=b.FileDescr(source=example),
        preprocessing=[b.ClipDescr(kwargs=clip), b.ZeroMeanUnitVarianceDescr(kwargs=even)],
    )


def _answered(spec: ModelSpec, example: Path) -> Any:
    """Describe what the network answers."""
    from bioimageio.spec.model import v0_5 as b

    plane = [b.AxisId("y"), b.AxisId("x")]
    sizes = {axis: b.SizeReference(tensor_id=b.TensorId(IMAGE), axis_id=axis) for axis in plane}
    return b.OutputTensorDescr(
        id=b.TensorId("probabilities"),
        axes=[
            b.BatchAxis(),
            b.ChannelAxis(channel_names=list(map(_plain, spec.classes.names[1:]))),
            *(b.SpaceOutputAxis(id=axis, size=size, **_scale(spec)) for axis, size in sizes.items()),
        ],
        test_tensor=b.FileDescr(source=example),
    )


def _scale(spec: ModelSpec) -> dict[str, Any]:
    return {} if spec.pixel_nm is None else {"unit": "micrometer", "scale": spec.pixel_nm / NM_PER_UM}


def normalised(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pictures (n, c, y, x) as the package says they are to be shown to the network.

    Examples
    --------
    >>> out = normalised(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
    >>> bool(abs(out.mean()) < 1e-6), bool(abs(out.std() - 1) < 1e-3)
    (True, True)
    """
    low, high = np.percentile(pictures, PERCENTILES, axis=(2, 3), keepdims=True)
    clipped = np.clip(pictures, low, high)
    mean, std = clipped.mean(axis=(2, 3), keepdims=True), clipped.std(axis=(2, 3), keepdims=True)
    return np.asarray((clipped - mean) / (std + EPS), np.float32)


def _example(channels: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a picture with dark bands in noise."""
    rng = np.random.default_rng(0)
    rows, cols = np.indices(size)
    bands = np.cos((rows + cols) / 9.0) < -0.8
    plane = rng.normal(120.0, 10.0, (1, channels, *size)) - 25.0 * bands
    return plane.astype(np.float32)


def _write_cover(path: Path, picture: NDArray[Any], likely: NDArray[Any]) -> None:
    from PIL import Image

    low, high = picture.min(), picture.max()
    grey = (255 * (picture - low) / max(float(high - low), 1e-9)).astype(np.uint8)
    Image.fromarray(np.hstack([grey, (255 * likely.clip(0, 1)).astype(np.uint8)])).save(path)


def _write_text(path: Path, model: Model) -> None:
    spec = model.spec
    pixel = "any" if spec.pixel_nm is None else f"{spec.pixel_nm:g} nm"
    lines = [
        f"# {', '.join(spec.classes.targets)}",
        "",
        f"{spec.architecture} {spec.encoder}, trained with napari-cellseg {version('napari-cellseg')}.",
        f"Pixels of {pixel}; sides are multiples of {spec.stride} px.",
        f"Within {spec.halo_px} px of an edge the answer is unsure.",
        f"Channels of the answer: {', '.join(spec.classes.names[1:])}, as probabilities.",
        "",
        "## Validation",
        "",
        f"Score on what was held out in training: {spec.provenance.get('score', 'not known')}.",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in " -_+./()" else "-" for letter in text)


def _complaints(summary: Any) -> str:
    found = [error.msg for detail in summary.details for error in detail.errors]
    return "; ".join(found)[:500] or summary.status
