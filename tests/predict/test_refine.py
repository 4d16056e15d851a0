import errno
import json

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05 import Image as OmeImage
from ome_zarr_models.v05 import ImageLabel, Labels

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image
from napari_cellseg.predict import refine
from napari_cellseg.predict.chain import apply_chain, parse_chain
from napari_cellseg.predict.refine import final_labels, refine_result
from napari_cellseg.predict.store import read_own
from napari_cellseg.predict.stream import segment_to
from napari_cellseg.settings import SegmentSettings

SETTINGS = SegmentSettings(backend="numpy", block_px=128)
CHAIN = parse_chain("hysteresis:low=0.4,high=0.9; remove-small:area_nm2=2; smooth:sigma_px=1")


@pytest.fixture
def result(local_model, tmp_path):
    """A result of 700 x 515 px of 0.25 nm, on two levels."""
    pixels = np.random.default_rng(0).normal(100, 20, (700, 515)).astype(np.float32)
    image, out = Image.from_array(pixels, "noise", pixel_nm=0.25), tmp_path / "noise.ome.zarr"
    list(segment_to(image, local_model(), out, settings=SETTINGS))
    return out


def array(result, path) -> np.ndarray:
    return zarr.open_array(result / path, mode="r")[:]


def test_the_steps_are_applied_and_noted_and_the_segmentation_stays(result):
    before, probabilities = array(result, "labels/segmentation/0"), array(result, "probabilities/0")
    refine_result(result, CHAIN)
    np.testing.assert_array_equal(array(result, "labels/segmentation/0"), before)
    expected = apply_chain(before, CHAIN, probabilities=probabilities, pixel_nm=0.25)
    assert (expected != before).any()
    np.testing.assert_array_equal(array(result, "labels/refined/0"), expected)
    np.testing.assert_array_equal(final_labels(result)[:], expected)
    own = read_own(result)
    assert parse_chain(own["post"]) == CHAIN
    assert own["class_pixels"] == np.bincount(expected.ravel())[1:].tolist()


def test_smaller_levels_show_the_majority(result, monkeypatch):
    monkeypatch.setattr(refine, "BAND_PX", 256)  # several bands
    refine_result(result, CHAIN)
    fine, coarse = array(result, "labels/refined/0"), array(result, "labels/refined/1")
    assert coarse.shape == (350, 258)
    fine = np.pad(fine, [(0, 0), (0, 1)], mode="edge").reshape(350, 2, 258, 2)
    np.testing.assert_array_equal(coarse == 2, (fine == 2).sum((1, 3)) > 2)


def test_it_stays_a_valid_ome_zarr(result):
    refine_result(result, CHAIN)
    group = zarr.open_group(result, mode="r")
    OmeImage.from_zarr(group)
    assert Labels.from_zarr(group["labels"]).attributes.ome.labels == ["segmentation", "refined"]
    label = ImageLabel.from_zarr(group["labels/refined"])
    assert label.attributes.ome.multiscales[0].name == "refined"
    assert label.attributes.ome.image_label.properties[2].model_dump() == {
        "label_value": 2,
        "class": "filament",
    }


def test_another_chain_starts_from_the_network_and_none_takes_it_back(result):
    before = array(result, "labels/segmentation/0")
    refine_result(result, parse_chain("remove-small:area_px=1000000"))
    assert (final_labels(result)[:] == 1).all()
    refine_result(result, parse_chain("remove-small:area_px=5"))
    assert (final_labels(result)[:] == 2).any()
    refine_result(result, ())
    np.testing.assert_array_equal(final_labels(result)[:], before)
    assert not (result / "labels" / "refined").exists()
    assert json.loads((result / "labels/zarr.json").read_text())["attributes"]["ome"]["labels"] == [
        "segmentation"
    ]
    assert read_own(result)["class_pixels"] == np.bincount(before.ravel())[1:].tolist()


def test_a_folder_that_is_none_and_a_half_done_one(local_model, tmp_path):
    with pytest.raises(CellsegError, match="no result"):
        refine_result(tmp_path, CHAIN)
    out = tmp_path / "a.ome.zarr"
    steps = segment_to(Image.from_array(np.eye(300), "a"), local_model(), out, settings=SETTINGS)
    next(steps)
    steps.close()
    with pytest.raises(CellsegError, match="unfinished"):
        refine_result(tmp_path / "a.ome.zarr.part", CHAIN)


def test_a_full_disk_leaves_the_former_labels(result, monkeypatch):
    refine_result(result, parse_chain("smooth"))
    before = final_labels(result)[:]

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(refine, "create_array", full)
    with pytest.raises(CellsegError, match="disk is full"):
        refine_result(result, CHAIN)
    np.testing.assert_array_equal(final_labels(result)[:], before)
    assert read_own(result)["post"] == "smooth:sigma_px=1.5"
    assert sorted(path.name for path in (result / "labels").iterdir()) == [
        "refined",
        "segmentation",
        "zarr.json",
    ]
