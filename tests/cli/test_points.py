"""Points on the command line: prepared for training, found, scored."""

import json

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.cli.app import OK, SOME_FAILED, WRONG_REQUEST
from napari_cellseg.errors import CellsegError
from napari_cellseg.images.point_labels import point_labels
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.train.files import prepare_files
from napari_cellseg.train.run import read_annotations

TRUE = np.array([[60, 30 + k * 48.125] for k in range(7)])


@pytest.fixture
def micrographs(tmp_path):
    """Two images, what a network said of them, and tables of points."""
    for name in ("m1", "m2"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((120, 400), np.uint8))
        said = (point_labels(TRUE, (120, 400), 4) == 2).astype(np.float32)
        (tmp_path / "said").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "said" / f"{name}.tif", said)
        rows = "".join(f"{col},{row}\n" for row, col in TRUE)
        (tmp_path / f"{name}_troponin.csv").write_text("X,Y\n" + rows)
    return tmp_path


def test_tables_of_points_are_what_a_network_learns_from(micrographs):
    run = micrographs / "run"
    settings = settings_from("troponin", {"point_radius_nm": 5.0})
    images, tables = [str(micrographs / "*.tif")], [str(micrographs / "*_troponin.csv")]
    said = prepare_files(run, images, tables, polarity="points", settings=settings)
    assert said[0] == "2 images with points"
    first, _ = read_annotations(run)
    assert first.classes.targets == ("point",)
    np.testing.assert_array_equal(first.labels, point_labels(TRUE, (120, 400), 5.0))


def test_masks_are_no_points(micrographs):
    images = [str(micrographs / "m1.tif")]
    with pytest.raises(CellsegError, match="no text"):
        prepare_files(
            micrographs / "run", images, images, polarity="points", settings=settings_from("troponin")
        )


def test_found_points_are_scored(micrographs, capsys):
    out = micrographs / "out"
    assert main(["points", str(micrographs / "said"), "--out", str(out), "--pixel-nm", "0.8"]) == OK
    found, true = str(out / "*_points.csv"), str(micrographs / "*_troponin.csv")
    more = ["--kind", "points", "--tolerance-nm", "4", "--pixel-nm", "0.8", "--out", str(out / "s.json")]
    assert main(["evaluate", found, true, *more]) == OK
    assert "14 of 14 points found" in capsys.readouterr().out
    assert json.loads((out / "s.json").read_text())["pooled"]["f1"] == 1


def test_filaments_may_be_missing_for_one(micrographs):
    (micrographs / "m1_filaments.csv").write_text("filament,X,Y\n1,10,60\n1,390,60\n")
    request = ["points", str(micrographs / "said"), "--out", str(micrographs / "out"), "--pixel-nm", "0.8"]
    assert main([*request, "--filaments", str(micrographs / "m1_filaments.csv")]) == SOME_FAILED


def test_a_tolerance_has_to_be_given(micrographs, capsys):
    table = str(micrographs / "m1_troponin.csv")
    request = ["evaluate", table, table, "--kind", "points", "--out", str(micrographs / "s.json")]
    assert main(request) == WRONG_REQUEST
    assert "points without a tolerance" in capsys.readouterr().err


def test_filters_are_learned_and_used(tmp_path):
    from napari_cellseg.images.simulate import (
        SimulateSettings,
        simulate_micrograph,
        write_micrograph,
        write_truth,
    )

    small = SimulateSettings(shape=(700, 720), pixel_nm=0.5, filaments=(6, 6), carbon=0, lumps=(0, 0))
    for seed in (1, 2):
        made = simulate_micrograph(seed, settings=small)
        write_micrograph(tmp_path / f"m{seed}.mrc", made)
        write_truth(tmp_path, made, stem=f"m{seed}")
    learned, lines = str(tmp_path / "troponin.npz"), str(tmp_path / "*_filaments.csv")
    request = ["learn-points", learned, "--images", str(tmp_path / "m*.mrc"), "--filaments", lines]
    assert main([*request, "--points", str(tmp_path / "*_troponin.csv")]) == OK
    out = tmp_path / "found"
    found = ["points", str(tmp_path / "*.mrc"), "--filters", learned, "--out", str(out)]
    assert main([*found, "--filaments", lines]) == OK
    assert {path.name for path in out.iterdir()} == {"m1_points.csv", "m2_points.csv", "summary.csv"}
    assert main([*found, "--overwrite"]) == WRONG_REQUEST  # filters need filaments
