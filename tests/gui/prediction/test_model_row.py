import pytest

from napari_cellseg.gui.prediction.model_row import ModelRow, describe
from napari_cellseg.nets.model import read_spec


@pytest.fixture
def row(qtbot):
    made = ModelRow()
    qtbot.addWidget(made)
    return made


def test_without_a_model_it_says_so(row):
    assert "no model yet" in row.about.text()
    assert row.path is None
    assert row.paths() == []


def test_a_foreign_file_is_refused_in_a_line(row, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    row.choose(tmp_path / "x.safetensors")
    assert "x.safetensors" in row.about.text()
    assert row.spec is None


def test_a_new_model_is_chosen_by_itself(qtbot, row, project, model_file):
    row.set_project(project)
    assert row.models.currentText() == "bars"
    other = model_file.with_name("newer.safetensors")
    other.write_bytes(model_file.read_bytes())
    qtbot.waitUntil(lambda: row.models.currentText() == "newer", timeout=60_000)


def test_models_that_find_the_same_can_be_used_together(row, project, model_file, tmp_path):
    row.set_project(project)
    assert row.together.isHidden()
    other = tmp_path / "other.safetensors"
    other.write_bytes(model_file.read_bytes())
    row.choose(other)
    assert "1 more that finds the same" in row.together.text()
    assert row.paths() == [other]
    row.together.setChecked(True)
    assert row.paths() == [other, model_file]


def test_a_model_is_described(model_file):
    text = describe(read_spec(model_file))
    for part in ("finds bar, edge", "own pixel size", "trained on 1 image: bar_1", "score 0.900"):
        assert part in text
