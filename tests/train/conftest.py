"""Easy images and prepared runs that train in a second or two."""

import numpy as np
import pytest
import tifffile

from napari_cellseg.images.annotation import Annotation, Classes
from napari_cellseg.images.micrographs import Image
from napari_cellseg.settings import ClassifierSettings, TrainSettings
from napari_cellseg.train.crop_run import CropData, prepare_crop_run
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


def cell(kind, rng, side=(20, 26)):
    """Return a crop (2, y, x): a bright disc (0), a bright bar (1) or a dark disc (2), and noise."""
    shape = tuple(int(length) for length in rng.integers(*side, 2))
    rows, cols = np.mgrid[: shape[0], : shape[1]] - np.array(shape)[:, None, None] // 2
    bar = (np.abs(rows) < 3) & (np.abs(cols) < 8)
    thing = bar if kind == 1 else np.hypot(rows, cols) < 6
    plane = 400 + (-250 if kind == 2 else 500) * thing
    return (np.stack([plane, np.full(shape, 300)]) + rng.normal(0, 15, (2, *shape))).astype(np.uint16)


@pytest.fixture
def crops_folder(tmp_path):
    """Return a function that writes class folders of crops, so many of each kind."""

    def make(counts=(30, 30, 20), name="crops", seed=0):
        rng = np.random.default_rng(seed)
        for kind, count in enumerate(counts):
            folder = tmp_path / name / ("disc", "bar", "dark disc ü")[kind]
            folder.mkdir(parents=True)
            for number in range(count):
                tifffile.imwrite(folder / f"s{number % 2}_{kind}{number:03}.tif", cell(kind, rng))
        return tmp_path / name

    return make


TINY_CELLS = {
    "preset": "cells-best",
    "height_px": 16,
    "width_px": 16,
    "epochs": 4,
    "batch": 16,
    "members": 1,
    "device": "cpu",
    "precision": "float32",
    "baseline": False,
}


@pytest.fixture
def make_crop_run(tmp_path, crops_folder):
    """Return a function that prepares a classifier's run on a folder of crops, with tiny settings."""

    def make(name="run", *, path=None, data=None, **changes):
        path = path or (tmp_path / "crops" if (tmp_path / "crops").is_dir() else crops_folder())
        settings = ClassifierSettings.checked(TINY_CELLS | changes)
        return prepare_crop_run(tmp_path / name, CropData(str(path), **(data or {})), settings)

    return make
