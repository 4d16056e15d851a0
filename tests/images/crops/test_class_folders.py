"""A folder for each class, pictures of any kind in it."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import LeftOut, find_duplicates, read_crops, read_each

GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)
COLOUR = np.stack([GREY, GREY + 1, GREY + 2], -1)


def test_folders_are_classes_and_those_above_samples(tmp_path, save):
    for folder in ("day 1/Ceratium furca", "day 2/Ceratium furca", "day 2/鞭毛虫"):
        save(tmp_path / folder / "1.png", GREY)
    save(tmp_path / "0.png", GREY)
    crops = read_crops(tmp_path)
    below = ("day 1/Ceratium furca", "day 2/Ceratium furca", "day 2/鞭毛虫")
    assert crops.ids.tolist() == ["0", *(f"{folder}/1" for folder in below)]
    assert crops.class_names == ("Ceratium furca", "鞭毛虫")
    assert crops.samples.tolist() == ["", "day 1", "day 2", "day 2"]


def test_kinds_of_pictures(tmp_path, save):
    for name in ("a.png", "b.jpg", "c.tif", "d.JPEG", "e.txt"):
        if name.endswith("txt"):
            (tmp_path / name).touch()
        else:
            save(tmp_path / name, GREY)
    crops = read_crops(tmp_path)
    assert (len(crops), crops.channels) == (4, ("grey",))
    np.testing.assert_array_equal(crops.read(0), GREY[None])
    assert read_crops(tmp_path / "a.png").ids.tolist() == ["a"]


def test_names_that_differ_in_their_suffix_alone(tmp_path, save):
    save(tmp_path / "a.png", GREY)
    save(tmp_path / "a.tif", GREY)
    assert read_crops(tmp_path).ids.tolist() == ["a.png", "a.tif"]


def test_grey_among_colour_is_colour(tmp_path, save):
    save(tmp_path / "a.png", GREY)
    save(tmp_path / "b.png", COLOUR)
    crops = read_crops(tmp_path)
    assert crops.channels == ("red", "green", "blue")
    np.testing.assert_array_equal(crops.read(0), np.stack([GREY] * 3))
    assert read_crops(tmp_path, channels=["blue"]).read(1).shape == (1, 4, 5)


def test_other_numbers_of_channels_are_named(tmp_path, save):
    for name in "abc":
        save(tmp_path / f"{name}.png", COLOUR)
    save(tmp_path / "d.tif", np.zeros((5, 6, 7), np.uint16))
    bad = [one for one in read_each(read_crops(tmp_path)) if isinstance(one, LeftOut)]
    assert [one.id for one in bad] == ["d"]
    assert "5 channels; expected 3" in bad[0].reason


def test_one_damaged_among_thousands_is_skipped_and_named(tmp_path, save):
    save(tmp_path / "A" / "0.png", GREY)
    content = (tmp_path / "A" / "0.png").read_bytes()
    for number in range(1, 2000):
        (tmp_path / "A" / f"{number}.png").write_bytes(content)
    (tmp_path / "A" / "777.png").write_bytes(content[:40])
    (tmp_path / "A" / "778.png").write_bytes(b"")
    bad = [one for one in read_each(read_crops(tmp_path)) if isinstance(one, LeftOut)]
    assert [one.id for one in bad] == ["777", "778"]
    assert all("cannot be read" in one.reason for one in bad)


def test_all_damaged(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(CellsegError, match="none of its images can be read"):
        read_crops(tmp_path)


def test_a_picture_that_would_fill_the_memory(tmp_path, huge_png, save):
    save(tmp_path / "a.png", GREY)
    (tmp_path / "b.png").write_bytes(huge_png)
    _, bad = read_each(read_crops(tmp_path))
    assert isinstance(bad, LeftOut)


class TestReal:
    def test_flowcam_protists(self, data_folder):
        crops = read_crops(data_folder / "flowcam-protists", group="^(.*)_")
        names, counts = np.unique(crops.samples, return_counts=True)
        assert counts.tolist() == [1000, 1000]
        assert all("sample" in name for name in names)
        assert (len(crops), crops.class_names) == (2000, ("Junk", "Missed", "Protist"))
        assert crops.channels == ("red", "green", "blue")
        some = crops.take(np.arange(0, 2000, 10))
        assert all(pixels.shape[0] == 3 for pixels in read_each(some))
        assert find_duplicates(some) == []

    def test_plankton_demo_mixes_grey_and_colour(self, data_folder):
        crops = read_crops(data_folder / "plankton-demo")
        assert (len(crops), len(crops.class_names)) == (105, 6)
        assert all(pixels.shape[0] == 3 for pixels in read_each(crops))
        assert not crops.left_out
