"""A study as it is run: interrupted, taken up again, with a system that fails, and what it leaves."""

import csv
import json
import os
import shutil
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.model import read_spec
from napari_cellseg.report.metrics import image_scores
from napari_cellseg.report.study.child import note_of
from napari_cellseg.report.study.layers import LAYERS, measure_layers, read_layers
from napari_cellseg.report.study.results import StudyReport
from napari_cellseg.report.study.run import StudyDone, StudyStarted, StudyStep, TrialDone, run_study

from .conftest import write_fields

SYSTEMS = "  - {name: again, preset: default}\n  - {name: broken, preset: default}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study closed in its first training, closed again when that was over, then taken to its end.

    ``again`` is found finished, with what came of ``default``; ``broken`` finds a damaged file.
    """
    folder = write_fields(tmp_path_factory.mktemp("study") / "fields")
    study = folder / "STUDY.yaml"
    study.write_text("redundancy: true\n" + study.read_text() + SYSTEMS)
    out = folder.parent / "out"
    _close_at(run_study(folder / "STUDY.yaml", out), "loss")
    interrupted = {path.name for path in (*out.iterdir(), *(out / "default/seed-42").iterdir())}
    _close_at(run_study(folder / "STUDY.yaml", out, resume=True), "segmenting")
    trained = (out / "default/seed-42/model.safetensors").stat().st_mtime_ns
    (out / "broken/seed-42").mkdir(parents=True)
    (out / "broken/seed-42/training.json").write_text("{")
    records = []
    for record in run_study(folder / "STUDY.yaml", out, resume=True):
        records.append(record)
        if isinstance(record, TrialDone) and record.system == "default":
            shutil.copytree(out / "default", out / "again")
            outcome = out / "again/seed-42/outcome.json"
            outcome.write_text(outcome.read_text().replace('"system": "default"', '"system": "again"'))
    return SimpleNamespace(
        folder=folder,
        out=out,
        interrupted=interrupted,
        trained=trained,
        records=records,
        report=records[-1].report,
    )


def _close_at(steps, text):
    with closing(steps):
        for record in steps:
            if isinstance(record, StudyStep) and text in record.text:
                return


def test_an_interrupted_study_leaves_a_training_to_go_on_with(made):
    assert {"plan.json", "run"} <= made.interrupted
    assert not {"outcome.json", "child.json", "running.json"} & made.interrupted
    events = (made.out / "default/seed-42/run/events.jsonl").read_text()
    assert '"reason": "cancelled"' in events
    assert '"reason": "done"' in events


def test_what_is_finished_is_not_done_again(made):
    done = {one.system: one.status for one in made.records if isinstance(one, TrialDone)}
    assert done == {"default": "done", "again": "skipped", "broken": "failed"}
    assert not any("training" in one.text for one in made.records if isinstance(one, StudyStep))
    assert (made.out / "default/seed-42/model.safetensors").stat().st_mtime_ns == made.trained


def test_the_records_tell_a_course(made):
    assert made.records[0] == StudyStarted(3, 1, ())
    assert isinstance(made.records[-1], StudyDone)
    shares = [one.share for one in made.records if isinstance(one, StudyStep)]
    assert min(np.diff(shares)) > -1e-9
    assert shares[-1] == 1


def test_what_was_trained_twice_alike_cannot_be_told_apart(made):
    first, second, failed = made.report.systems
    assert {first.name, second.name} == {"default", "again"}
    assert first.pooled == second.pooled
    assert first.versus[second.name]["difference"] == 0
    assert first.versus[second.name]["better"] is None
    assert (failed.name, failed.pooled) == ("broken", None)
    assert "training.json: cannot be read" in failed.failures[0]


def test_everything_is_measured(made):
    system = next(one for one in made.report.systems if one.name == "default")
    training = system.outcomes[0].training
    assert system.parameters > 1000
    assert system.train_seconds > 0
    assert 100 < system.train_peak_mb < 10_000
    assert 100 < system.segment_peak_mb < 10_000
    assert set(system.outcomes[0].segment_seconds) == set(made.report.test_images)
    assert [epoch["epoch"] for epoch in training.epochs] == [1, 2]
    for key in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
        assert training.epochs[-1][key] > 0


def test_the_scores_are_those_of_the_predictions_left(made):
    report = made.report
    for name in report.test_images:
        predicted = tifffile.imread(report.labels_file("default", name))
        expected = image_scores(predicted, report.sample(name).truth(), report.classes, thin=())
        stored = json.loads((made.out / "default/seed-42/outcome.json").read_text())["scores"][name]
        assert stored["mean_f1"] == expected["mean_f1"]
        assert stored["classes"]["cell"]["auroc"] is not None


def test_no_training_saw_a_tested_image(made):
    data = json.loads((made.out / "default/seed-42/run/data.json").read_text())
    learned = {entry["name"] for entry in data["images"]}
    assert learned.isdisjoint(made.report.test_images)
    assert len(learned) + len(made.report.test_images) == 5
    assert read_spec(made.out / "default/seed-42/model.safetensors").classes.targets == ("cell",)


def test_the_report_survives_the_disk(made):
    read = StudyReport.read(made.out)
    assert json.dumps(read.to_json()) == json.dumps(made.report.to_json())
    assert read.sample("donor0_0").truth().shape == (64, 72)


def test_csv_and_markdown_rank(made):
    with (made.out / "study.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert rows[0]["cannot_be_told_apart_from"] == rows[1]["system"]
    assert float(rows[0]["mean_f1_low"]) <= float(rows[0]["mean_f1"]) <= float(rows[0]["mean_f1_high"])
    assert rows[2]["status"] == "failed"
    text = (made.out / "study.md").read_text()
    assert "cannot be told apart on these 2 images" in text
    assert "broken got no rank" in text


def test_the_page_shows_every_system(made):
    html = (made.out / "report.html").read_text()
    assert html.count("<img") == 1 + 2 + 2 * 3
    for word in ("Ranking", "1. ", "2. ", "broken got no rank", "calibration error", "cannot be told apart"):
        assert word in html


def test_what_layers_keep_is_measured_once(made):
    layers = read_layers(made.out / "default/seed-42")
    assert len(layers) > 5
    assert all(0 <= layer.entropy_bits <= 6 for layer in layers)  # of 64 windows
    assert read_layers(made.out / "broken/seed-42") == []
    before = (made.out / "default/seed-42" / LAYERS).stat().st_mtime_ns
    measure_layers(made.out / "default/seed-42", [])
    assert (made.out / "default/seed-42" / LAYERS).stat().st_mtime_ns == before


def test_a_folder_with_a_study_is_kept_unless_told_otherwise(made):
    study, before = made.folder / "STUDY.yaml", (made.out / "report.html").read_bytes()
    with pytest.raises(CellsegError, match="holds a study; choose another folder, or give --resume"):
        next(run_study(study, made.out))
    text = study.read_text()
    try:
        study.write_text(text.replace("epochs: 2", "epochs: 3"))
        with pytest.raises(CellsegError, match="'default' was trained with another epochs"):
            next(run_study(study, made.out, resume=True))
        study.write_text(text.replace("seed: 42", "seed: 1"))
        with pytest.raises(CellsegError, match="the study there has other trials"):
            next(run_study(study, made.out, resume=True))
        study.write_text(text + "  - {name: more, preset: default}\n")
        with closing(run_study(study, made.out, resume=True)) as steps:
            assert next(steps).systems == 4
    finally:
        study.write_text(text)
    assert (made.out / "report.html").read_bytes() == before


def test_overwriting_leaves_other_files(made, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(made.out, out)
    (out / "thesis.txt").write_text("mine")
    with closing(run_study(made.folder / "STUDY.yaml", out, overwrite=True)) as steps:
        assert isinstance(next(steps), StudyStarted)
    assert sorted(path.name for path in out.iterdir()) == ["plan.json", "thesis.txt"]


def test_a_second_study_in_the_same_folder_is_refused(fields, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "running.json").write_text(json.dumps(note_of()))
    with pytest.raises(CellsegError, match=f"a study is running there .process {os.getpid()}"):
        next(run_study(fields / "STUDY.yaml", out))
    (out / "running.json").write_text(json.dumps(note_of() | {"started": 0}))  # killed long ago
    (out / "default").mkdir()
    (out / "default/thesis.txt").write_text("mine")
    with pytest.raises(CellsegError, match="default: exists already"):
        next(run_study(fields / "STUDY.yaml", out))
    assert (out / "default/thesis.txt").read_text() == "mine"


def test_a_page_of_something_else_is_not_replaced(fields, tmp_path):
    (tmp_path / "report.html").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(CellsegError, match="exists already"):
            next(run_study(fields / "STUDY.yaml", tmp_path, overwrite=overwrite))
    assert (tmp_path / "report.html").read_text() == "mine"


def test_the_command_reports_and_says_who_failed(made, capsys):
    broken = made.out / "broken/seed-42/training.json"
    assert broken.read_text() == "{"
    assert main(["study", str(made.folder / "STUDY.yaml"), "--out", str(made.out), "--resume"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == str(made.out / "report.html")
    assert "comes first" in out
    assert "failed: broken; the others are ranked" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["study"], "no STUDY.yaml"),
        (["study", "s.yaml"], "no --out"),
        (["study", "s.yaml", "--out", "o"], "s.yaml: cannot be read"),
        (["study", "s.yaml", "--out", "o", "--resume", "--overwrite"], "both --resume and --overwrite"),
        (["study", "s.yaml", "--view", "o"], "one to --view"),
    ],
)
def test_a_wrong_request_is_one_line_and_code_2(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
