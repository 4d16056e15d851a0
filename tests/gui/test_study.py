import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_cellseg.gui.hooks import get_reader, read_layers
from napari_cellseg.gui.study import StudyDock, main, show_cell_study, show_study
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.model import new_model, save_model
from napari_cellseg.report.metrics import image_scores
from napari_cellseg.report.study.outcome import Outcome, write_json
from napari_cellseg.report.study.results import StudyReport, SystemResult, rank_systems
from napari_cellseg.report.study.samples import Sample
from napari_cellseg.report.study.trial import predicted_files

CLASSES = Classes.of("bar")


@pytest.fixture
def study(tmp_path, images):
    """A study of two systems on two images: one is right, the other sees the bar two rows lower."""
    folder, samples, outcomes = tmp_path / "study", [], {"right": {}, "low": {}}
    for path in images:
        mask = np.zeros((64, 80), np.uint8)
        mask[24:40] = 255
        tifffile.imwrite(tmp_path / f"{path.stem}_mask.tif", mask)
        truth = np.where(mask, 2, 1).astype(np.uint8)
        samples.append(
            Sample(
                path.stem,
                str(path),
                str(tmp_path / f"{path.stem}_mask.tif"),
                "bright",
                (0, 1, 2),
                (0, 3840, 1280),
                0.5,
            )
        )
        for system, shift in (("right", 0), ("low", 2)):
            predicted = np.roll(truth, shift, axis=0)
            file, _ = predicted_files(folder / system / "seed-42", path)
            file.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(file, predicted)
            outcomes[system][path.stem] = image_scores(predicted, truth, CLASSES, thin=())
    systems = rank_systems(
        [
            SystemResult(name, {}, (Outcome(name, "seed-42", scores=found),))
            for name, found in outcomes.items()
        ]
    )
    tested = {"seed-42": tuple(sample.name for sample in samples)}
    StudyReport(folder, "bars", "STUDY.yaml", CLASSES, tuple(samples), tested, systems).write()
    return folder


def names(viewer):
    return [layer.name for layer in viewer.layers]


def shown(viewer):
    return [layer.name for layer in viewer.layers if layer.visible]


@pytest.mark.parametrize("what", ["", "study.json"])
def test_the_reader_opens_a_study(make_napari_viewer_proxy, study, what):
    viewer = make_napari_viewer_proxy()
    path = str(study / what)
    assert get_reader(path) is read_layers
    for data, keywords, kind in read_layers(path):
        getattr(viewer, f"add_{kind}")(data, **keywords)
    assert names(viewer) == [
        "bar_1",
        "bar_1 truth",
        "bar_1 low prediction",
        "bar_1 low errors",
        "bar_1 right prediction",
        "bar_1 right errors",
    ]
    assert shown(viewer) == ["bar_1", "bar_1 right errors"]
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.scale, 0.5)
        assert str(layer.units[0]) == "nanometer"
    errors = np.asarray(viewer.layers["bar_1 low errors"].data)
    assert np.unique(errors[:24]).tolist() == [0]
    assert np.unique(errors[24:26]).tolist() == [2]  # missed
    assert np.unique(errors[26:40]).tolist() == [1]  # right
    assert np.unique(errors[40:42]).tolist() == [3]  # added
    assert np.unique(np.asarray(viewer.layers["bar_1 right errors"].data)).tolist() == [0, 1]
    assert list(viewer.layers["bar_1 low errors"].features["error"])[:3] == ["right", "missed", "added"]


def test_the_dock_chooses_image_systems_and_what_is_shown(make_napari_viewer_proxy, study):
    viewer = make_napari_viewer_proxy()
    dock = show_study(viewer, study)
    assert "right comes first" in dock.verdict.text()
    assert shown(viewer) == ["bar_1", "bar_1 right errors"]
    dock.systems.item(1).setCheckState(Qt.CheckState.Checked)
    assert shown(viewer) == ["bar_1", "bar_1 low errors", "bar_1 right errors"]
    dock.shown.setCurrentText("predictions")
    dock.update_shown()
    assert shown(viewer) == ["bar_1", "bar_1 low prediction", "bar_1 right prediction"]
    assert not viewer.layers["bar_1 low prediction"].editable
    mine = viewer.add_labels(
        np.zeros((64, 80), np.uint8), name="mine", metadata=dict(dock.layers()[2].metadata)
    )
    dock.open_image("bar_2")
    assert mine.name in names(viewer)
    assert len(viewer.layers) == 7
    assert shown(viewer) == ["mine", "bar_2", "bar_2 low prediction", "bar_2 right prediction"]
    assert dock.image.currentText() == "bar_2"


def test_what_is_no_study_is_said_in_the_dock(make_napari_viewer_proxy, tmp_path):
    viewer = make_napari_viewer_proxy()
    dock = StudyDock(viewer)
    dock.open(tmp_path)
    assert "no such file" in dock.message.text()
    (tmp_path / "study.json").write_text("{}")
    dock.open(tmp_path)
    assert "cannot be understood" in dock.message.text()
    assert not viewer.layers


def test_a_prediction_that_is_gone_is_said_in_the_dock(make_napari_viewer_proxy, study):
    (study / "low/seed-42/predictions/bar_2_labels.tif").unlink()
    viewer = make_napari_viewer_proxy()
    dock = show_study(viewer, study)
    dock.open_image("bar_2")
    assert "bar_2_labels.tif: no such file" in dock.message.text()
    assert shown(viewer)[0] == "bar_1"


def test_the_program_says_when_there_is_no_study(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "study.json: no such file" in capsys.readouterr().err


@pytest.fixture
def cell_study(tmp_path):
    """A finished study of two systems, one without a network, on six cells."""
    cells = tmp_path / "cells"
    for name in ("one", "two"):
        (cells / name).mkdir(parents=True)
        for number in range(3):
            tifffile.imwrite(cells / name / f"{number}.tif", np.full((8, 8), 20 * number, np.uint8))
    spec = ClassifierSpec("cells-small", "linear", ("one", "two"), ("Ch1",), (16, 16), ((0.0, 255.0),))
    run = tmp_path / "study" / "ours" / "seed-42" / "run"
    save_model(run / "best.safetensors", spec, new_model(spec).net)
    systems = [
        {"name": "trees", "settings": {}, "scores": {"macro_f1": 0.9}},
        {"name": "ours", "settings": {"preset": "cells-best"}, "scores": {"macro_f1": 0.8}},
    ]
    report = {"task": "classify", "trials": ["seed-42"], "systems": systems, "verdict": ["trees comes first"]}
    write_json(tmp_path / "study" / "study.json", report)
    write_json(tmp_path / "study" / "plan.json", {"crops": [str(cells), "", ""]})
    return tmp_path / "study"


def test_a_study_of_cells_opens_in_gallery_and_classify(make_napari_viewer_proxy, qtbot, cell_study):
    viewer = make_napari_viewer_proxy()
    show_cell_study(viewer, cell_study)
    docks = viewer.window.dock_widgets
    qtbot.waitUntil(lambda: docks["Gallery"].cells is not None and docks["Classify"].cells is not None)
    assert len(docks["Gallery"].cells.crops) == 6
    assert docks["Classify"].model_row.path == cell_study / "ours" / "seed-42" / "run" / "best.safetensors"
    assert docks["Classify"].start_button.isEnabled()


def test_a_study_of_cells_that_is_none(cell_study, capsys):
    write_json(cell_study / "study.json", {"task": "classify"})
    assert main([str(cell_study)]) == 2
    assert "cannot be understood" in capsys.readouterr().err
