"""What napari's manifest points to, docks aside: readers, a writer, sample data. Costs no torch, no Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.types import FullLayerData, LayerData

    from napari_cellseg.images.micrographs import Image

Reader = Callable[[str | Sequence[str]], "list[LayerData]"]

SUFFIXES = (".mrc", ".mrcs", ".map", ".tif", ".tiff", ".btf", ".tf8")
FOLDERS = (".zarr", ".cellseg")
STUDY_FILE = "study.json"
COORDINATES = (".star", ".box", ".cbox", ".svg", ".csv", ".tsv", ".geojson")


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the reader if it has more to give than napari's own: pixel sizes, laziness, results.

    Raises nothing: a damaged file is found when it is read.

    Examples
    --------
    >>> get_reader("notes.txt") is None
    True
    """
    paths = [path] if isinstance(path, str) else list(path)
    known = all(
        str(p).lower().endswith((*SUFFIXES, *FOLDERS)) or is_study(Path(p)) or is_coordinates(Path(p))
        for p in paths
    )
    return read_layers if paths and known else None


def is_study(path: Path) -> bool:
    """Tell whether a path is the folder of a study, or the ``study.json`` in it."""
    return path.name == STUDY_FILE or (path / STUDY_FILE).is_file()


def is_coordinates(path: Path) -> bool:
    """Tell whether a path is a file of coordinates; tables that napari wrote are left to napari."""
    if not path.name.lower().endswith(COORDINATES):
        return False
    if path.suffix.lower() not in {".csv", ".tsv"} or not path.is_file():
        return True
    with path.open(encoding="utf-8", errors="replace") as file:
        return not file.readline().startswith("index,")


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers of images, coordinates, and of results, projects and studies of this plugin.

    Raises
    ------
    CellsegError
        If a file cannot be read.
    """
    from napari_cellseg.gui.overview import start_filling

    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        file = Path(one)
        if file.name.lower().endswith(".cellseg"):
            layers += _project_layers(file)
        elif is_study(file):
            layers += _study_layers(file)
        elif is_coordinates(file):
            layers += _coordinate_layers(file)
        elif file.name.lower().endswith(".ome.zarr") and (file / "labels" / "segmentation").exists():
            layers += _result_layers(file)
        else:
            layers.append(_image(file))
    for _, keywords, _ in layers:
        start_filling(keywords.get("metadata", {}))
    return layers


def _image(path: Path) -> LayerData:
    from napari_cellseg.gui.layers import image_layer, stack_layer
    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.images.readers.pixels import StackError

    try:
        return image_layer(read_image(path))
    except StackError:  # to be looked at; for the docks it is one image too many
        return stack_layer(path)


def _project_layers(path: Path) -> list[LayerData]:
    """Return the first image of a project that is there; the Annotate dock takes it from here."""
    from napari_cellseg.errors import CellsegError
    from napari_cellseg.gui.layers import Link, image_layer
    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.images.project import Project

    project = Project.open(path)
    for record in project.images:
        if not record.missing:
            image = replace(read_image(record.path, pixel_nm=record.pixel_nm), name=record.name)
            return [image_layer(image, link=Link("image", record.name, project.path, record.path))]
    raise CellsegError(f"{path.name} has no images yet", remedy="open it in the Annotate dock and add files")


def _study_layers(path: Path) -> list[LayerData]:
    """Return the first tested image of a study with what the systems made of it."""
    from napari_cellseg.gui.study_layers import study_layers
    from napari_cellseg.report.study.results import StudyReport

    report = StudyReport.read(path.parent if path.name == STUDY_FILE else path)
    return study_layers(report, report.test_images[0])


def _coordinate_layers(path: Path) -> list[LayerData]:
    """Return filaments and points of a coordinate file, upon their micrograph."""
    from napari_cellseg.gui.coordinates import read_coordinate_layers

    return read_coordinate_layers(path)


def write_layers(path: str, layers: list[FullLayerData]) -> list[str]:
    """Write filaments (shapes) and points for the program that the suffix stands for.

    Raises
    ------
    CellsegError
        If something is missing that the format needs, such as the pixel size.
    """
    from napari_cellseg.gui.coordinates import write_coordinate_layers

    return write_coordinate_layers(path, layers)


def _result_layers(path: Path) -> list[LayerData]:
    """Return the probabilities and labels of a result, as pyramids."""
    from napari_cellseg.gui.results import read_result

    return read_result(path)


def simulated_micrograph() -> list[LayerData]:
    """Return a simulated cryo-EM field of thin filaments and its truth."""
    from napari_cellseg.images.annotation import Classes
    from napari_cellseg.images.micrographs import Image
    from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph

    settings = SimulateSettings(shape=(1024, 1024), pixel_nm=0.4, filaments=(4, 5), carbon=0.0)
    made = simulate_micrograph(7, settings=settings)
    image = Image.from_array(made.image, "simulated micrograph", pixel_nm=made.pixel_nm)
    return _with_truth(image, made.mask, Classes.of("filament"))


def simulated_cells() -> list[LayerData]:
    """Return a simulated fluorescence field of cells and its truth."""
    from napari_cellseg.images.annotation import Classes
    from napari_cellseg.images.micrographs import Image
    from napari_cellseg.images.simulate.cell_field import simulate_cells

    made = simulate_cells(7)
    image = Image.from_array(made.image, "simulated cells", pixel_nm=made.pixel_nm)
    return _with_truth(image, made.mask, Classes.of("cell"))


def _with_truth(image: Image, mask: Any, classes: Any) -> list[LayerData]:
    from napari_cellseg.gui.layers import KEY, Link, class_colors, class_features, image_layer, pixel_place

    keywords = {
        "name": f"{image.name} truth",
        "metadata": {KEY: Link("labels", image.name, classes=classes)},
        "opacity": 0.4,
        "visible": False,
        "colormap": class_colors(classes, background=False),
        "features": class_features(classes),
        **pixel_place(image.pixel_nm),
    }
    return [image_layer(image), (mask, keywords, "labels")]
