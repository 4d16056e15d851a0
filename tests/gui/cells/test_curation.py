"""Labels of people beside predictions: nothing of the former is ever lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import ClassTable
from napari_cellseg.gui.cells.curation import KINDS, Curation, Said
from napari_cellseg.gui.cells.orders import ORDERS, Filter, Known, arranged
from napari_cellseg.gui.cells.store import folder_of, read_decisions, write_decisions
from napari_cellseg.images.crops import Crops, measure_crops

NAMES = ("diatom", "Дино флагеллята", "ciliate")


def crops_of(labels):
    rng = np.random.default_rng(1)
    return Crops.from_arrays([rng.random((1, 8, 6 + k)) for k in range(len(labels))], labels=labels)


@pytest.fixture
def curation():
    return Curation(crops_of(["diatom", "diatom", "ciliate", "", ""]))


def predicted(curation, rows, model="m-1", classes=("ciliate", "diatom"), labels=None):
    probabilities = np.array(rows, float)
    said = labels or [classes[k] for k in probabilities.argmax(axis=1)]
    return ClassTable.of(curation.crops, classes, labels=said, probabilities=probabilities, model=model)


ROWS = [[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.55, 0.45], [0.3, 0.7]]


def kinds(curation):
    return [KINDS[kind] for kind in curation.kinds]


def test_no_cells_and_no_classes():
    empty = Curation(Crops.from_arrays([]))
    assert len(empty) == 0
    assert empty.decisions() == {}
    assert empty.undo().tolist() == empty.redo().tolist() == []
    unlabelled = Curation(crops_of(["", ""]))
    assert unlabelled.classes == ()
    assert kinds(unlabelled) == ["unlabelled"] * 2
    assert arranged(Known(unlabelled), "class").tolist() == [0, 1]


def test_a_prediction_never_changes_what_a_person_said(curation):
    curation.assign([3], "diatom")
    curation.predict(predicted(curation, ROWS))
    assert curation.labels().tolist() == ["diatom", "diatom", "ciliate", "diatom", "diatom"]
    assert kinds(curation) == ["validated"] * 4 + ["predicted"]
    curation.validate([4])
    curation.predict(predicted(curation, [[1, 0]] * 5, model="m-2"))
    assert curation.labels()[4] == "diatom"
    assert curation.known()[str(curation.crops.ids[4])] == "diatom"


def test_unclassified_cells_have_no_class_but_a_suggestion(curation):
    labels = ["diatom", "ciliate", "ciliate", "unclassified", "diatom"]
    curation.predict(predicted(curation, ROWS, labels=labels))
    assert curation.labels()[3] == ""
    assert curation.classes[curation.suggestions()[3]] == "ciliate"
    table = curation.table()
    assert table.labels[3] == "unclassified"
    curation.validate([3])  # there is nothing to agree with
    assert curation.labels()[3] == ""


def test_dubious_labels_are_kept_but_not_learned_from(curation):
    curation.doubt([0, 1])
    assert kinds(curation)[:2] == ["dubious"] * 2
    assert curation.labels()[0] == "diatom"
    assert curation.known()["1"] == ""
    curation.doubt([0, 1])
    assert kinds(curation)[:2] == ["validated"] * 2
    assert curation.decisions() == {}


def test_a_class_may_not_be_called_unclassified(curation):
    with pytest.raises(CellsegError, match="another name"):
        curation.assign([0], "unclassified")


def test_classes_of_a_model_come_behind_those_of_the_files_and_new_ones_get_a_column(curation):
    curation.predict(predicted(curation, ROWS, classes=("alga", "diatom")))
    assert curation.classes == ("ciliate", "diatom", "alga")
    np.testing.assert_allclose(curation.probabilities[1], [0, 0.2, 0.8])
    curation.assign([0], "new")
    assert curation.probabilities.shape == (5, 4)
    assert curation.table().probabilities.shape == (5, 4)


def test_a_table_of_some_cells_leaves_the_others_as_they_were(curation):
    curation.predict(predicted(curation, ROWS))
    sure = {"labels": ["diatom"], "probabilities": np.array([[0.0, 1]]), "model": "m-1"}
    one = ClassTable.of(curation.crops.take([3]), ("ciliate", "diatom"), **sure)
    curation.predict(one)
    np.testing.assert_allclose(curation.probabilities[:, 1], [0.9, 0.2, 0.4, 1, 0.7])


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["assign", "validate", "doubt"]),
        st.lists(st.integers(0, 4), unique=True),
        st.sampled_from(["", *NAMES]),
    ),
    max_size=12,
)


@given(ACTIONS)
def test_everything_can_be_taken_back_and_made_again_and_written_down(tmp_path_factory, actions):
    curation = Curation(crops_of(["diatom", "diatom", "ciliate", "", ""]))
    curation.predict(predicted(curation, ROWS))
    start = curation.labels().tolist(), kinds(curation)
    for verb, cells, name in actions:
        getattr(curation, verb)(cells, *([name] if verb == "assign" else []))
    end = curation.labels().tolist(), kinds(curation)
    steps = 0
    while len(curation.undo()):
        steps += 1
    assert (curation.labels().tolist(), kinds(curation)) == start
    for _ in range(steps):
        curation.redo()
    assert (curation.labels().tolist(), kinds(curation)) == end
    folder = tmp_path_factory.mktemp("kept") / "cells.curation"
    write_decisions(folder, curation.decisions(), curation.classes)
    decisions, classes = read_decisions(folder)
    again = Curation(crops_of(["diatom", "diatom", "ciliate", "", ""]), classes)
    assert again.recall(decisions) == 0
    again.predict(predicted(again, ROWS))
    assert (again.labels().tolist(), kinds(again)) == end


def test_labels_of_cells_that_are_gone_are_counted_and_a_damaged_file_is_named(curation, tmp_path):
    assert curation.recall({"77": Said("diatom"), "1": Said("")}) == 1
    assert curation.labels()[0] == ""
    assert read_decisions(tmp_path) == ({}, ())
    for content in ("{", '{"schema": 99}', '{"schema": 1, "classes": [], "cells": {"1": 5}}', "[]"):
        (tmp_path / "labels.json").write_text(content)
        with pytest.raises(CellsegError, match=r"labels\.json"):
            read_decisions(tmp_path)


def test_the_folder_lies_beside_the_cells(tmp_path):
    assert folder_of(tmp_path / "lake.2024") == tmp_path / "lake.2024.curation"
    assert folder_of(tmp_path / "run.zip") == tmp_path / "run.curation"


def test_doubtful_cells_come_first(curation):
    curation.predict(predicted(curation, ROWS))
    for order in ("doubt (margin)", "doubt (entropy)"):
        assert arranged(Known(curation), order).tolist() == [3, 2, 4, 1, 0]


def test_a_label_that_the_model_contradicts_comes_first_and_folds_count_more(curation):
    curation.predict(predicted(curation, ROWS))
    assert arranged(Known(curation), "suspected label error").tolist() == [1, 2, 0, 3, 4]
    curation.folds = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5], [0.5, 0.5]])
    assert arranged(Known(curation), "suspected label error").tolist()[0] == 0
    assert curation.confusion().tolist() == [[1, 0], [1, 1]]
    wrong = Filter(pair=(1, 0))
    assert arranged(Known(curation), "as in the files", wrong).tolist() == [0]


def test_filters_combine(curation):
    curation.predict(predicted(curation, ROWS))
    label = curation.classes.index("diatom")
    assert arranged(Known(curation), "as in the files", Filter(label, "predicted")).tolist() == [4]
    assert arranged(Known(curation), "as in the files", Filter(sample="x")).tolist() == []


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_shows_every_cell_once_or_says_what_is_missing(curation, order):
    with_all = Curation(curation.crops)
    with_all.predict(predicted(with_all, ROWS))
    known = Known(with_all, measure_crops(with_all.crops), chosen=2)
    assert sorted(arranged(known, order).tolist()) == [0, 1, 2, 3, 4]
    if order not in ("as in the files", "class"):
        with pytest.raises(CellsegError) as caught:
            arranged(Known(curation), order)
        assert caught.value.remedy
