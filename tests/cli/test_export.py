"""`export` without a process of its own; a network with random weights is enough."""

import pytest

from napari_cellseg.cli import main


def exported(folder, out, to: str, *more: str) -> int:
    return main(["export", str(folder / "one.safetensors"), "--to", to, "--out", str(out), *more])


@pytest.mark.parametrize(("to", "name"), [("onnx", "m.onnx"), ("openvino", "m.xml")])
def test_the_file_is_printed_and_how_far_it_is_from_the_network(to, name, folder, tmp_path, capsys):
    assert exported(folder, tmp_path / name, to) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(tmp_path / name)]
    assert "probabilities differ from PyTorch's by at most" in said.err
    assert exported(folder, tmp_path / name, to) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert exported(folder, tmp_path / name, to, "--overwrite") == 0


def test_an_unknown_form(folder, tmp_path, capsys):
    assert exported(folder, tmp_path / "m.pb", "tensorflow") == 2
    assert "one of onnx, openvino, bioimageio" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_exporters_are_listed(capsys):
    assert main(["list", "exporters"]) == 0
    assert "bioimageio" in capsys.readouterr().out
