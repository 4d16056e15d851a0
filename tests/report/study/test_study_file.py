from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.presets import PRESETS
from napari_cellseg.report.study.study_file import read_study_file

GOOD = """\
images: a/*.tif
masks: b/*.png
systems:
  - membrane
"""


def write(folder, text, encoding="utf-8"):
    path = folder / "STUDY.yaml"
    path.write_bytes(text.encode(encoding))
    return path


def complaint(folder, text):
    with pytest.raises(CellsegError) as caught:
        read_study_file(write(folder, text))
    return str(caught.value)


def test_the_least_a_study_file_needs(tmp_path):
    study, _ = read_study_file(write(tmp_path, GOOD))
    assert (study.images, study.masks, study.seeds) == (("a/*.tif",), ("b/*.png",), (42,))
    assert study.systems[0].preset == "membrane"
    assert study.task == "segment"


def test_the_example_in_the_documentation_holds():
    study, _ = read_study_file(Path(__file__).parents[3] / "docs" / "STUDY.yaml")
    assert {system.preset for system in study.systems} <= set(PRESETS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1, column 1: no keys"),
        ("- a\n- b\n", "line 1, column 1: no keys"),
        ("images: [a\nmasks: b\n", "line 2, column 6"),
        ("images: a\n\tmasks: b\n", "line 2, column 1"),
        ("images: a\nmasks: \x07\n", "line 2, column 8"),
        (GOOD + "images: c\n", "line 5, column 1: key 'images' occurs twice"),
        (GOOD + "split: {seed: 1, seed: 2}\n", "line 5, column 18: key 'seed' occurs twice"),
        ("images: *missing\n", "line 1, column 9"),
        (GOOD.replace("masks", "mask"), "line 2, column 1: unknown key 'mask'; expected 'masks'"),
        ("images: a\nsystems: [default]\n", "line 1, column 1: no 'masks'"),
        ("images: a\nmasks: b\nsystems: []\n", "line 3, column 1: systems = []"),
        (GOOD + "minutes: -3\n", "line 5, column 1: minutes = -3"),
        (GOOD + "task: classify\n", "line 5, column 1: task = 'classify'"),
        (GOOD + "split:\n  holdout: 2\n", "line 6, column 3: split.holdout = 2"),
        (GOOD + "split:\n  holdout: 0.2\n  folds: 3\n", "line 5, column 1: give one of holdout, folds"),
        (GOOD + "split: {train: a}\n", "nothing to test on"),
        (GOOD + "split: {test: a}\n", "nothing to train on"),
        (GOOD + "split: {train: a, test: b}\n", "images are given twice"),
        (GOOD + "split: {folds: 2, group: {column: c}}\n", "a pattern or a table"),
        (GOOD + "split: {folds: 2, group: {table: t.csv}}\n", "a table needs a column"),
        (GOOD + "  - membrane\n", "system membrane occurs twice: give each a name"),
        (GOOD + "  - {name: a/b}\n", "line 5, column 6: systems.1.name"),
        (GOOD + "  - {preset: cells, setings: {}}\n", "unknown key 'systems.1.setings'; expected 'settings'"),
        (GOOD + "seeds: [1, 1]\n", "seed 1 occurs twice"),
        (GOOD + "tolerance_px: 2\ntolerance_nm: 2\n", "tolerance_px or tolerance_nm"),
        ("masks: b\nsystems: [default]\n", "no images"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, text, says):
    assert says in complaint(tmp_path, text)


def test_what_is_no_text_or_not_there(tmp_path):
    with pytest.raises(CellsegError, match="no UTF-8 text"):
        read_study_file(write(tmp_path, "title: é\n", "latin-1"))
    with pytest.raises(CellsegError, match="cannot be read"):
        read_study_file(tmp_path / "nowhere.yaml")
    with pytest.raises(CellsegError, match="cannot be read"):
        read_study_file(tmp_path)


def test_aliases_and_merged_keys_are_no_repetition(tmp_path):
    text = GOOD + "  - {name: a, settings: &s {epochs: 2}}\n  - {name: b, settings: {<<: *s, epochs: 3}}\n"
    study, _ = read_study_file(write(tmp_path, text))
    assert [system.settings for system in study.systems] == [{}, {"epochs": 2}, {"epochs": 3}]


def test_a_file_that_holds_itself_ends(tmp_path):
    assert "title" in complaint(tmp_path, "&a\ntitle: *a\n" + GOOD)


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "s.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    said = ""
    try:
        read_study_file(path)
    except CellsegError as error:
        said = str(error)
    assert "\n" not in said
