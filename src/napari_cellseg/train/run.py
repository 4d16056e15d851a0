"""The folder of one training: what it learns from, with which settings, and what came of it.

``settings.json``, ``data.json`` (classes; images and their labels by path) are written by
whoever prepares the run, who may add ``start.safetensors``, a model of the same architecture
to begin with; ``split.json``, ``environment.json``, ``events.jsonl``,
``best.safetensors`` and ``last.safetensors`` by the training. A file ``stop`` asks it to end.
"""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import Polarity, mask_to_labels, read_mask
from napari_cellseg.formats.point_masks import read_point_mask
from napari_cellseg.images.annotation import Annotation, Classes
from napari_cellseg.images.label_planes import read_plane
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.nets.encoders import check_encoder
from napari_cellseg.nets.losses import LOSSES
from napari_cellseg.nets.model import ModelSpec
from napari_cellseg.nets.segmenters import find_architecture
from napari_cellseg.settings import Settings, TrainSettings

PACKAGES = (
    "napari-cellseg",
    "torch",
    "lightning-fabric",
    "segmentation-models-pytorch",
    "numpy",
    "zarr",
    "dask",
)

START = "start.safetensors"

OPTIONS = ("depth", "width", "deep_supervision")
"""Settings that are options of an architecture."""


@dataclass(frozen=True)
class Source:
    """An image of a run and the file of its labels.

    Attributes
    ----------
    name : str
        Name of the image, unique in the run.
    path : str
        The image file.
    labels : str
        A ``.zarr`` plane of annotation indices, a mask file read with `polarity`, or a table of points.
    polarity : str or None
        One of `Polarity` for a mask or points; None for annotation indices.
    pixel_nm : float or None
        Overrides the pixel size in the image file.
    """

    name: str
    path: str
    labels: str
    polarity: str | None = None
    pixel_nm: float | None = None


def prepare_run(
    run: str | Path, classes: Classes, sources: Sequence[Source], settings: TrainSettings
) -> Path:
    """Write the folder of a training that `train` can take up.

    Raises
    ------
    CellsegError
        If there is a run in this folder already.
    """
    data = {"classes": classes.to_json(), "images": [vars(source) for source in sources]}
    return write_run(run, data, settings)


def write_run(run: str | Path, data: dict[str, Any], settings: Settings) -> Path:
    """Write what a training is started from, ``data.json`` and ``settings.json``, into a new run folder.

    Raises
    ------
    CellsegError
        If there is a run in this folder already.
    """
    run = Path(run)
    if (run / "data.json").exists():
        raise CellsegError(f"{run}: holds a run already", "a new folder", "resume it, or choose another name")
    write_whole(run / "settings.json", settings.model_dump_json(indent=1))
    write_whole(run / "data.json", json.dumps(data, indent=1))
    return run


def read_settings(run: str | Path) -> TrainSettings:
    """Return the settings of a run."""
    return TrainSettings.checked(read_json(Path(run) / "settings.json"))


def read_annotations(run: str | Path) -> list[Annotation]:
    """Open the images and labels a run learns from.

    Raises
    ------
    CellsegError
        If a file is missing or damaged, or a mask is of another size than its image.
    """
    run = Path(run)
    data = read_json(run / "data.json")
    try:
        classes = Classes.from_json(data["classes"])
        sources = [_source(entry) for entry in data["images"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise CellsegError(f"{run / 'data.json'}: not the data of a run ({error!r})") from None
    return [_open_source(run, source, classes) for source in sources]


def spec_for(annotations: Sequence[Annotation], settings: TrainSettings) -> ModelSpec:
    """Return the spec of the network that these settings train on these annotations.

    Raises
    ------
    CellsegError
        If a name is unknown, or settings contradict each other or the architecture.
    """
    if settings.loss not in LOSSES:
        raise CellsegError(f"unknown loss {settings.loss!r}", f"one of {', '.join(LOSSES)}")
    architecture = find_architecture(settings.architecture)
    if architecture.has_encoder:
        check_encoder(settings.encoder)
    options = architecture.completed({name: getattr(settings, name) for name in OPTIONS})
    whole = settings.prepare == "resize"
    if settings.shrink != 1 and (whole or settings.pixel_nm):
        other = "--prepare resize" if whole else f"a working pixel size of {settings.pixel_nm:g} nm"
        raise CellsegError(f"--shrink {settings.shrink:g} beside {other}", "one of them", "leave one out")
    stride = architecture.stride(options)
    if settings.window_px % stride:
        raise CellsegError(
            f"window of {settings.window_px} px",
            f"a multiple of {stride}, the stride of this {settings.architecture}",
            "give another --window-px",
        )
    pixel_nm = settings.pixel_nm or annotations[0].image.pixel_nm
    return ModelSpec(
        architecture=settings.architecture,
        encoder=settings.encoder if architecture.has_encoder else "",
        classes=annotations[0].classes,
        channels=annotations[0].image.channels,
        pixel_nm=pixel_nm and pixel_nm * settings.shrink,
        shrink=settings.shrink,
        input_px=settings.window_px if whole else None,
        stride=stride,
        options=options,
    )


def stop_file(run: str | Path) -> Path:
    """Return the file that asks a training to end after its step."""
    return Path(run) / "stop"


def write_environment(run: str | Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write and return what a run was trained with: versions, machine and `facts`."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    } | facts
    write_whole(Path(run) / "environment.json", json.dumps(found, indent=1))
    return found


def _source(entry: dict[str, Any]) -> Source:
    values: dict[str, Any] = {key: entry.get(key) for key in Source.__annotations__}
    source = Source(**values)
    for text in (source.name, source.path, source.labels):
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is no text")
    if source.polarity not in (None, *get_args(Polarity)):
        raise TypeError(f"no polarity {source.polarity!r}")
    if not isinstance(source.pixel_nm, int | float | None):
        raise TypeError(f"pixel size {source.pixel_nm!r}")
    return source


def _open_source(run: Path, source: Source, classes: Classes) -> Annotation:
    image = read_image(run / source.path, pixel_nm=source.pixel_nm)
    labels_path = run / source.labels
    if source.polarity is None:
        labels = _read_indices(labels_path)
    elif source.polarity == "points":
        labels = read_point_mask(labels_path, image, read_settings(run).point_radius_nm)
    else:
        labels = mask_to_labels(read_mask(labels_path), source.polarity)  # type: ignore[arg-type]
    try:
        return Annotation(replace(image, name=source.name), labels, classes)
    except CellsegError as error:
        raise CellsegError(f"{labels_path.name}: {error.found}", error.expected, error.remedy) from None


def _read_indices(path: Path) -> Any:
    if path.suffix != ".zarr":
        return read_mask(path)
    return read_plane(path)[0]


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a run.

    Raises
    ------
    CellsegError
        If there is none, or it is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CellsegError(f"{path}: no such file", "the folder of a prepared run") from None
    except (OSError, ValueError) as error:
        raise CellsegError(f"{path}: cannot be read ({error})", "JSON that napari-cellseg wrote") from None
    if not isinstance(values, dict):
        raise CellsegError(f"{path}: holds {type(values).__name__}", "a JSON object")
    return values
