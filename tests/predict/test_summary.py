import csv

from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.predict.summary import Summary

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=9)
ROWS = st.dictionaries(st.sampled_from(["message", "pixels", "share_a", "share_b"]), CELLS).flatmap(
    lambda more: st.builds(
        lambda path, status: {"path": path, "status": status} | more,
        st.sampled_from(["a.tif", "b.tif", "c.tif"]),
        st.sampled_from(["done", "failed", "skipped"]),
    )
)


def table(path):
    """The rows as somebody else reads them, without what is empty."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def expected(rows):
    """The last row of each file, but one that was skipped does not replace one that was done."""
    kept = {}
    for row in rows:
        if row["status"] != "skipped" or kept.get(row["path"], {}).get("status") != "done":
            kept[row["path"]] = row
    return [{name: value for name, value in row.items() if value} for row in kept.values()]


@given(rows=st.lists(ROWS, max_size=6), restart=st.integers(0, 6))
def test_it_is_complete_after_each_row(rows, restart, tmp_path_factory):
    path = tmp_path_factory.mktemp("summary") / "summary.csv"
    summary = Summary(path)
    summary.write()
    for number, row in enumerate(rows, start=1):
        if number == restart:  # a later run reads what is there
            summary = Summary(path)
        summary.add(row)
        assert table(path) == expected(rows[:number])


def test_a_new_file_is_put_at_the_end(tmp_path):
    summary = Summary(tmp_path / "summary.csv")
    summary.add({"path": "a.tif", "status": "done", "pixels": "9"})
    before = summary.path.stat().st_ino
    summary.add({"path": "b.tif", "status": "failed", "message": "it is, empty"})
    assert summary.path.stat().st_ino == before
    assert [row["path"] for row in table(summary.path)] == ["a.tif", "b.tif"]


def test_a_row_that_was_not_finished_is_dropped(tmp_path):
    path = tmp_path / "summary.csv"
    Summary(path).add({"path": "a.tif", "status": "done"})
    whole = path.read_text()
    path.write_text(whole + "b.tif,do")
    summary = Summary(path)
    summary.write()
    assert path.read_text() == whole
    assert list(summary.rows) == ["a.tif"]


def test_a_table_that_somebody_removed_is_there_again(tmp_path):
    summary = Summary(tmp_path / "summary.csv")
    summary.add({"path": "a.tif", "status": "done"})
    summary.path.unlink()
    summary.add({"path": "b.tif", "status": "done"})
    assert [row["path"] for row in table(summary.path)] == ["a.tif", "b.tif"]


def test_columns_that_only_one_row_has(tmp_path):
    summary = Summary(tmp_path / "summary.csv", columns=("path", "status"))
    summary.add({"path": "a.tif", "status": "failed"})
    summary.add({"path": "b.tif", "status": "done", "filaments": "7"})
    summary.update("a", {"filaments": "8", "length": "2"})
    assert table(summary.path) == [
        {"path": "a.tif", "status": "failed", "filaments": "8", "length": "2"},
        {"path": "b.tif", "status": "done", "filaments": "7"},
    ]
