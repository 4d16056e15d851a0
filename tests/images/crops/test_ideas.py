"""Exports of IDEAS: names, channels in order, cells that lack one, samples without people."""

import shutil

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import LeftOut, find_duplicates, read_crops, read_each
from napari_cellseg.images.crops.ideas import NAME
from napari_cellseg.images.simulate.ideas_export import ideas_tiff


def write(folder, name, channel=4, shape=(9, 7), sample="a", level=1):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(ideas_tiff(np.full(shape, level, np.uint16), channel, 1, sample))


@pytest.mark.parametrize(
    ("name", "stem", "number"),
    [
        ("sample 1_12_Ch4.ome.tif", "sample 1_12", "4"),
        ("12_Ch4.ome.tif", "12", "4"),
        ("12_Ch04.tif", "12", "4"),
        ("a_Ch2_12_ch12.OME.TIFF", "a_Ch2_12", "12"),
        ("a_Ch4.ome.tif", None, None),
        ("12_Ch.ome.tif", None, None),
    ],
)
def test_names(name, stem, number):
    match = NAME.fullmatch(name)
    assert (match and match["stem"], match and match["number"]) == (stem, number)


def test_the_whole_export(export):
    crops = read_crops(export.folder)
    whole = export.lacking == ""
    assert (len(crops), crops.channels) == (int(whole.sum()), ("Ch4", "Ch5", "Ch6"))
    assert sorted(crops.labels) == sorted(export.labels[whole])
    assert sorted(crops.samples) == sorted(export.samples[whole])
    assert len(crops.left_out) == 3
    assert {one.reason for one in crops.left_out} <= {f"no Ch{k}" for k in (4, 5, 6)}
    assert "3 of 33 cells lack a channel" in crops.notices[0]
    for pixels in read_each(crops):
        assert pixels.dtype == np.uint16
        assert 69 <= pixels.shape[1] <= 125
        assert 58 <= pixels.shape[2] <= 114


def test_doubles_are_found(export):
    crops = read_crops(export.folder)
    both = sum(
        export.lacking[k] == "" and export.lacking[twin] == ""
        for k, twin in enumerate(export.double_of.tolist())
        if twin >= 0
    )
    groups = find_duplicates(crops)
    assert len(groups) == both > 0
    assert all(len(set(crops.labels[group])) == 1 for group in groups)


def test_nothing_of_the_user_comes_out(export):
    crops = read_crops(export.folder)
    texts = [*crops.ids, *crops.samples, *crops.labels, *crops.channels, *crops.notices]
    assert not any("operator" in text or "Users" in text or "\\" in text for text in texts)


def test_channels_are_in_order_of_their_numbers(tmp_path):
    for number in (12, 2, 1):
        write(tmp_path, f"7_Ch{number:02d}.ome.tif", level=number)
    crops = read_crops(tmp_path)
    assert crops.channels == ("Ch1", "Ch2", "Ch12")
    assert crops.read(0)[:, 0, 0].tolist() == [1, 2, 12]
    turned = read_crops(tmp_path, channels=["ch12", "1"])
    assert (turned.channels, turned.read(0)[:, 0, 0].tolist()) == (("Ch12", "Ch1"), [12, 1])
    with pytest.raises(CellsegError, match="no channel 'Ch3'; expected Ch1, Ch2, Ch12"):
        read_crops(tmp_path, channels=["Ch3"])


def test_padded_and_plain_names_are_one_channel(tmp_path):
    write(tmp_path, "1_Ch4.ome.tif")
    write(tmp_path, "2_Ch04.ome.tif")
    assert (len(read_crops(tmp_path)), read_crops(tmp_path).channels) == (2, ("Ch4",))


def test_cells_are_in_order_of_their_numbers_and_folders_tell_them_apart(tmp_path):
    for folder in ("B", "A"):
        for number in (10, 2):
            write(tmp_path / folder, f"{number}_Ch4.ome.tif")
    write(tmp_path / "B", "3_Ch4.ome.tif")
    crops = read_crops(tmp_path)
    assert crops.ids.tolist() == ["A/2", "A/10", "B/2", "3", "B/10"]
    assert crops.labels.tolist() == ["A", "A", "B", "B", "B"]


def test_a_rare_channel_costs_no_cell(tmp_path):
    for number in range(5):
        write(tmp_path, f"{number}_Ch4.ome.tif")
    write(tmp_path, "3_Ch9.ome.tif")
    crops = read_crops(tmp_path)
    assert (len(crops), crops.channels) == (5, ("Ch4",))
    assert "Ch9" in crops.notices[0]
    assert len(read_crops(tmp_path, channels=["Ch9"])) == 1
    (tmp_path / "3_Ch4.ome.tif").unlink()
    with pytest.raises(CellsegError, match="none of 5 cells has Ch4, Ch9"):
        read_crops(tmp_path, channels=["Ch4", "Ch9"])


def test_samples_from_the_rif_name_else_from_folders(tmp_path):
    write(tmp_path / "day 1" / "Tripos", "1_Ch4.ome.tif", sample="sea & lake")
    write(tmp_path / "day 1" / "Tripos", "2_Ch4.ome.tif", sample="lake")
    (tmp_path / "day 2" / "Tripos").mkdir(parents=True)
    content = ideas_tiff(np.ones((4, 4), np.uint16), 4, 1, "x").replace(b".rif", b".xxx")
    (tmp_path / "day 2" / "Tripos" / "5_Ch4.ome.tif").write_bytes(content)
    assert read_crops(tmp_path).samples.tolist() == ["sea & lake", "lake", "day 2"]
    assert read_crops(tmp_path, group="^([0-9])").samples.tolist() == ["1", "2", "5"]


def test_one_cell_by_one_of_its_files(export, tmp_path):
    first = read_crops(export.folder)
    alone = read_crops(first.paths[0])
    assert len(alone) == 1
    np.testing.assert_array_equal(alone.read(0), first.read(0))


def test_a_damaged_cell_among_others_is_named(export, tmp_path):
    shutil.copytree(export.folder, tmp_path / "copy")
    crops = read_crops(tmp_path / "copy")
    victim = crops.files(4)[1]
    with open(victim, "r+b") as file:
        file.truncate(300)
    bad = [one for one in read_each(crops) if isinstance(one, LeftOut)]
    assert [one.id for one in bad] == [crops.ids[4]]
    assert "cut off" in bad[0].reason


def test_channels_of_different_size(tmp_path):
    write(tmp_path, "1_Ch4.ome.tif")
    write(tmp_path, "1_Ch5.ome.tif", shape=(9, 8))
    with pytest.raises(CellsegError, match="as large as the cell's other channels"):
        read_crops(tmp_path).read(0)
