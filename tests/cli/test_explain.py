"""`explain` without a process of its own."""

import pytest

from napari_cellseg.cli import main
from napari_cellseg.report.explanation import read_explanation


def asked(folder, out, *more: str) -> int:
    return main(["explain", str(folder / "one.safetensors"), str(folder / "a.tif"), "--out", str(out), *more])


def test_a_tiff_and_a_picture_are_written(folder, tmp_path, capsys):
    out = tmp_path / "why.tif"
    more = ["--at", "40,50.5", "--class", "bar", "--method", "grad-cam", "--pixel-nm", "0.5"]
    assert asked(folder, out, *more) == 0
    first, *paths = capsys.readouterr().out.splitlines()
    assert first.startswith("bar: log-odds ")
    assert paths == [str(out), str(tmp_path / "why.png")]
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
    found, facts = read_explanation(out)
    assert found.class_name == "bar"
    assert found.heat.shape == (80, 96)
    assert facts["at"] == [40, 50.5]
    assert facts["method"] == "grad-cam"
    before = out.read_bytes()
    assert asked(folder, out, "--at", "10,10", "--method", "grad-cam") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert asked(folder, out, "--at", "10,10", "--method", "grad-cam", "--overwrite") == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--at", "ten"], "ROW,COL"),
        (["--at", "1,2,3"], "ROW,COL"),
        (["--at", "500,2"], "outside the image"),
        (["--at", "5,2", "--method", "tarot"], "tarot"),
        (["--class", "moon"], "moon"),
        ([], "neither a place nor a class"),
    ],
)
def test_a_wrong_question_is_one_line(arguments, says, folder, tmp_path, capsys):
    assert asked(folder, tmp_path / "why.tif", *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_map_is_a_tiff(folder, tmp_path, capsys):
    assert asked(folder, tmp_path / "why.png", "--at", "5,5") == 2
    assert "NAME.tif" in capsys.readouterr().err
