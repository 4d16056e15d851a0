import csv
import io
import json

import numpy as np

from napari_cellseg.images.crops import Crops
from napari_cellseg.report.study.cells.pages import csv_text, write_cell_reports
from napari_cellseg.report.study.cells.plan import CellPlan, CellStudyFile, CellSystem, CellTrial
from napari_cellseg.report.study.cells.results import make_cell_report
from napari_cellseg.report.study.outcome import Outcome, Training
from napari_cellseg.settings import ClassifierSettings
from napari_cellseg.train.cell_tables import write_predictions

NAMES = ("a", "b", "c")
EPOCHS = tuple(
    {
        "epoch": number,
        "best": number == 2,
        "train_loss": 0.5,
        "validation_loss": 0.6,
        "train_accuracy": 0.8,
        "validation_accuracy": 0.7,
    }
    for number in (1, 2)
)
TRAINING = Training(1000, "cpu", "float32", EPOCHS, 2, "done", 5.0, 100.0)


def made(folder, right, *, failed=""):
    """Return the report of a study of made-up systems, each right in such a share of the cells."""
    cells = Crops.from_arrays([np.zeros((1, 2, 2))] * 180, labels=[NAMES[k % 3] for k in range(180)])
    trials = tuple(CellTrial(f"fold-{fold + 1}", 42, tuple(cells.ids[fold::2].tolist())) for fold in range(2))
    systems, outcomes = [], []
    for number, ((name, channels), share) in enumerate(right.items()):
        full = f"{name}-{channels.replace(',', '+')}"
        trees = f"boosted-trees-{channels.replace(',', '+')}" if number == 0 else ""
        systems.append(CellSystem(full, ClassifierSettings(), channels, trees))
        for fold, trial in enumerate(trials):
            outcomes.append(Outcome(full, trial.name, failed if full == failed else "", TRAINING))
            rng = np.random.default_rng(fold)  # as good in the same cells
            truth = np.arange(180) % 3
            label = np.where(rng.uniform(size=180) < share, truth, rng.integers(0, 3, 180))
            shares = np.full((180, 3), 0.05)
            shares[np.arange(180), label] = 0.9
            parts = np.where(np.isin(cells.ids, trial.test), "test", "train").tolist()
            run = folder / full / trial.name / "run"
            run.mkdir(parents=True)
            write_predictions(run / "predictions.csv", cells, parts, shares, NAMES)
            write_predictions(run / "baseline.csv", cells, parts, shares, NAMES)
    study = CellStudyFile(crops="cells", systems=("cells-best",), title="Channels")
    plan = CellPlan(folder / "STUDY.yaml", study, cells, tuple(systems), trials)
    return make_cell_report(folder, plan, outcomes)


def test_channels_are_ranked_with_what_cannot_be_told_apart(tmp_path):
    right = {("net", "Ch4"): 0.9, ("net", "Ch4,Ch5"): 0.9, ("net", "Ch6"): 0.3}
    report = made(tmp_path, right)
    names = [one.name for one in report.ranked]
    assert names[-1] == "net-Ch6"
    assert set(names[:3]) == {"net-Ch4", "net-Ch4+Ch5", "boosted-trees-Ch4"}
    assert report.tested == 180  # both folds together
    said = " ".join(report.verdict())
    assert "cannot be told apart on these 180 cells" in said
    assert "Ch4,Ch5 is better than Ch6" in said or "Ch4 is better than Ch6" in said


def test_the_reports(tmp_path):
    report = made(tmp_path, {("net", "Ch4"): 0.9, ("net", "Ch5"): 0.5}, failed="net-Ch5")
    write_cell_reports(report)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "report.html",
        "study.json",
        "study.csv",
        "study.md",
    }
    page = (tmp_path / "report.html").read_text()
    assert "net-Ch5 got no rank" in page
    assert page.count("<h2>") >= 6
    values = json.loads((tmp_path / "study.json").read_text())
    assert [one["name"] for one in values["systems"]][-1] == "net-Ch5"
    rows = list(csv.DictReader(io.StringIO(csv_text(report))))
    assert float(rows[0]["macro_f1_low"]) <= float(rows[0]["macro_f1"]) <= float(rows[0]["macro_f1_high"])
    assert rows[-1]["rank"] == ""
    assert "macro F1" in (tmp_path / "study.md").read_text()


def test_no_system_got_through(tmp_path):
    report = made(tmp_path, {("net", "Ch4"): 0.9}, failed="net-Ch4")
    write_cell_reports(report)
    assert report.verdict() == ["No system got through the study."]
