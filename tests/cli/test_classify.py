"""`train --crops`, `classify` and `evaluate --kind classes`, from a folder of cells to scores."""

import csv
import json

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main

TINY = ["--epochs", "2", "--members", "1", "--height-px", "16", "--width-px", "16", "--no-baseline"]
TINY += ["--device", "cpu", "--precision", "float32", "--batch", "16"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Two classes of 24 cells, one of them with a name that is no ASCII and has a space."""
    folder, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    for name, level in (("bright", 900), ("größe 2", 200)):
        (folder / name).mkdir()
        for number in range(24):
            plane = rng.normal(500, 20, (18, 14))
            plane[5:12, 4:10] = level
            tifffile.imwrite(folder / name / f"{name[0]}{number}.tif", plane.astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def trained(cells, tmp_path_factory):
    model = tmp_path_factory.mktemp("model") / "m.safetensors"
    assert main(["train", str(model), "--crops", str(cells), *TINY]) == 0
    return model


def test_from_cells_to_scores(trained, cells, tmp_path, capsys):
    assert (trained.parent / "m.run" / "report.html").is_file()
    table = tmp_path / "t.csv"
    assert main(["classify", str(trained), str(cells), "--out", str(table)]) == 0
    assert str(table) in capsys.readouterr().out
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    assert {"p_bright", "p_größe 2"} < set(rows[0])
    assert main(["classify", str(trained), str(cells), "--out", str(table)]) == 2
    assert "exists already" in capsys.readouterr().err
    scores = tmp_path / "s.json"
    assert main(["evaluate", str(table), str(cells), "--kind", "classes", "--out", str(scores)]) == 0
    assert json.loads(scores.read_text())["cells"] == 48
    assert "größe 2" in capsys.readouterr().out


def test_damaged_cells_are_named_and_the_code_is_1(trained, cells, tmp_path, capsys):
    import shutil

    shutil.copytree(cells, tmp_path / "cells")
    (tmp_path / "cells" / "bright" / "b3.tif").write_bytes(b"II*\0")
    assert main(["classify", str(trained), str(tmp_path / "cells"), "--out", str(tmp_path / "t.csv")]) == 1
    said = capsys.readouterr().err
    assert "b3" in said
    assert "1 cells left out" in said
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 48


def test_info_and_lists_know_classifiers(trained, capsys):
    assert main(["info", str(trained), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[0]
    assert (found["task"], found["classes"]) == ("classify", ["bright", "größe 2"])
    for kind, name in (("heads", "IV"), ("backbones", "resnet50"), ("presets", "phyto-vgg16-III")):
        assert main(["list", kind]) == 0
        assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--crops", "CELLS", "--window-px", "64"], "--window-px for a classifier"),
        (["--crops", "CELLS", "--images", "a.tif"], "--images beside --crops"),
        (["--images", "a.tif", "--masks", "b.tif", "--head", "I"], "--head without --crops"),
        (["--crops", "CELLS", "--preset", "vessels"], "a preset that segments"),
        (["--images", "a.tif", "--masks", "b.tif", "--preset", "cells-best"], "--crops"),
        (["--crops", "CELLS", "--epochs", "0"], "--epochs = 0"),
        (["--crops", "CELLS/none"], "no such file or folder"),
    ],
)
def test_flags_of_the_other_kind_are_refused(arguments, line, cells, tmp_path, capsys):
    given = [argument.replace("CELLS", str(cells)) for argument in arguments]
    assert main(["train", str(tmp_path / "m.safetensors"), *given]) == 2
    assert line in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_models_of_the_other_task_are_refused(trained, folder, cells, tmp_path, capsys):
    assert main(["segment", str(trained), str(folder / "a.tif"), "--out", str(tmp_path / "o")]) == 2
    assert "napari-cellseg classify" in capsys.readouterr().err
    out = str(tmp_path / "t.csv")
    assert main(["classify", str(folder / "one.safetensors"), str(cells), "--out", out]) == 2
    assert "napari-cellseg segment" in capsys.readouterr().err
