"""A CSV of paths: columns in any order, paths relative to it."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import read_crops

GREY = np.full((4, 5), 7, np.uint8)


@pytest.fixture
def folder(tmp_path, save):
    for name in ("x/1.png", "y/1.png", "y/2.png"):
        save(tmp_path / name, GREY)
    return tmp_path


def write(folder, text, encoding="utf-8"):
    (folder / "cells.csv").write_text(text, encoding=encoding)
    return folder / "cells.csv"


def test_columns_in_any_order_and_any_case(folder):
    table = write(folder, "Group,LABEL,Path\nA,Ceratium furca,y/2.png\nB,ü,x/1.png\n", "utf-8-sig")
    crops = read_crops(table)
    assert crops.ids.tolist() == ["2", "1"]
    assert crops.labels.tolist() == ["Ceratium furca", "ü"]
    assert crops.samples.tolist() == ["A", "B"]
    assert crops.read(0).shape == (1, 4, 5)


def test_semicolons_quotes_and_backslashes(folder):
    crops = read_crops(write(folder, 'path;class\n"x\\1.png";"a;b"\ny/1.png;\n'))
    assert (crops.ids.tolist(), crops.labels.tolist()) == (["x/1", "y/1"], ["a;b", ""])


def test_group_is_a_column_or_a_pattern(folder):
    table = write(folder, "path,station\nx/1.png,north\ny/2.png,south\n")
    assert read_crops(table).samples.tolist() == ["", ""]
    assert read_crops(table, group="station").samples.tolist() == ["north", "south"]
    assert read_crops(table, group="([0-9])").samples.tolist() == ["1", "2"]


def test_missing_and_twice_are_left_out(folder):
    crops = read_crops(write(folder, "path,id\nx/1.png,a\nx/9.png,b\nx/1.png,c\n"))
    assert crops.ids.tolist() == ["a"]
    assert [(one.id, one.reason) for one in crops.left_out] == [("9", "no such file"), ("1", "listed twice")]
    assert crops.notices == ("2 crops of the table are missing or listed twice",)
    with pytest.raises(CellsegError, match="'a' occurs twice"):
        read_crops(write(folder, "path,id\nx/1.png,a\ny/1.png,a\n"))


def test_a_file_of_any_channel_stands_for_a_cell_of_an_export(export, tmp_path):
    whole = read_crops(export.folder)
    named = [whole.files(k)[k % 3] for k in (5, 2, 9)]
    named += [whole.files(2)[2], whole.left_out[0].path]
    rows = [f"{path},kind {k}" for k, path in enumerate(named)]
    (tmp_path / "cells.csv").write_text("\n".join(["path,label", *rows]))
    crops = read_crops(tmp_path / "cells.csv")
    assert crops.ids.tolist() == whole.ids[[5, 2, 9]].tolist()
    assert crops.labels.tolist() == ["kind 0", "kind 1", "kind 2"]
    assert crops.samples.tolist() == whole.samples[[5, 2, 9]].tolist()
    np.testing.assert_array_equal(crops.read(1), whole.read(2))
    assert [one.id for one in crops.left_out] == [whole.left_out[0].id]
    assert read_crops(tmp_path / "cells.csv", channels=["Ch6"]).channels == ("Ch6",)


def test_the_table_of_classify_is_one(folder):
    text = (
        "path,id,sample,label,confidence,p_a,model\nx/1.png,7,s,unclassified,.4,.4,m\ny/1.png,8,s,a,.9,.9,m\n"
    )
    crops = read_crops(write(folder, text))
    assert (crops.ids.tolist(), crops.labels.tolist()) == (["7", "8"], ["", "a"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column of paths"),
        ("name,label\na,b\n", "no column of paths"),
        ("path,label\n", "no rows"),
        ("path,label\nx/1.png\n", "row 2 has 1 cells"),
        ("path,path\nx/1.png,a\n", "a column comes twice"),
        ("path\nnowhere.png\n", "none of its 1 files is there"),
    ],
)
def test_refused(folder, text, said):
    with pytest.raises(CellsegError, match=said):
        read_crops(write(folder, text))


def test_another_encoding(folder):
    with pytest.raises(CellsegError, match="not in UTF-8"):
        read_crops(write(folder, "path,label\nx/1.png,é\n", "latin-1"))
