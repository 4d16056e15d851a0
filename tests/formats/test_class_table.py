"""What cells were named, as CSV, both ways."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import (
    STATUSES,
    UNCLASSIFIED,
    ClassTable,
    read_class_table,
    write_class_table,
    write_left_out,
    write_measurements,
)
from napari_cellseg.images.crops import Crops, LeftOut, measure_crops, measured_names

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
    lambda name: name not in ("", UNCLASSIFIED) and name == name.strip()
)


@st.composite
def tables(draw):
    classes = tuple(draw(st.lists(NAMES, max_size=4, unique=True)))
    count = draw(st.integers(0, 5))
    texts = st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6))
    shares = st.one_of(st.just(np.nan), st.floats(0, 1, width=32))
    return ClassTable(
        classes,
        ids=np.array([f"cell {k}" for k in range(count)], np.str_),
        paths=np.array([(draw(texts) or ["x"])[0] for _ in range(count)], np.str_),
        samples=np.array([(draw(texts) or ["x"])[0] for _ in range(count)], np.str_),
        labels=np.array([draw(st.sampled_from([*classes, UNCLASSIFIED])) for _ in range(count)], np.str_),
        statuses=np.array([draw(st.sampled_from(STATUSES)) for _ in range(count)], np.str_),
        probabilities=np.array([[draw(shares) for _ in classes] for _ in range(count)], float).reshape(
            count, len(classes)
        ),
        model=draw(NAMES) if count else "",
    )


@given(tables())
def test_a_round_trip_changes_nothing(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("table") / "cells.csv"
    write_class_table(path, table)
    back = read_class_table(path)
    assert (back.classes, back.model) == (table.classes, table.model)
    for key in ("ids", "paths", "samples", "labels", "statuses"):
        assert getattr(back, key).tolist() == getattr(table, key).tolist()
    np.testing.assert_array_equal(back.probabilities.astype("f4"), table.probabilities.astype("f4"))


def test_columns_and_their_order(tmp_path):
    crops = Crops.from_arrays([np.zeros((2, 2))], samples=["s"])
    table = ClassTable.of(crops, ("b", "a"), labels=["a"], probabilities=np.array([[0.25, 0.75]]), model="m")
    write_class_table(tmp_path / "cells.csv", table)
    head, row = csv.reader((tmp_path / "cells.csv").read_text().splitlines())
    assert head == ["path", "id", "sample", "label", "confidence", "p_b", "p_a", "status", "model"]
    assert row == ["", "1", "s", "a", "0.75", "0.25", "0.75", "predicted", "m"]
    with pytest.raises(CellsegError, match="exists already"):
        write_class_table(tmp_path / "cells.csv", table)
    write_class_table(tmp_path / "cells.csv", table, overwrite=True)


def test_the_table_of_the_command_line_has_no_status(tmp_path):
    (tmp_path / "cells.csv").write_text("path,id,sample,label,confidence,p_x y,model\na,1,s,x y,.5,.5,m\n")
    table = read_class_table(tmp_path / "cells.csv")
    assert (table.classes, table.statuses.tolist(), table.model) == (("x y",), ["predicted"], "m")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'path'"),
        ("path,id,sample,label,p_a\na,1,s,a,much\n", "column p_a"),
        ("path,id,sample,label,p_a\na,1,s,b,.5\n", "label 'b'; expected a or unclassified"),
        ("path,id,sample,label,p_a,status\na,1,s,a,.5,sure\n", "status 'sure'"),
    ],
)
def test_refused(tmp_path, text, said):
    (tmp_path / "cells.csv").write_text(text)
    with pytest.raises(CellsegError, match=said):
        read_class_table(tmp_path / "cells.csv")


def test_columns_that_do_not_fit():
    crops = Crops.from_arrays([np.zeros((2, 2))] * 2)
    with pytest.raises(CellsegError, match="1 labels for 2 cells"):
        ClassTable.of(crops, ("a",), labels=["a"])
    with pytest.raises(CellsegError, match="probabilities of shape"):
        ClassTable.of(crops, ("a",), labels=["a", "a"], probabilities=np.ones((2, 3)))


def test_measurements_in_pixels_and_in_micrometres(tmp_path):
    disc = 100.0 * (np.hypot(*np.mgrid[-9:10, -9:10]) < 6)
    crops = Crops.from_arrays([disc, np.zeros((2, 3, 3))], labels=["ü", ""])
    measured = measure_crops(crops)
    write_measurements(tmp_path / "px.csv", crops, measured)
    write_measurements(tmp_path / "um.csv", crops, measured, pixel_nm=500)
    px, um = (
        list(csv.DictReader((tmp_path / name).read_text(encoding="utf-8").splitlines()))
        for name in ("px.csv", "um.csv")
    )
    assert set(measured_names(("grey",))) < set(px[0])
    assert float(um[0]["area_um2"]) == pytest.approx(float(px[0]["area_px2"]) / 4)
    assert float(um[0]["height_um"]) == 9.5
    assert "area_px2" not in um[0]
    assert um[0]["eccentricity"] == px[0]["eccentricity"]
    assert (um[0]["label"], um[1]["area_um2"]) == ("ü", "")


def test_left_outs(tmp_path):
    write_left_out(tmp_path / "out.csv", [LeftOut("1", "a.tif", "no Ch4")])
    assert (tmp_path / "out.csv").read_text().splitlines() == ["path,id,reason", "a.tif,1,no Ch4"]
