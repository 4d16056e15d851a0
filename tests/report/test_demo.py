"""The demo in miniature: tiny micrographs, a network that is hardly trained."""

import pytest

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import read_image
from napari_cellseg.images.project import Project
from napari_cellseg.images.simulate import SimulateSettings
from napari_cellseg.report.demo import PARTS, DemoDone, DemoSettings, DemoStep, run_demo
from napari_cellseg.settings import TrainSettings

TINY = DemoSettings(
    micrographs=SimulateSettings(shape=(256, 288), pixel_nm=1.0),
    training=TrainSettings(
        pixel_nm=1.0,
        epochs=1,
        steps=2,
        batch=2,
        window_px=32,
        depth=3,
        width=4,
        pretrained=False,
        device="cpu",
        split="window",
    ),
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return list(run_demo(tmp_path_factory.mktemp("demo") / "out", settings=TINY))


def test_progress_grows_to_the_result(records):
    *steps, done = records
    assert isinstance(done, DemoDone)
    assert all(isinstance(step, DemoStep) for step in steps)
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1


def test_files_of_both_kinds_a_project_and_results_are_left(records):
    out = records[-1].report.parent
    assert sorted(path.name for path in out.iterdir()) == sorted(PARTS)
    for file in ("micrographs/mic_001.tif", "micrographs/mic_002.mrc", "unseen/mic_003.mrc"):
        image = read_image(out / file)
        assert image.shape == (256, 288)
        assert image.pixel_nm == pytest.approx(1.0, rel=1e-3)
    project = Project.open(out / "demo.cellseg")
    assert len(project.annotations()) == 2
    assert len(project.models()) == 1
    for name in ("mic_001", "mic_002", "mic_003"):
        assert (out / f"result/{name}.ome.zarr").is_dir()
        assert (out / f"result/{name}_labels.tif").is_file()
    written = {path.name for path in (out / "filaments").iterdir() if "_filament" not in path.name}
    ends = ("_autopick.star", ".csv", ".svg")
    each = {f"mic_00{number}{end}" for number in (1, 2, 3) for end in ends}
    assert written == {"summary.csv", "autopick.star"} | each
    assert isinstance(records[-1].troponin, str)  # so little was learned that there is nothing to look along


def test_the_page_tells_all(records):
    done = records[-1]
    html = done.report.read_text()
    assert html.count("<img") == 4 + 2 + 2 + 1
    assert f"{done.scores['classes']['filament']['recall']:.3f}" in html
    for word in ("Prediction", "Strokes", "from scratch", "What to do next", "pixel_nm", "IoU", "real"):
        assert word.lower() in html.lower()


def test_an_earlier_demo_is_kept_unless_told_otherwise(records, tmp_path, capsys):
    out = records[-1].report.parent
    before = records[-1].report.read_text()
    assert main(["demo", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert records[-1].report.read_text() == before


def test_other_files_survive_overwriting(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "report.html").write_text("old")
    steps = run_demo(tmp_path, settings=TINY, overwrite=True)
    next(steps)
    steps.close()
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / "report.html").exists()


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(CellsegError, match="is a file"):
        next(run_demo(tmp_path / "out", settings=TINY))


def test_view_without_napari_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo", str(tmp_path / "out"), "--view"]) == 2
    assert "pip install 'napari-cellseg[all]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
