"""The Classify dock: objects of a field through a model in its own process, thresholds, export."""

import json
import subprocess
import sys
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import ClassTable, read_class_table
from napari_cellseg.gui.cells.curation import Curation
from napari_cellseg.gui.cells.process import Answered, Question, answer_all, from_line, out_of_fold, to_line
from napari_cellseg.gui.cells.set import Cells, Remembered
from napari_cellseg.gui.cells.store import read_predictions
from napari_cellseg.gui.cells.thresholds import cost
from napari_cellseg.gui.cells.training import check_labels
from napari_cellseg.gui.classify import ClassifyDock
from napari_cellseg.gui.gallery import GalleryDock
from napari_cellseg.images.crops import Crops

MAKE_MODEL = """
import sys
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.model import new_model, save_model

spec = ClassifierSpec("cells-small", "linear", ("dim", "bright"), ("grey",), (16, 16), ((0.0, 1000.0),))
save_model(sys.argv[1], spec, new_model(spec).net)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A classifier with random weights."""
    path = tmp_path_factory.mktemp("model") / "cells.safetensors"
    subprocess.run([sys.executable, "-W", "ignore", "-c", MAKE_MODEL, str(path)], check=True)
    return path


def crops_of(labels):
    return Crops.from_arrays([np.full((1, 5, 5), k) for k in range(len(labels))], labels=labels)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [([""] * 3, "0 labelled cells"), (["a"] * 3, "1 classes"), (["a", "a", "b"], "1 classes")],
)
def test_too_little_to_learn_from(labels, reason):
    with pytest.raises(CellsegError, match=reason):
        check_labels(Curation(crops_of(labels)))


def test_what_there_is_to_learn_from():
    said = check_labels(Curation(crops_of(["a", "a", "b", "b", "b", ""])))
    assert said == "5 labelled cells of 2 classes; fewest of a"


def test_a_class_nobody_was_given_costs_nothing_that_can_be_told():
    nothing = cost(np.array([0]), np.array([[0.9, 0.1]]), 1, 0.5)
    assert np.isnan(nothing).all()


def test_thresholds_are_applied_without_another_look_at_the_cells():
    curation = Curation(crops_of(["", "", ""]))
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [np.nan, np.nan]])
    labels = ["a", "a", "unclassified"]
    curation.predict(ClassTable.of(curation.crops, ("a", "b"), labels=labels, probabilities=probabilities))
    curation.limit({"a": 0.7})
    assert curation.labels().tolist() == ["a", "", ""]
    curation.limit({})
    assert curation.labels().tolist() == ["a", "a", ""]


def test_records_survive_their_line():
    record = Answered(3, "out.csv", 1.5, 2)
    assert from_line(to_line(record)) == record
    with pytest.raises(ValueError, match="not a record"):
        from_line('{"event": "strange"}')


def test_what_cannot_be_answered_is_refused_and_the_process_goes_on(tmp_path):
    for number, task in ((1, "measure"), (2, "judge")):
        question = Question(number, task, str(tmp_path / "missing"), str(tmp_path / "out"))
        (tmp_path / f"{number}.json").write_text(json.dumps(asdict(question)))
    told = []
    for record in answer_all(tmp_path):
        told.append(record.number)
        assert "no such file or folder" in record.message
        if len(told) == 2:
            (tmp_path / "stop").touch()
    assert told == [1, 2]


@pytest.mark.parametrize(("labels", "found"), [([0, 1], None), ([0, 0, 1], None), ([0, 0, 1, 1, 2], 3)])
def test_few_labels_are_judged_by_others_or_refused(labels, found):
    figures = np.arange(len(labels), dtype=np.float32)[:, None]
    if found is None:
        with pytest.raises(CellsegError, match="two of two classes at least"):
            out_of_fold(figures, np.array(labels))
    else:
        assert out_of_fold(figures, np.array(labels)).shape == (len(labels), found)


def test_a_model_is_loaded_before_anybody_asks(tmp_path, model):
    folder = tmp_path / "cells"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.full((9, 9), 7, np.uint16))
    questions = [
        Question(1, "prepare", "", "", model=str(tmp_path / "missing")),
        Question(2, "prepare", "", "", model=str(model)),
        Question(3, "classify", str(folder), str(tmp_path / "out.csv"), model=str(model)),
    ]
    for question in questions:
        (tmp_path / f"{question.number}.json").write_text(json.dumps(asdict(question)))
    command = [
        sys.executable,
        "-m",
        "napari_cellseg.gui.cells.process",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = []
        for line in process.stdout:
            told.append(json.loads(line))
            if told[-1].get("number") == 3 and "seconds" in told[-1]:
                (tmp_path / "stop").touch()
    assert "missing" in told[0]["message"]
    assert told[1]["event"] == "answered"
    assert read_class_table(tmp_path / "out.csv").labels.size == 1


def test_objects_are_named_coloured_and_exported(make_napari_viewer_proxy, qtbot, tmp_path, model):
    viewer = make_napari_viewer_proxy()
    image, labels = np.zeros((60, 80), np.uint16), np.zeros((60, 80), np.uint16)
    for number, (row, col) in {3: (10, 20), 8: (40, 60), 9: (40, 20)}.items():
        labels[row - 3 : row + 4, col - 3 : col + 4] = number
        image[row - 3 : row + 4, col - 3 : col + 4] = 100 * number
    tifffile.imwrite(tmp_path / "field.tif", image)
    viewer.open(tmp_path / "field.tif", plugin="napari")
    layer = viewer.add_labels(labels, name="cells")
    gallery, dock = GalleryDock(viewer), ClassifyDock(viewer)
    for name, one in (("Gallery", gallery), ("Classify", dock)):
        viewer.window.add_dock_widget(one, name=name)
    dock.start()
    assert "open some cells first" in dock.message.text()
    dock.source.take_objects()
    qtbot.waitUntil(lambda: dock.cells is not None and dock.source.job is None)
    assert gallery.cells is dock.cells
    assert dock.cells.folder == tmp_path / "field.curation"
    dock.model_row.choose(model)
    assert dock.answers.busy  # torch and the model are being loaded
    assert dock.start_button.isEnabled()
    dock.start()
    qtbot.waitUntil(lambda: not dock.running, timeout=300_000)
    assert "Classified in" in dock.message.text()
    features = layer.features
    assert features["index"].tolist() == [3, 8, 9]
    assert list(features.columns) == ["index", "class", "p_dim", "p_bright", "margin", "status"]
    np.testing.assert_allclose(features["p_bright"] + features["p_dim"], 1, atol=1e-5)
    colors = {
        name: layer.colormap.map(number) for number, name in zip((3, 8, 9), features["class"], strict=True)
    }
    assert all(color[3] == 1 for color in colors.values())
    gallery.grid.choose(0)
    gallery.act("1")
    assert layer.features["status"].tolist() == ["validated", "predicted", "predicted"]
    dock.thresholds.item(0, 1).setText("1")
    dock.thresholds.item(1, 1).setText("1.0")
    assert layer.features["class"].tolist()[1:] == ["unclassified"] * 2
    dock.start()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert layer.features["class"].tolist()[1:] == ["unclassified"] * 2
    again = Cells(dock.cells.crops, dock.cells.folder)  # as after a new start of the viewer
    again.remember(Remembered(predictions=read_predictions(again.folder)))
    assert again.curation.guessed.tolist() == [-1, -1, -1]
    dock.export("csv", tmp_path / "cells.csv")
    qtbot.waitUntil(lambda: not dock.running)
    table = read_class_table(tmp_path / "cells.csv")
    assert table.statuses.tolist() == ["validated", "predicted", "predicted"]
    for one in (gallery, dock):
        one.closed()
    assert "torch" not in sys.modules


def test_a_dock_without_cells_says_what_is_missing(make_napari_viewer_proxy):
    dock = ClassifyDock(make_napari_viewer_proxy())
    assert "no model chosen" in dock.model_row.about.text()
    assert not dock.start_button.isEnabled()
    dock.export("csv", SimpleNamespace(name="x"))
    assert "open some cells first" in dock.message.text()
    dock.closed()
