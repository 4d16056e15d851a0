import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import read_coordinates, write_coordinates
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.settings import ExportSettings


def box(folder, text, name="a.box"):
    path = folder / name
    path.write_text(text)
    return path


def test_an_empty_file_holds_nothing(tmp_path):
    found = read_coordinates(box(tmp_path, ""))
    assert (found.filaments, len(found.points)) == ((), 0)


def test_boxes_are_written_in_whole_numbers(tmp_path):
    line = Filament([[100.4, 50.6], [180.5, 300.4]], width_px=21.2)
    target = tmp_path / "a.box"
    write_coordinates(target, Coordinates((line,), micrograph="a.mrc"), format="eman")
    assert target.read_text() == "40\t89\t22\t22\t-1\n289\t169\t22\t22\t-2\n"
    (back,) = read_coordinates(target).filaments
    assert back.path.tolist() == [[100, 51], [180, 300]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 1 4 4 -1\n", "no end"),
        ("1 1 4 4 -2\n", "line 1: an end without a start"),
        ("1 1 4 4 -1\n9 9 4 4 -1\n", "line 2"),
        ("1 1 4 4 -1\n9 9 4 4\n", "line 2"),
        ("1 x 4 4\n", "line 1: '1 x 4 4'"),
        ("1 nan 4 4\n", "line 1"),
        ("1 2\n", "line 1"),
    ],
)
def test_broken_pairs_are_named(text, message, tmp_path):
    with pytest.raises(CellsegError, match=message):
        read_coordinates(box(tmp_path, text))


def test_boxes_of_particles_are_points(tmp_path):
    found = read_coordinates(box(tmp_path, "10 20 40 60\n1\t2\t40\t60\t-3\n"))
    assert found.points.tolist() == [[50, 30], [32, 21]]
    assert found.box_px == 40


def test_helices_of_eman2(tmp_path):
    text = "#micrograph: m.hdf\n#segment length: 80\n#segment width: 80\n"
    text += "#helix: (10.0, 20.0),(30.0, 40.0),15\n#helix: [1, 2],[3, 4],16\n1 2\n2\t3\n3 4\n"
    found = read_coordinates(box(tmp_path, text))
    assert (found.micrograph, found.box_px) == ("m.hdf", 80)
    assert found.filaments[0].path.tolist() == [[20, 10], [40, 30]]  # no centres: its ends
    assert found.filaments[1].path.tolist() == [[2, 1], [3, 2], [4, 3]]
    assert [one.width_px for one in found.filaments] == [15, 16]


@pytest.mark.parametrize("line", ["#helix: 1, 2, 3", "#helix: (1, 2),(3, x),4", "5 6 7", "5 nan"])
def test_broken_helices_are_named(line, tmp_path):
    with pytest.raises(CellsegError, match="line 2"):
        read_coordinates(box(tmp_path, f"#helix: (1, 2),(3, 4),5\n{line}\n"), format="helicon")


def test_only_round_brackets_are_written(tmp_path):
    target = tmp_path / "a.box"
    line = Filament([[10, 20], [10, 120]], width_px=12)
    settings = ExportSettings(step_px=40, box_px=64)
    write_coordinates(target, Coordinates((line,), micrograph="a.mrc"), format="helicon", settings=settings)
    assert "[" not in target.read_text()
    assert target.read_text().splitlines()[1:5] == [
        "#segment length: 64",
        "#segment width: 64",
        "#helix: (20.000000, 10.000000),(120.000000, 10.000000),12",
        "20.400000\t10.000000",
    ]
