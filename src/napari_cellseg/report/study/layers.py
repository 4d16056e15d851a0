"""What the layers of a study's networks keep: measured once for each system, drawn on the page."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from napari_cellseg.images.micrographs import read_image
from napari_cellseg.nets.model import load_model
from napari_cellseg.nets.redundancy import LayerInformation, layer_information
from napari_cellseg.predict.layers import sample_windows
from napari_cellseg.report.study.outcome import read_json, write_json

LAYERS = "layers.json"


def measure_layers(folder: Path, images: Sequence[str]) -> None:
    """Write ``layers.json`` beside the model of a trial, unless it is there.

    Parameters
    ----------
    folder : Path
        Of the trial: ``SYSTEM/TRIAL``.
    images : sequence of str
        Paths of the tested images, which windows are drawn from.
    """
    if (folder / LAYERS).exists():
        return
    model = load_model(folder / "model.safetensors")
    windows = sample_windows([read_image(image) for image in images], model)
    write_json(folder / LAYERS, [asdict(layer) for layer in layer_information(model, windows)])


def read_layers(folder: Path) -> list[LayerInformation]:
    """Return what `measure_layers` wrote; nothing where it did not."""
    if not (folder / LAYERS).exists():
        return []
    return [LayerInformation(**one | {"shape": tuple(one["shape"])}) for one in read_json(folder / LAYERS)]
