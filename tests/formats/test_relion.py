import json

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import read_coordinates, write_coordinates
from napari_cellseg.formats.relion import SeveralMicrographs
from napari_cellseg.formats.star import read_tables, star_text
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.settings import ExportSettings

COLUMNS = (
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnAngleTiltPrior",
    "rlnAnglePsiPrior",
    "rlnHelicalTrackLengthAngst",
)
SHAPE = (3710, 3838)


def rows_of(path, columns=("rlnHelicalTubeID", *COLUMNS)) -> np.ndarray:
    tables = read_tables(path.read_text(), path.name)
    table = next(table for table in tables.values() if "rlnCoordinateX" in table)
    return np.array([[float(value) for value in table[column]] for column in columns]).T


def inside(rows: np.ndarray, box_px: int = 256) -> np.ndarray:
    """The rows whose box lies in the micrograph: those RELION extracts."""
    x, y = rows[:, 1], rows[:, 2]
    half = box_px / 2
    return rows[(x >= half) & (y >= half) & (x <= SHAPE[1] - half) & (y <= SHAPE[0] - half)]


def exported(folder, coordinates, **settings) -> np.ndarray:
    given = Coordinates(coordinates.filaments, pixel_nm=0.11, shape=SHAPE, micrograph="m.mrc")
    target = folder / "out.star"
    write_coordinates(target, given, format="relion", settings=ExportSettings(**settings))
    return rows_of(target)


def test_start_and_end_are_cut_as_relion_cuts_them(relion_folder, tmp_path):
    tubes = read_coordinates(relion_folder / "m1_se.star", format="startend")
    ours = exported(tmp_path, tubes)
    theirs = rows_of(relion_folder / "m1_relion3.1.3_particles.star")
    np.testing.assert_allclose(inside(ours), theirs, atol=1e-6)
    golden = json.loads((relion_folder / "golden.json").read_text())
    for number, name in ((1, "relion_start_end_star"), (2, "relion_start_end_edge")):
        expected = [[row[column] for column in COLUMNS] for row in golden[name]["out"]]
        np.testing.assert_allclose(inside(ours[ours[:, 0] == number])[:, 1:], expected, atol=1e-6)


def test_eman_boxes_are_cut_as_relion_cuts_them(relion_folder, tmp_path):
    (tube,) = read_coordinates(relion_folder / "m2_se.box").filaments
    assert tube.width_px == 40
    # RELION leaves out half the width at either end
    within = Filament(tube.at([20, tube.length_px - 20])[0])
    ours = exported(tmp_path, Coordinates((within,)))
    np.testing.assert_allclose(ours, rows_of(relion_folder / "m2_relion3.1.3_particles.star"), atol=1e-6)
    golden = json.loads((relion_folder / "golden.json").read_text())["eman1_start_end_box"]
    np.testing.assert_allclose(
        ours[:, 1:], [[row[column] for column in COLUMNS] for row in golden["out"]], atol=1e-6
    )
    again = write_coordinates(tmp_path / "a.box", Coordinates((tube,), micrograph="m2.mrc"), format="eman")
    assert again.path.read_text().splitlines() == golden["lines"]


def test_a_curved_tube_keeps_its_places(relion_folder, tmp_path):
    theirs = rows_of(relion_folder / "m3_relion3.1.3_extract.star")
    read = read_coordinates(relion_folder / "m3_seg.star")
    ours = exported(tmp_path, read, step_px=0)
    np.testing.assert_allclose(ours[:, :4], theirs[:, :4], atol=1e-6)
    assert read.filaments[0].score == pytest.approx(0.9)
    # theirs has chords for the length and differences of neighbours for the angle: no curve yet
    np.testing.assert_allclose(ours[:, 5], theirs[:, 5], atol=0.2)
    np.testing.assert_allclose(ours[1:-1, 4], theirs[1:-1, 4], atol=0.5)
    again = read_coordinates(relion_folder / "m3_relion3.1.3_particles.star")
    np.testing.assert_allclose(again.filaments[0].path, read.filaments[0].path, atol=1e-6)
    assert again.micrograph == "mics/m3.mrc"


def test_helicon_boxes_are_what_relion_makes_of_them(relion_folder, tmp_path):
    theirs = rows_of(relion_folder / "m5_relion3.1.3_particles.star")
    ours = exported(tmp_path, read_coordinates(relion_folder / "m5_h.box"), step_px=0)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_square_brackets_which_relion_misreads_are_read(relion_folder):
    right, square = (read_coordinates(relion_folder / name) for name in ("m5_h.box", "m6_h.box"))
    assert [one.path.tolist() for one in square.filaments] == [one.path.tolist() for one in right.filaments]


def test_segments_that_relion_refuses_are_read(relion_folder, tmp_path):
    read = read_coordinates(relion_folder / "m4_seg.star")
    ours = exported(tmp_path, read, step_px=0)  # now with the priors that were missing
    assert len(ours) == len(read.filaments[0].path)
    assert set(ours[:, 3]) == {90}


@pytest.mark.parametrize("degrees", [0, 30, 75, 90, -40, 135, 179, -179])
def test_psi_is_the_angle_of_the_tangent(degrees, tmp_path):
    turn = np.radians(degrees)
    line = Filament([[500, 500], [500 - 90 * np.sin(turn), 500 + 90 * np.cos(turn)]])
    psi = exported(tmp_path, Coordinates((line,)))[:, 4]
    np.testing.assert_allclose((psi - degrees + 180) % 360 - 180, 0, atol=1e-5)


def test_psi_of_a_curve_never_wraps_to_its_middle(tmp_path):
    # half a circle through the direction -x, where angles jump from 180 to -180
    t = np.linspace(np.pi / 4, 3 * np.pi / 4, 40)
    arch = Filament(np.stack([900 - 400 * np.sin(t), 900 + 400 * np.cos(t)], -1))
    psi = exported(tmp_path, Coordinates((arch,)))[:, 4]
    assert ((np.abs(psi) > 130) & (np.abs(psi) <= 180)).all()
    assert (np.abs((np.diff(psi) + 180) % 360 - 180) < 5).all()


def test_lengths_follow_the_curve(tmp_path):
    t = np.linspace(0, np.pi, 60)
    arch = Filament(np.stack([900 + 400 * np.sin(t), 900 + 400 * np.cos(t)], -1))
    rows = exported(tmp_path, Coordinates((arch,)))
    np.testing.assert_allclose(np.diff(rows[:, 5]), 27.5, atol=2e-6)
    assert rows[0, 5] == 0
    assert rows[-1, 5] == pytest.approx(400 * np.pi * 1.1, abs=27.5)


def test_tubes_are_numbered_from_one_and_rows_near_the_edge_stay(tmp_path):
    tubes = Coordinates((Filament([[5, 5], [5, 400]], 1), Filament([[900, 5], [900, 400]], 2)))
    rows = exported(tmp_path, tubes)
    assert set(rows[:, 0]) == {1, 2}
    assert rows[0, 1] < 128
    assert inside(rows)[0, 5] > 0  # lengths go on counting where RELION drops a segment


def test_a_short_filament_is_one_segment(tmp_path):
    rows = exported(tmp_path, Coordinates((Filament([[500, 500], [500, 500.1]]),)))
    assert len(rows) == 1
    back = read_coordinates(tmp_path / "out.star")
    assert (len(back.filaments), len(back.points)) == (1, 0)


@pytest.mark.parametrize("degrees", [0, 45, 130, -170])
def test_a_tube_of_one_segment_comes_back_as_a_tube(tmp_path, degrees):
    turn = np.radians(degrees)
    along = np.array([-np.sin(turn), np.cos(turn)])
    short = Filament([[500, 600], [500, 600] + 15 * along], 4, score=0.25)
    long = Filament([[100, 100], [100, 400]], 9, score=0.75)
    exported(tmp_path, Coordinates((long, short)), step_px=20)
    back = read_coordinates(tmp_path / "out.star")
    assert [(one.id, one.score) for one in back.filaments] == [(4, 0.25), (9, 0.75)]
    tube = back.filaments[0]
    assert len(back.points) == 0
    assert np.hypot(*(tube.path[0] - short.path[0])) < 0.3  # RELION's first segment lies 1 % of a step in
    np.testing.assert_allclose(np.diff(tube.path, axis=0)[0] / tube.length_px, along, atol=1e-5)
    (tmp_path / "again").mkdir()
    again = exported(tmp_path / "again", Coordinates((tube,)), step_px=20)
    assert len(again) == 1
    assert again[0, 4] == pytest.approx(degrees)


def test_one_segment_without_a_direction_is_a_point(tmp_path):
    file = tmp_path / "m_autopick.star"
    file.write_text(
        star_text("", {"rlnCoordinateX": [5.0], "rlnCoordinateY": [7.0], "rlnHelicalTubeID": [1]})
    )
    assert read_coordinates(file).points.tolist() == [[7, 5]]
    priors = {"rlnAnglePsiPrior": ["<NA>"]}
    columns = {"rlnCoordinateX": [5.0], "rlnCoordinateY": [7.0], "rlnHelicalTubeID": [1]} | priors
    file.write_text(star_text("", columns))
    assert read_coordinates(file).points.tolist() == [[7, 5]]


@pytest.mark.parametrize("rows", [0, 3, 4])
def test_only_places_are_points_and_it_is_said(tmp_path, rows):
    file = tmp_path / "m.star"
    places = [float(number) for number in range(rows)]
    file.write_text(star_text("", {"rlnCoordinateX": places, "rlnCoordinateY": places}))
    found = read_coordinates(file)
    assert (len(found.points), found.filaments) == (rows, ())
    if rows:
        assert f"its {rows} rows are read as points" in found.notices[0]
        assert ("startend" in found.notices[0]) == (rows % 2 == 0)
    else:
        assert found.notices == ()


def test_an_odd_number_of_ends_is_refused(tmp_path):
    path = tmp_path / "odd.star"
    path.write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1 2\n3 4\n5 6\n")
    with pytest.raises(CellsegError, match="3 rows; expected two for each tube"):
        read_coordinates(path, format="startend")


def test_other_columns_are_listed(relion_folder, tmp_path):
    with pytest.raises(CellsegError, match="_rlnVoltage"):
        read_coordinates(relion_folder / "m1_mics.star")


def test_nan_is_refused_not_taken_for_nought(tmp_path):
    path = tmp_path / "a.star"
    path.write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1 2\n<NA> 4\n")
    with pytest.raises(CellsegError, match="_rlnCoordinateX of row 2 is '<NA>'"):
        read_coordinates(path)


PARTICLES = """data_particles

loop_
_rlnHelicalTrackLengthAngst #1
_rlnCoordinateY #2
_rlnMicrographName #3
_rlnHelicalTubeID #4
_rlnCoordinateX #5
55 10 mics/01.mrc 1 30
0 10 mics/01.mrc 1 10
0 20 mics/1.mrc 1 10
27.5 10 mics/01.mrc 1 20
30 20 mics/1.mrc 1 40
"""


def test_rows_of_one_micrograph_are_taken_in_their_order_along_the_tube(tmp_path):
    path = tmp_path / "particles.star"
    path.write_text(PARTICLES)
    with pytest.raises(SeveralMicrographs) as error:
        read_coordinates(path)
    assert error.value.names == ("mics/01.mrc", "mics/1.mrc")
    found = read_coordinates(path, image="somewhere/01.mrc")
    assert found.filaments[0].path.tolist() == [[10, 10], [10, 20], [10, 30]]
    assert read_coordinates(path, image="1.mrc").filaments[0].path.tolist() == [[20, 10], [20, 40]]
    with pytest.raises(CellsegError, match=r"nothing of 2\.mrc"):
        read_coordinates(path, image="2.mrc")


def test_hand_drawn_filaments_score_one_beside_others(tmp_path):
    two = Coordinates((Filament([[9, 0], [9, 90]], 1, None, 0.25), Filament([[5, 0], [5, 90]], 2)))
    exported(tmp_path, two)
    scores = rows_of(tmp_path / "out.star", ("rlnHelicalTubeID", "rlnAutopickFigureOfMerit"))
    assert {tuple(row) for row in scores} == {(1, 0.25), (2, 1)}
