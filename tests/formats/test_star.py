import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.star import numbers, read_tables, star_text, table_with


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "data_\n\nloop_\n_a #1\n_b #2\n"])
def test_nothing_is_no_mistake(text):
    tables = read_tables(text, "a.star")
    assert all(column == [] for table in tables.values() for column in table.values())


@pytest.mark.parametrize(
    "text",
    ["hello", "data_\nloop_\n_a\n_b\n1 2\n3\n", "data_x\n_a 1\n\ndata_x\n_a 2\n", "data_\nloop_\n_a\n'b\n"],
)
def test_damage_is_one_line_with_the_name(text):
    with pytest.raises(CellsegError, match=r"a\.star"):
        read_tables(text, "a.star")


def test_names_stay_what_they_are():
    text = "data_\n\nloop_\n_n #1\n_m #2\n01 1e5\ndata_2.mrc data_\n'a b.mrc' [3\no'brien <NA>\n"
    assert read_tables(text, "a")[""] == {
        "n": ["01", "data_2.mrc", "a b.mrc", "o'brien"],
        "m": ["1e5", "data_", "[3", "<NA>"],
    }


def test_blocks_and_pairs_are_tables():
    text = "# version 30001\n\ndata_optics # c\n\n_a 1.0\n\n"
    text += "# version 30001\n\ndata_p\n\nloop_ \n_b #1 \n   7 \n \n"
    assert read_tables(text, "a") == {"optics": {"a": ["1.0"]}, "p": {"b": ["7"]}}


def test_each_loop_of_a_block_is_a_table():
    text = "data_\n_a 1\nloop_\n_b\n_c\n1 2\n3 4\nloop_\n_d\n5\n"
    tables = read_tables(text, "a")
    assert tables == {"": {"a": ["1"]}, " 2": {"b": ["1", "3"], "c": ["2", "4"]}, " 3": {"d": ["5"]}}


def test_a_table_is_found_by_its_columns():
    tables = {"a": {"x": ["1"]}, "b": {"x": ["2"], "y": ["3"]}}
    assert table_with(tables, ["y", "x"], "f")["x"] == ["2"]
    with pytest.raises(CellsegError, match="no table with _z; it has _x, _x, _y"):
        table_with(tables, ["z"], "f")


def test_missing_values_are_said_or_given():
    table = {"x": ["1", "<NA>", "inf"]}
    with pytest.raises(CellsegError, match="_x of row 2"):
        numbers(table, "x", "f")
    with pytest.raises(CellsegError, match="_x of row 3"):
        numbers(table, "x", "f", missing=np.nan)
    np.testing.assert_array_equal(numbers({"x": ["1", "<NA>"]}, "x", "f", missing=-1), [1, -1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a b", "a\tb", ""])
def test_what_relion_misreads_is_not_written(value):
    with pytest.raises(CellsegError, match="_x"):
        star_text("", {"x": [value]})
