import logging

import mrcfile
import numpy as np
import pytest
import tifffile

from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.readers.pixel_size import isotropic_nm, nm_per_unit

from ..sample_files import write_ome_zarr

PIXELS = np.zeros((20, 30), np.uint16)


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        ("nm", 1), ("nanometer", 1), ("micron", 1e3), ("\u00b5m", 1e3), ("\u03bcm", 1e3), ("\\u00B5m", 1e3),
        ("um", 1e3), ("micrometre", 1e3), ("angstrom", 0.1), ("\u00c5", 0.1), ("\u212b", 0.1),
        ("mm", 1e6), ("inch", 2.54e7),
        ("pixel", None), ("", None), ("second", None),
    ],
)  # fmt: skip
def test_units(unit, nm):
    assert nm_per_unit(unit) == nm


@pytest.mark.parametrize("unknown", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_unknown_sizes(unknown):
    assert isotropic_nm(unknown, unknown, "a") is None
    assert isotropic_nm(unknown, 2.0, "a") == 2


def test_unequal_sides_are_reported(caplog):
    with caplog.at_level(logging.WARNING, "napari_cellseg"):
        assert isotropic_nm(1.0, 1.005, "a.tif") == pytest.approx(1.0025)
        assert not caplog.records
        assert isotropic_nm(1.0, 2.0, "a.tif") == 1.5
    assert "a.tif: pixels are 1 nm high and 2 nm wide" in caplog.text


@pytest.mark.parametrize(
    ("how", "nm"),
    [
        ({}, None),
        ({"resolution": (1, 1), "resolutionunit": "CENTIMETER"}, None),
        *(
            ({"resolution": (dpi, dpi), "resolutionunit": "INCH"}, None)
            for dpi in (72, 96, 150, 300, 600, 1200)
        ),
        ({"resolution": (1e8, 1e8), "resolutionunit": "CENTIMETER"}, 0.1),
        ({"resolution": (25400, 25400), "resolutionunit": "INCH"}, 1000),
        ({"imagej": True, "resolution": (10, 10), "metadata": {"unit": "um"}}, 100),
        ({"imagej": True, "resolution": (10, 10), "metadata": {"unit": "\\u00B5m"}}, 100),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "nm"}}, 0.5),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "pixel"}}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}}, 500),
        (
            {
                "ome": True,
                "metadata": {
                    "PhysicalSizeX": 1.06,
                    "PhysicalSizeXUnit": "\u00c5",
                    "PhysicalSizeY": 1.06,
                    "PhysicalSizeYUnit": "\u00c5",
                },
            },
            0.106,
        ),
    ],
    ids=str,
)
def test_tiff(tmp_path, how, nm):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **how)
    assert read_image(tmp_path / "a.tif").pixel_nm == (pytest.approx(nm, rel=1e-6) if nm else None)


@pytest.mark.parametrize(("voxel", "nm"), [(0, None), (1.06, 0.106), (1.0, 0.1), ((2.0, 2.0, 1.0), 0.2)])
def test_mrc(tmp_path, voxel, nm):
    mrcfile.write(tmp_path / "a.mrc", PIXELS, voxel_size=voxel)
    assert read_image(tmp_path / "a.mrc").pixel_nm == (pytest.approx(nm, rel=1e-6) if nm else None)


def test_mrc_of_no_version_and_one_angstrom(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc", PIXELS) as mrc:
        mrc.voxel_size = 1.0
        mrc.header.nversion = 0
    assert read_image(tmp_path / "a.mrc").pixel_nm is None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("unit", "nm"), [("micrometer", 500), ("angstrom", 0.05), ("", None)])
def test_ome_zarr(tmp_path, version, unit, nm):
    path = write_ome_zarr(
        tmp_path / "a.zarr", PIXELS[np.newaxis], "cyx", version, scale=(1, 0.5, 0.5), unit=unit
    )
    assert read_image(path).pixel_nm == (pytest.approx(nm) if nm else None)


def test_overridden(tmp_path):
    mrcfile.write(tmp_path / "a.mrc", PIXELS, voxel_size=1.06)
    assert read_image(tmp_path / "a.mrc", pixel_nm=5).pixel_nm == 5
