import json

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.model import new_model, save_model
from napari_cellseg.report.classes import read_class_report, write_class_report
from napari_cellseg.report.evaluate_classes import evaluate_classes
from napari_cellseg.train.cell_tables import write_predictions
from napari_cellseg.train.records import Epoch, to_line

NAMES = ("a < b", "Größe", "c")


def predictions(path, parts, seed=0, right=0.9):
    rng = np.random.default_rng(seed)
    truth = np.arange(len(parts)) % 3
    label = np.where(rng.uniform(size=len(parts)) < right, truth, rng.integers(0, 3, len(parts)))
    shares = np.full((len(parts), 3), 0.05)
    shares[np.arange(len(parts)), label] = 0.9
    crops = Crops.from_arrays([np.zeros((1, 2, 2))] * len(parts), labels=[NAMES[k] for k in truth])
    write_predictions(path, crops, parts, shares, NAMES)


@pytest.fixture
def run(tmp_path):
    made = {"cells": {"calibration": 15}}
    spec = ClassifierSpec(
        "cells-small",
        "linear",
        NAMES,
        ("Ch4",),
        (16, 16),
        ((0.0, 1.0),),
        temperature=1.2,
        provenance=made,
    )
    save_model(tmp_path / "best.safetensors", spec, new_model(spec).net)
    parts = ["train"] * 60 + ["validation"] * 30 + ["calibration"] * 15 + ["test"] * 45
    predictions(tmp_path / "predictions.csv", parts)
    predictions(tmp_path / "baseline.csv", parts, seed=1, right=0.5)
    epochs = [
        Epoch(number, 2, 0.5, 0.6, 0.7, dict.fromkeys(NAMES, 0.7), 1e-3, 9.0, number == 1, 0.8, 0.75)
        for number in (1, 2)
    ]
    (tmp_path / "events.jsonl").write_text("\n".join([*map(to_line, epochs), '{"event": "epo']))
    return tmp_path


def test_the_page_tells_what_counts(run):
    page = write_class_report(run).read_text()
    for said in (
        "looked at once",
        "a &lt; b",
        "Größe",
        "The network is better than the trees",
        "temperature 1.20",
        "150 labelled cells",
    ):
        assert said in page, said
    assert page.count("data:image/png") == 5  # curves, three matrices, calibration
    scores = json.loads((run / "scores.json").read_text())
    assert scores["scored"] == "test"
    assert scores["scores"]["network"]["test"]["cells"] == 45
    assert scores["network_less_trees"]["better"] == "first"


def test_without_a_test_part_that_is_said(run):
    predictions(run / "predictions.csv", ["train"] * 60 + ["validation"] * 30)
    (run / "baseline.csv").unlink()
    report = read_class_report(run)
    assert report.scored == "validation"
    assert report.versus is None
    assert "No cells were kept for a test" in write_class_report(run).read_text()


def test_a_training_that_did_not_end(run):
    (run / "predictions.csv").unlink()
    with pytest.raises(CellsegError, match="did not end"):
        write_class_report(run)


def table(path, rows, names=("a", "b")):
    head = ",".join(
        ("path", "id", "sample", "label", "confidence", *(f"p_{name}" for name in names), "model")
    )
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_table_is_scored_against_labels(tmp_path):
    predicted = table(
        tmp_path / "t.csv",
        ["x/1.tif,1,s,a,0.9,0.9,0.1,m", "x/2.tif,2,s,unclassified,0.6,0.4,0.6,m", "x/9.tif,9,s,a,1,1,0,m"],
    )
    (tmp_path / "truth.csv").write_text("id,label\n1,a\n2,a\n")
    scores = evaluate_classes(predicted, tmp_path / "truth.csv")
    assert scores["cells"] == 2
    assert scores["accuracy"] == 0.5
    assert scores["labelled"] == {"share": 0.5, "accuracy": 1.0, "unclassified": 1}
    assert scores["notices"] == ["1 cells without a known class are not scored."]
    (tmp_path / "truth.csv").write_text("path,label\nx/1.tif,a\nx/2.tif,new\n")
    scores = evaluate_classes(predicted, tmp_path / "truth.csv")
    assert "does not know new" in scores["notices"][1]


def test_tables_that_do_not_fit(tmp_path):
    predicted = table(tmp_path / "t.csv", ["x/1.tif,1,s,a,0.9,0.9,0.1,m"])
    (tmp_path / "truth.csv").write_text("id,label\n7,a\n")
    with pytest.raises(CellsegError, match="no cell of"):
        evaluate_classes(predicted, tmp_path / "truth.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CellsegError, match="a column p_CLASS"):
        evaluate_classes(tmp_path / "other.csv", tmp_path / "truth.csv")
    with pytest.raises(CellsegError, match="no column of labels"):
        evaluate_classes(predicted, tmp_path / "other.csv")
    with pytest.raises(CellsegError, match="cannot be read"):
        evaluate_classes(tmp_path / "none.csv", tmp_path / "truth.csv")
