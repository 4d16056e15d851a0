"""Cells sorted into folders; nothing is ever replaced."""

import numpy as np
import PIL.Image
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_folders import write_class_folders
from napari_cellseg.formats.class_kinds import CLASS_WRITERS
from napari_cellseg.formats.class_table import ClassTable
from napari_cellseg.images.crops import Crops, read_crops
from napari_cellseg.images.simulate.ideas_export import ideas_tiff


@pytest.fixture
def pictures(tmp_path):
    for number, folder in enumerate(("x", "y")):
        (tmp_path / "in" / folder).mkdir(parents=True)
        PIL.Image.fromarray(np.full((3, 4), number, np.uint8)).save(tmp_path / "in" / folder / "1.png")
    return read_crops(tmp_path / "in")


@pytest.mark.parametrize("link", [True, False])
def test_files_keep_their_bytes(tmp_path, pictures, link):
    table = ClassTable.of(pictures, ("Ceratium furca", "藻類"), labels=["藻類", "unclassified"])
    assert write_class_folders(tmp_path / "out", table, pictures, link=link) == ()
    back = read_crops(tmp_path / "out")
    assert back.labels.tolist() == ["unclassified", "藻類"]
    assert (tmp_path / "out" / "藻類" / "x_1.png").read_bytes() == (tmp_path / "in/x/1.png").read_bytes()
    assert ((tmp_path / "in/x/1.png").stat().st_nlink == 2) == link


def test_nothing_is_replaced(tmp_path, pictures):
    table = ClassTable.of(pictures, ("a",), labels=["a", "a"])
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "y_1.png").write_text("mine")
    with pytest.raises(CellsegError, match="exists already"):
        write_class_folders(tmp_path / "out", table, pictures)
    assert [path.name for path in (tmp_path / "out" / "a").iterdir()] == ["y_1.png"]
    assert (tmp_path / "out" / "a" / "y_1.png").read_text() == "mine"


def test_names_no_folder_may_have(tmp_path, pictures):
    table = ClassTable.of(pictures, ("../up", "a/b"), labels=["../up", "a/b"])
    write_class_folders(tmp_path / "out", table, pictures)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_up", "a_b"]
    twins = ClassTable.of(pictures, ("a/b", "a:b"), labels=["a/b", "a:b"])
    with pytest.raises(CellsegError, match="would be in one folder"):
        write_class_folders(tmp_path / "more", twins, pictures)


def test_all_channels_of_a_cell_go_along(tmp_path):
    (tmp_path / "in").mkdir()
    for number in (4, 5):
        content = ideas_tiff(np.full((5, 4), number, np.uint16), number, 1, "s")
        (tmp_path / "in" / f"s_1_Ch{number}.ome.tif").write_bytes(content)
    crops = read_crops(tmp_path / "in")
    write_class_folders(tmp_path / "out", ClassTable.of(crops, ("a",), labels=["a"]), crops)
    back = read_crops(tmp_path / "out")
    assert (back.channels, back.labels.tolist()) == (("Ch4", "Ch5"), ["a"])
    np.testing.assert_array_equal(back.read(0), crops.read(0))


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 5), (2, 4, 5)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_parts_of_larger_files_become_pictures(tmp_path, shape, dtype):
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    crops = Crops.from_arrays([pixels])
    write_class_folders(tmp_path, ClassTable.of(crops, ("a",), labels=["a"]), crops)
    back = read_crops(tmp_path)
    assert back.ids.tolist() == ["1"]
    np.testing.assert_array_equal(back.read(0), pixels)


def test_a_file_that_is_gone_is_named(tmp_path, pictures):
    (tmp_path / "in" / "x" / "1.png").unlink()
    left_out = write_class_folders(
        tmp_path / "out", ClassTable.of(pictures, ("a",), labels=["a", "a"]), pictures
    )
    assert [one.id for one in left_out] == ["x/1"]
    assert len(read_crops(tmp_path / "out")) == 1


@pytest.mark.parametrize("kind", CLASS_WRITERS)
def test_every_writer_writes_and_refuses_to_replace(tmp_path, kind):
    crops = Crops.from_arrays([np.zeros((1, 4, 4), np.uint8)])
    table = ClassTable.of(crops, ("a",), labels=["a"], probabilities=np.ones((1, 1)))
    table = ClassTable(**{**vars(table), "ids": np.array(["D20220519T124533_IFCB134_00001"])})
    crops = Crops(**{**vars(crops), "ids": table.ids})
    path = tmp_path / f"out{CLASS_WRITERS[kind].suffix}"
    assert CLASS_WRITERS[kind].write(path, table, crops) == ()
    assert path.exists()
    with pytest.raises(CellsegError, match="exists already"):
        CLASS_WRITERS[kind].write(path, table, crops)
