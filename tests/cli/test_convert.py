import json

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.formats.coordinates import read_coordinates, write_coordinates
from napari_cellseg.formats.star import star_text
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament

SHAPE = (120, 200)
LINE = Filament([[20, 30], [100, 150]], 1, 10, 0.5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two TIFF micrographs of 0.11 nm and the drawings of their filaments."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mics").mkdir()
    for name in ("m1", "m2"):
        tifffile.imwrite(
            tmp_path / f"mics/{name}.tif",
            np.zeros(SHAPE, np.uint8),
            resolution=(1e7 / 0.11, 1e7 / 0.11),
            resolutionunit="CENTIMETER",
        )
        write_coordinates(tmp_path / f"{name}.svg", Coordinates((LINE,), shape=SHAPE), format="svg")
    return tmp_path


def test_drawings_become_segments_for_relion_and_come_back(folder, capsys):
    assert (
        main(["convert", "m1.svg", "m2.svg", "--images", "mics", "--format", "relion", "--out", "picks"]) == 0
    )
    printed = capsys.readouterr()
    assert printed.out.split() == ["picks/m1_autopick.star", "picks/m2_autopick.star", "picks/autopick.star"]
    assert "next: RELION: import the list" in printed.err
    assert "mics/m2.tif\tpicks/m2_autopick.star" in (folder / "picks/autopick.star").read_text()
    back = read_coordinates(folder / "picks/autopick.star", image=folder / "mics/m2.tif")
    assert back.filaments[0].path[0] == pytest.approx([20, 30], abs=0.3)
    assert (
        main(["convert", "picks/autopick.star", "--images", "mics", "--format", "svg", "--out", "back"]) == 0
    )
    again = read_coordinates(folder / "back/m1.svg")
    np.testing.assert_allclose(again.filaments[0].path, back.filaments[0].path, atol=2e-6)


def test_a_pixel_size_is_asked_for(folder, capsys):
    assert main(["convert", "m1.svg", "--format", "relion", "--out", "picks"]) == 2
    assert "pixel size" in capsys.readouterr().err
    assert main(["convert", "m1.svg", "--format", "relion", "--out", "picks", "--pixel-nm", "0.11"]) == 0
    assert "as in an MRC" in capsys.readouterr().err


def test_one_bad_file_among_many_is_1(folder, capsys):
    (folder / "bad.svg").write_text("<svg><script/></svg>")
    assert main(["convert", "bad.svg", "m1.svg", "--format", "csv", "--out", "out"]) == 1
    printed = capsys.readouterr()
    assert printed.out.split() == ["out/m1.csv"]
    assert "bad.svg: refused" in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.star", "--format", "csv"], "no such file"),
        (["m1.svg", "--format", "cs"], "format 'cs'"),
        (["m1.svg", "--format", "csv", "--source", "nothing"], "format 'nothing'"),
        (["m1.svg", "--format", "csv", "--images", "mics/m2.tif"], "no image for it"),
        (["m1.svg", "--format", "csv", "--step-px", "-1"], "--step-px"),
    ],
)
def test_wrong_requests_are_2(arguments, said, folder, capsys):
    assert main(["convert", *arguments, "--out", "out"]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_every_micrograph_of_a_star_file_has_its_own_output(folder, capsys):
    columns = {
        "rlnMicrographName": ["mics/m1.tif", "mics/m2.tif", "mics/m1.tif"],
        "rlnCoordinateX": [10.0, 20.0, 30.0],
        "rlnCoordinateY": [1.0, 2.0, 3.0],
    }
    (folder / "particles.star").write_text(star_text("particles", columns))
    assert main(["info", "particles.star", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["micrographs"] == ["mics/m1.tif", "mics/m2.tif"]
    assert main(["convert", "particles.star", "--images", "mics", "--format", "csv", "--out", "out"]) == 0
    assert read_coordinates(folder / "out/m1.csv").points.tolist() == [[118, 10], [116, 30]]


def test_info_says_what_a_coordinate_file_holds(folder, capsys):
    assert main(["info", "m1.svg", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["format"], facts["filaments"], facts["points"]) == (
        "coordinates",
        "svg",
        1,
        0,
    )
    assert facts["length_px"] == pytest.approx(144.2)


@pytest.mark.parametrize("kind", ["writers", "coordinate-readers"])
def test_formats_are_listed(kind, capsys):
    assert main(["list", kind, "--json"]) == 0
    assert {"relion", "cbox", "svg"} <= {entry["name"] for entry in json.loads(capsys.readouterr().out)}
