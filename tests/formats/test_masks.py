import io
import random
from pathlib import Path

import mrcfile
import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.masks import mask_to_labels, pair_masks, read_mask, suggest_polarity
from napari_cellseg.images.micrographs import find_images


def drawn(text: str, values: dict[str, int]) -> np.ndarray:
    return np.array([[values[char] for char in line] for line in text.split()])


LINE = """
......
.####.
......
......
"""


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


@pytest.mark.parametrize(("polarity", "values"), [("dark", {"#": 0, ".": 255}), ("bright", {"#": 1, ".": 0})])
def test_two_valued_masks(polarity, values):
    plane = drawn(LINE, values)
    suggestion = suggest_polarity(plane)
    assert suggestion.polarity == polarity
    assert suggestion.share == pytest.approx(4 / 24)
    np.testing.assert_array_equal(mask_to_labels(plane, polarity), drawn(LINE, {"#": 2, ".": 1}))


def test_the_other_polarity_is_obeyed():
    plane = drawn(LINE, {"#": 0, ".": 255})
    np.testing.assert_array_equal(mask_to_labels(plane, "bright"), drawn(LINE, {"#": 1, ".": 2}))


@pytest.mark.parametrize(
    ("value", "polarity", "label"),
    [
        (0, "bright", 1),
        (255, "bright", 2),
        (0, "dark", 2),
        (255, "dark", 1),
        (0, "labels", 1),
        (3, "labels", 4),
    ],
)
def test_one_valued_mask(value, polarity, label):
    labels = mask_to_labels(np.full((2, 3), value, np.uint8), polarity)
    assert labels.dtype == np.uint8
    assert (labels == label).all()


def test_one_pixel():
    assert suggest_polarity(np.array([[1]])).polarity == "bright"


def test_label_numbers():
    plane = np.array([[0, 1, 2], [0, 7, 0]], np.int32)
    assert suggest_polarity(plane).polarity == "labels"
    np.testing.assert_array_equal(mask_to_labels(plane, "labels"), plane + 1)
    many = mask_to_labels(np.array([[0, 300]]), "labels")
    assert many.dtype == np.uint16
    np.testing.assert_array_equal(mask_to_labels(plane.astype(float), "labels"), plane + 1)


@pytest.mark.parametrize("plane", [[[-1, 0, 4]], [[0, 1.5, 2]], [[0, 1, 70_000]]])
def test_no_label_numbers(plane):
    with pytest.raises(CellsegError, match="label numbers"):
        mask_to_labels(np.array(plane), "labels")


def test_two_sides_of_several_labels_is_an_error():
    with pytest.raises(CellsegError, match=r"0, 1, 2 .*--polarity labels"):
        mask_to_labels(np.array([[0, 1, 2]]), "bright")


def test_nan_is_an_error():
    with pytest.raises(CellsegError, match="NaN"):
        mask_to_labels(np.array([[0, np.nan]]), "bright")


def test_many_numbers_look_like_single_cells():
    plane = np.zeros((100, 100), np.uint8)
    plane[::5, ::5] = np.arange(400).reshape(20, 20) % 251
    suggestion = suggest_polarity(plane)
    assert suggestion.polarity == "instances"
    assert "250 numbers" in suggestion.reason
    plane[plane > 4] = 0
    assert suggest_polarity(plane).polarity == "labels"


def test_numbers_of_cells_become_rings():
    labels = mask_to_labels(np.repeat([[0, 0, 5, 5, 5, 9]], 3, axis=0), "instances")
    assert labels[1].tolist() == [1, 1, 3, 4, 3, 4]


def test_jpg_noise_is_cut_in_the_middle():
    truth = np.zeros((200, 300), np.uint8)
    truth[60:90, 40:200] = 255
    buffer = io.BytesIO()
    PIL.Image.fromarray(truth).save(buffer, "JPEG", quality=60)
    noisy = np.asarray(PIL.Image.open(buffer))
    assert len(np.unique(noisy)) > 4
    assert suggest_polarity(noisy).polarity == "bright"
    assert (mask_to_labels(noisy, "bright") == np.where(truth > 0, 2, 1)).mean() > 0.999


def test_probabilities_are_cut_in_the_middle():
    plane = np.array([[0.0, 0.1, 0.2, 0.9, 0.05]])
    assert suggest_polarity(plane).polarity == "bright"
    assert mask_to_labels(plane, "bright").tolist() == [[1, 1, 1, 2, 1]]


class TestReadMask:
    def test_tiff_mrc_png(self, tmp_path):
        plane = drawn(LINE, {"#": 1, ".": 0}).astype(np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", plane)
        mrcfile.write(tmp_path / "a.mrc", plane.astype(np.int8))
        PIL.Image.fromarray(plane).save(tmp_path / "a.png")
        PIL.Image.fromarray(plane.astype(bool)).save(tmp_path / "b.png")
        for name in ("a.tif", "a.mrc", "a.png", "b.png"):
            np.testing.assert_array_equal(read_mask(tmp_path / name), plane)

    def test_palette_gives_indices(self, tmp_path):
        plane = drawn(LINE, {"#": 2, ".": 1}).astype(np.uint8)
        picture = PIL.Image.fromarray(plane).convert("P")
        picture.putpalette([0, 0, 0, 9, 200, 30, 250, 0, 0])
        picture.putdata(plane.ravel().tolist())
        picture.save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), plane)

    def test_grey_rgb_is_folded(self, tmp_path):
        plane = drawn(LINE, {"#": 0, ".": 255}).astype(np.uint8)
        PIL.Image.fromarray(np.stack([plane] * 3, -1)).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), plane)

    def test_colour_is_an_error(self, tmp_path):
        PIL.Image.new("RGB", (4, 3), (255, 0, 0)).save(tmp_path / "a.png")
        with pytest.raises(CellsegError, match=r"a\.png: a mask in colour"):
            read_mask(tmp_path / "a.png")

    def test_missing(self, tmp_path):
        with pytest.raises(CellsegError, match="no such file"):
            read_mask(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["a.tif"], ["a_mask.png"]),
        (["00.png", "01.png"], ["label/00.png", "label/01.png"]),
        (["Image_01L.jpg", "Image_01R.jpg"], ["Image_01L_1stHO.png", "Image_01R_1stHO.png"]),
        (["mic_1.mrc", "mic_10.mrc"], ["mic_1_mask.png", "mic_10_mask.png"]),
        (["mic_1_raw.mrc", "mic_2_raw.mrc"], ["mic_1_mask.png", "mic_2_mask.png"]),
        (["00_image.png", "01_image.png"], ["00.png", "01.png"]),
        (["a.ome.zarr", "b.ome.tif"], ["a-seg.tif", "b seg.tif"]),
        (["mic.tif", "mic_1.tif"], ["mic_mask.tif", "mic_1_mask.tif"]),
    ],
)
def test_pairs(images, masks):
    expected = list(zip(paths(*images), paths(*masks), strict=True))
    assert pair_masks(paths(*images), paths(*masks)) == expected
    assert pair_masks(paths(*images), paths(*masks)[::-1]) == expected


@pytest.mark.parametrize(
    ("images", "masks", "said"),
    [
        (
            ["mic_1.mrc"],
            ["mic_10_mask.png"],
            "1 masks without an image: mic_10_mask.png.*without a mask: mic_1.mrc",
        ),
        (["a.tif", "b.tif"], ["a_mask.png"], "1 images without a mask: b.tif"),
        (["a.tif"], ["a_mask.png", "c.png"], "1 masks without an image: c.png"),
        (["a.tif"], ["a_1st.png", "a_2nd.png"], r"several masks: a.tif \(a_1st.png, a_2nd.png\)"),
        (["x/a.tif", "y/a.tif"], ["a_mask.png"], "fit several images: a_mask.png"),
        (["mic_1_raw.mrc"], ["mic_2_mask.png"], "without an image"),
        ([], ["a.png"], "without an image"),
    ],
)
def test_what_does_not_pair_is_listed(images, masks, said):
    with pytest.raises(CellsegError, match=said):
        pair_masks(paths(*images), paths(*masks))


def test_long_lists_are_cut():
    with pytest.raises(CellsegError, match=r"30 images without a mask.* and 20 more"):
        pair_masks([Path(f"a_{number}.tif") for number in range(30)], [])


def test_nothing_pairs_with_nothing():
    assert pair_masks([], []) == []


WORDS = st.lists(st.sampled_from(["mic", "a", "1", "10", "01L", "x2"]), min_size=1, max_size=3).map("_".join)


@given(st.lists(WORDS, unique=True, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_pairing_does_not_depend_on_order(names, order: random.Random):
    images = [Path(f"{name}.tif") for name in names]
    masks = [Path(f"{name}_mask.png") for name in names]
    shuffled_images, shuffled_masks = order.sample(images, len(images)), order.sample(masks, len(masks))
    assert dict(pair_masks(shuffled_images, shuffled_masks)) == dict(zip(images, masks, strict=True))


def test_real_masks(data_folder):
    retina = pair_masks(
        find_images(data_folder / "chasedb1" / "*.jpg"), find_images(data_folder / "chasedb1" / "*_1stHO.png")
    )
    assert len(retina) == 20
    assert all(mask.name == f"{image.stem}_1stHO.png" for image, mask in retina)
    assert suggest_polarity(read_mask(retina[0][1])).polarity == "bright"
    membrane = data_folder / "isbi2012-em" / "train"
    assert len(pair_masks(find_images(membrane / "image"), find_images(membrane / "label"))) == 30
    suggestion = suggest_polarity(read_mask(membrane / "label" / "00.png"))
    assert suggestion.polarity == "dark"
    assert suggestion.share == pytest.approx(0.22, abs=0.02)
    discs = next((data_folder / "cryoem-bgal-empiar10017" / "masks").glob("*.jpg"))
    assert suggest_polarity(read_mask(discs)).polarity == "bright"
