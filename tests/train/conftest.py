"""Easy images and prepared runs that train in a second or two."""

import numpy as np
import pytest
import tifffile

from napari_cellseg.images.annotation import Annotation, Classes
from napari_cellseg.images.micrographs import Image
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train.run import Source, prepare_run

TINY = {
    "depth": 3,
    "width": 4,
    "window_px": 32,
    "batch": 2,
    "steps": 2,
    "epochs": 3,
    "pretrained": False,
    "device": "cpu",
    "precision": "float32",
    "learning_rate": 5e-3,
}


def squares(seed, shape=(64, 80), *, classes=1):
    """Return an image (y, x) with bright squares and labels: 1 around them, 2.. on them."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 5, shape)
    labels = np.ones(shape, np.uint8)
    for i, row in enumerate(range(4, shape[0] - 12, 20)):
        for j, col in enumerate(range(4, shape[1] - 12, 20)):
            kind = (i + j) % classes
            part = np.s_[row : row + 12, col : col + 12]
            image[part] += 60 * (1 - 2 * (kind % 2))
            labels[part] = 2 + kind
    return image.astype(np.float32), labels


def annotation(image, labels, *, name="a", classes=("square",), pixel_nm=None):
    """Return an annotation of arrays."""
    return Annotation(Image.from_array(image, name, pixel_nm=pixel_nm), labels, Classes.of(*classes))


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes images and labels and prepares a run with tiny settings."""

    def make(name="run", *, images=None, classes=("square",), **changes):
        images = images or {"a": squares(0), "b": squares(1)}
        sources = []
        for stem, (image, labels) in images.items():
            tifffile.imwrite(tmp_path / f"{name}_{stem}.tif", image, photometric="minisblack")
            tifffile.imwrite(tmp_path / f"{name}_{stem}_labels.tif", labels)
            sources.append(
                Source(
                    stem, str(tmp_path / f"{name}_{stem}.tif"), str(tmp_path / f"{name}_{stem}_labels.tif")
                )
            )
        settings = TrainSettings.checked(TINY | changes)
        return prepare_run(tmp_path / name, Classes.of(*classes), sources, settings)

    return make
