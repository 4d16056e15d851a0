"""`compress` without a process of its own, of a network trained for a moment."""

import json

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.train import compress


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """m.safetensors, its run and what it was trained on."""
    folder = tmp_path_factory.mktemp("compress")
    rng = np.random.default_rng(0)
    for name in "abcd":
        truth = np.zeros((64, 80), np.uint8)
        truth[8:28, 10:30] = truth[36:56, 44:70] = 255
        picture = rng.normal(100, 5, truth.shape) + truth / 4
        tifffile.imwrite(folder / f"{name}.tif", picture.astype(np.float32))
        tifffile.imwrite(folder / f"{name}_mask.tif", truth)
    options = "--architecture unet-light --depth 2 --width 16 --window-px 32 --batch 2 --steps 8 --epochs 3"
    files = ["--images", str(folder / "[a-d].tif"), "--masks", str(folder / "*_mask*")]
    model = folder / "m.safetensors"
    assert main(["train", str(model), *files, *options.split(), "--device", "cpu"]) == 0
    return model


def test_prune_then_8_bits(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compress, "CALIBRATION_WINDOWS", 4)
    thin, both = tmp_path / "thin.safetensors", tmp_path / "both.safetensors"
    arguments = ["--prune", "0.5", "--epochs", "2", "--out", str(thin), "--keep-anyway"]
    assert main(["compress", str(trained), *arguments]) == 0
    said = capsys.readouterr()
    before, after = (line.split() for line in said.out.splitlines()[1:3])
    assert [before[0], after[0]] == ["before", "after"]
    assert float(after[1]) <= float(before[1])
    assert "times as fast; the score" in said.out
    assert said.out.splitlines()[-1] == str(thin)
    assert "epoch 2 of 2" in said.err
    assert main(["compress", str(thin), "--int8", "--out", str(both), "--max-loss", "1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["kept"]
    assert figures["loss"] == pytest.approx(figures["before"]["score"] - figures["after"]["score"], abs=1e-4)
    assert main(["info", str(both)]) == 0


def test_refused_with_the_figures_printed(trained, tmp_path, capsys, monkeypatch):
    scores = iter([0.9, 0.8])
    monkeypatch.setattr(compress._HeldOut, "score", lambda self, forward: next(scores))
    arguments = ["--prune", "0.5", "--epochs", "1", "--out", str(tmp_path / "m.safetensors")]
    images = [str(trained.parent / "[a-d].tif")]
    arguments += ["--images", *images, "--masks", str(trained.parent / "*_mask*"), "--minutes", "0.001"]
    assert main(["compress", str(trained), *arguments]) == 2
    said = capsys.readouterr()
    assert said.out.splitlines()[2].split()[-1] == "0.8000"
    assert "the score falls by 0.1000" in said.err
    assert "--keep-anyway" in said.err
    assert not [path for path in tmp_path.iterdir() if path.name != ".cellseg-cache"]
