"""A trained network and all that is needed to feed it, in one `.safetensors` file.

The spec stands as JSON in the file's header, so `read_spec` costs no torch, and opening
a file can run no code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.resample import working_shape
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.nets.backends import keep_freed_memory
from napari_cellseg.nets.classifier_spec import Classifier, ClassifierSpec, id_of
from napari_cellseg.nets.model_cache import is_known

if TYPE_CHECKING:
    import torch

HEADER_KEY = "napari_cellseg"
"""Key of the spec in the header of a model file."""

OPTIMISER, INT8 = "optimiser/", "int8/"
"""Prefixes of the tensors in a file that are not the network's."""

SCHEMA = 1

Task = Literal["segment", "classify", "any"]
REMEDIES = {
    "segment": "use `napari-cellseg segment`, or give a model that classifies",
    "classify": "use `napari-cellseg classify`, or give a model that segments",
}
"""What a model of each task is for, where another was expected."""


@dataclass(frozen=True)
class ModelSpec:
    """What a network is and how it is fed.

    Attributes
    ----------
    architecture, encoder : str
        Names of `nets.segmenters.ARCHITECTURES` and `nets.encoders.ENCODERS`; no encoder
        where the architecture has none.
    classes : Classes
        Output channel k of the network is class k + 1 ("background" is channel 0).
    channels : int
        Channels the image must have.
    pixel_nm : float or None
        Working pixel size in nm: images are resampled to it, results scaled back.
        None: the network works on the image's own pixels.
    shrink : float
        Image pixels along a working pixel, where no pixel size says so.
    input_px : int or None
        The network takes whole images resized to a square of this side.
    threshold : float or None
        Two-class models: probability from which a pixel is the class, as validation chose it.
    stride : int
        The network takes planes whose sides are multiples of this, in working pixels.
    halo_px : int
        Margin in working pixels at which tiled labels do not differ from untiled ones.
    options : dict
        Further arguments of `build_segmenter`.
    normalisation : str
        How intensities are scaled; see `images.normalise`.
    widths : dict
        Channels of layers that were pruned, as `nets.pruning.set_widths` takes them.
    int8 : bool
        The file holds an 8-bit form of the network as well, which OpenVINO runs.
    task : str
        "segment".
    provenance : dict
        Settings, data hashes, scores and versions of the training.
    """

    architecture: str
    encoder: str
    classes: Classes
    channels: int = 1
    pixel_nm: float | None = None
    shrink: float = 1.0
    input_px: int | None = None
    threshold: float | None = None
    stride: int = 32
    halo_px: int = 64
    options: dict[str, Any] = field(default_factory=dict)
    normalisation: str = "standard"
    widths: dict[str, list[int]] = field(default_factory=dict)
    int8: bool = False
    task: str = "segment"
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Channels of the network's output: every class but "not annotated"."""
        return len(self.classes) - 1

    def working_shape(self, shape: tuple[int, int], pixel_nm: float | None) -> tuple[int, int]:
        """Return the size (y, x) in working pixels of an image of this shape and pixel size.

        Examples
        --------
        >>> ModelSpec("unet", "resnet18", Classes.of("vessel"), shrink=2.0).working_shape((960, 999), None)
        (480, 500)
        """
        if self.input_px is not None:
            return self.input_px, self.input_px
        if self.pixel_nm is not None and pixel_nm is not None:
            return working_shape(shape, pixel_nm, self.pixel_nm)
        return working_shape(shape, 1.0, self.shrink)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        return asdict(self) | {"classes": self.classes.to_json(), "schema": SCHEMA}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ModelSpec:
        """Build a spec from what `to_json` returned.

        Raises
        ------
        CellsegError
            If it was written by a later version or a key is missing or unknown.
        """
        if not isinstance(values, dict):
            raise CellsegError(
                f"model spec that is a {type(values).__name__}", "one that napari-cellseg wrote"
            )
        values = dict(values)
        schema = values.pop("schema", None)
        if schema != SCHEMA:
            raise CellsegError(f"model spec of schema {schema}", f"schema {SCHEMA}", "update napari-cellseg")
        try:
            return cls(**values | {"classes": Classes.from_json(values["classes"])})
        except (KeyError, TypeError) as error:
            raise CellsegError(
                f"model spec cannot be understood ({error})", "one that napari-cellseg wrote"
            ) from None


@dataclass(frozen=True)
class Model:
    """A spec and its network.

    Attributes
    ----------
    spec : ModelSpec
    net : torch.nn.Module
        Maps ``(n, channel, y, x)`` float32 to logits ``(n, class, y, x)``.
    sha256 : str
        Hash of the file it was loaded from; empty for one that was never saved.
    path : Path or None
    """

    spec: ModelSpec
    net: torch.nn.Module
    sha256: str = ""
    path: Path | None = None


@overload
def new_model(spec: ModelSpec) -> Model: ...
@overload
def new_model(spec: ClassifierSpec) -> Classifier: ...
@overload
def new_model(spec: ModelSpec | ClassifierSpec) -> Model | Classifier: ...
def new_model(spec: ModelSpec | ClassifierSpec) -> Model | Classifier:
    """Return a model with random weights (torch's global generator)."""
    from napari_cellseg.nets.classifiers import build_classifier
    from napari_cellseg.nets.pruning import set_widths
    from napari_cellseg.nets.segmenters import build_segmenter

    if isinstance(spec, ClassifierSpec):
        cells = build_classifier(spec)
        cells.eval()
        return Classifier(spec, cells)
    net = build_segmenter(
        spec.architecture, spec.encoder, channels=spec.channels, outputs=spec.outputs, options=spec.options
    )
    if spec.widths:
        set_widths(net, spec.widths)
    return Model(spec, net.eval())


@overload
def read_spec(path: str | Path, *, task: Literal["segment"] = "segment") -> ModelSpec: ...
@overload
def read_spec(path: str | Path, *, task: Literal["classify"]) -> ClassifierSpec: ...
@overload
def read_spec(path: str | Path, *, task: Task) -> ModelSpec | ClassifierSpec: ...
def read_spec(path: str | Path, *, task: Task = "segment") -> ModelSpec | ClassifierSpec:
    """Read what a model file says it is, without its weights and without torch.

    Parameters
    ----------
    path : str or Path
        Model file.
    task : {"segment", "classify", "any"}
        What the model is expected to do.

    Raises
    ------
    CellsegError
        If the file is missing, damaged, no model of napari-cellseg, or one for another task.
    """
    header = read_header(path)
    if HEADER_KEY not in header:
        raise CellsegError(
            f"{path}: a safetensors file without a napari-cellseg spec",
            "a model that `napari-cellseg train` wrote",
        )
    try:
        values = json.loads(header[HEADER_KEY])
        own = values.get("task", "segment") if isinstance(values, dict) else "segment"
        spec: ModelSpec | ClassifierSpec
        spec = ClassifierSpec.from_json(values) if own == "classify" else ModelSpec.from_json(values)
    except json.JSONDecodeError as error:
        raise CellsegError(
            f"{path}: the spec in the header is damaged ({error})", "an intact model file"
        ) from None
    except CellsegError as error:
        raise CellsegError(f"{path}: {error.found}", error.expected, error.remedy) from None
    if task not in (own, "any"):
        raise CellsegError(f"{path}: a model that can {own}", f"one that can {task}", REMEDIES.get(own, ""))
    return spec


def read_header(path: str | Path) -> dict[str, str]:
    """Return the text entries in the header of a safetensors file.

    Raises
    ------
    CellsegError
        If the file is missing or not a whole safetensors file.
    """
    import safetensors

    path = Path(path)
    expected = "a .safetensors model that `napari-cellseg train` wrote"
    if not path.is_file():
        raise CellsegError(f"{path}: no such model file", expected)
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise CellsegError(
            f"{path}: damaged or not a model file ({reason})",
            expected,
            "pickled models (.pt, .pth, .pkl) are never opened; copy or train the model again",
        ) from None


@overload
def load_model(path: str | Path, *, task: Literal["segment"] = "segment") -> Model: ...
@overload
def load_model(path: str | Path, *, task: Literal["classify"]) -> Classifier: ...
@overload
def load_model(path: str | Path, *, task: Task) -> Model | Classifier: ...
def load_model(path: str | Path, *, task: Task = "segment") -> Model | Classifier:
    """Load a model for inference: float32, on the CPU, in evaluation mode.

    The network of a segmenter that was used before is read when it is first asked for.

    Parameters
    ----------
    path : str or Path
        Model file.
    task : {"segment", "classify", "any"}
        What the model is expected to do.

    Raises
    ------
    CellsegError
        If the file is missing, damaged, foreign or for another task, or its weights do not fit
        its spec.
    """
    path, spec = Path(path), read_spec(path, task=task)
    sha256 = file_sha256(path)
    keep_freed_memory()
    if isinstance(spec, ModelSpec) and is_known(path, sha256):
        return _OnDisk(spec, sha256=sha256, path=path)
    return replace(_read(path, spec), sha256=sha256, path=path)


class _OnDisk(Model):
    """A model whose network is read from its file when somebody asks for it.

    Who has OpenVINO run a network that was converted before never does, and is spared the seconds and
    the memory that torch takes.
    """

    def __init__(
        self, spec: ModelSpec, net: torch.nn.Module | None = None, sha256: str = "", path: Path | None = None
    ) -> None:
        vars(self).update(spec=spec, sha256=sha256, path=path, **({} if net is None else {"net": net}))

    def __getattr__(self, name: str) -> Any:
        if name != "net" or self.path is None:
            raise AttributeError(name)
        return vars(self).setdefault("net", _read(self.path, self.spec).net)


@overload
def _read(path: Path, spec: ModelSpec) -> Model: ...
@overload
def _read(path: Path, spec: ModelSpec | ClassifierSpec) -> Model | Classifier: ...
def _read(path: Path, spec: ModelSpec | ClassifierSpec) -> Model | Classifier:
    """Return a model with the weights in a file."""
    from safetensors.torch import load_file

    try:
        model = _unfilled(spec)
    except CellsegError as error:
        raise CellsegError(f"{path}: {error.found}", error.expected, "update napari-cellseg") from None
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CellsegError(
            f"{path}: the spec describes no network ({reason})", "an intact model file"
        ) from None
    try:
        tensors = load_file(path)
        model.net.load_state_dict(
            {n: tensor for n, tensor in tensors.items() if not n.startswith((OPTIMISER, INT8))},
            assign=isinstance(model, Classifier),
        )
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise CellsegError(
            f"{path}: the weights do not fit the spec ({first})", "an intact model file"
        ) from None
    return model


def _unfilled(spec: ModelSpec | ClassifierSpec) -> Model | Classifier:
    """Return a model whose weights are about to be set: those of large backbones are not drawn first."""
    import torch

    from napari_cellseg.nets.classifiers import BACKBONES

    if not isinstance(spec, ClassifierSpec) or spec.architecture not in BACKBONES:
        return new_model(spec)
    with torch.device("meta"):
        return new_model(spec)


def save_model(path: str | Path, spec: ModelSpec | ClassifierSpec, net: torch.nn.Module) -> Path:
    """Write spec and weights as one `.safetensors` file, whole or not at all.

    Raises
    ------
    CellsegError
        If the folder cannot be written or the disk is full.
    """
    return save_tensors(path, net.state_dict(), {HEADER_KEY: json.dumps(spec.to_json())})


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], header: dict[str, str]) -> Path:
    """Write tensors and text entries as one `.safetensors` file, whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    with replace_whole(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
                temporary,
                header,
            )
        except SafetensorError as error:
            # The library tells of a full disk in its text only.
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        temporary.chmod(mode)  # the library's is for the owner alone
    return path


def model_id(path: Path) -> str:
    """Return what a table calls the model in a file: its name and the beginning of its hash."""
    return id_of(path, file_sha256(path))


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
