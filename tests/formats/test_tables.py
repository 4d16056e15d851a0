import json

import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import read_coordinates
from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph
from napari_cellseg.images.simulate.truth_files import write_truth


def table(folder, text, name="a.csv"):
    path = folder / name
    path.write_text(text)
    return read_coordinates(path)


@pytest.mark.parametrize("text", ["", "\n", "X,Y\n", "filament,row,col\n"])
def test_an_empty_table_holds_nothing(text, tmp_path):
    found = table(tmp_path, text)
    assert (found.filaments, len(found.points)) == ((), 0)


@pytest.mark.parametrize(
    "text",
    ["X,Y\n30,20\n5.5,6\n", "30,20\n5.5,6\n", "\ufeffx;y\n30;20\n5.5;6\n", "row\tcol\n20\t30\n6\t5.5\n"],
)
def test_points_with_and_without_names(text, tmp_path):
    assert table(tmp_path, text).points.tolist() == [[20, 30], [6, 5.5]]


def test_rows_of_a_filament_need_not_lie_together(tmp_path):
    found = table(tmp_path, "id,X,Y,score\n4,0,0,0.5\n,7,8,1\n2,1,1,\n4,9,0,0.7\n2,5,5,\n9,3,3,0\n")
    assert {one.id: one.path.tolist() for one in found.filaments} == {
        4: [[0, 0], [0, 9]],
        2: [[1, 1], [5, 5]],
    }
    assert [one.score for one in found.filaments] == [pytest.approx(0.6), None]
    assert found.points.tolist() == [[8, 7], [3, 3]]  # the second has a number of its own and one place
    assert found.scores.tolist() == [1, 0]


def test_filaments_may_have_names(tmp_path):
    found = table(tmp_path, "filament,X,Y\nb,0,0\nb,9,0\na,0,5\na,9,5\n")
    assert [one.id for one in found.filaments] == [1, 2]


def test_layers_saved_by_napari_are_read(tmp_path):
    shapes = table(tmp_path, "index,shape-type,vertex-index,axis-0,axis-1\n0,path,0,3,4\n0,path,1,5,6\n")
    assert shapes.filaments[0].path.tolist() == [[3, 4], [5, 6]]
    assert table(tmp_path, "index,axis-0,axis-1\n0.0,3,4\n1.0,5,6\n").points.tolist() == [[3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "columns a,b|columns a, b"),
        ("1,2,3\n", "3 columns without names"),
        ("X,Y\n1,nan\n", "row 2: 'nan'"),
        ("X,Y\n1,2\n3\n", "row 3: ''"),
        ("X,Y\n1,2\nx,3\n", "row 3: 'x'"),
    ],
)
def test_what_is_wrong_is_named(text, message, tmp_path):
    with pytest.raises(CellsegError, match=message):
        table(tmp_path, text)


def test_the_truth_of_simulations_is_read(tmp_path):
    made = simulate_micrograph(3, settings=SimulateSettings(shape=(192, 256), pixel_nm=0.6, filaments=(2, 2)))
    _, filaments, troponin = write_truth(tmp_path, made, stem="m")
    assert len(read_coordinates(filaments).filaments) == len(made.filaments)
    assert len(read_coordinates(troponin).points) == len(made.troponins)


def geojson(folder, *geometries):
    features = [{"type": "Feature", "geometry": one, "properties": None} for one in geometries]
    return table(folder, json.dumps({"type": "FeatureCollection", "features": features}), "a.geojson")


def test_geojson_of_others_is_read(tmp_path):
    found = geojson(
        tmp_path,
        {"type": "LineString", "coordinates": [[1, 2], [3, 4, 0]]},
        {"type": "Point", "coordinates": [7, 8]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]},
    )
    assert found.filaments[0].path.tolist() == [[2, 1], [4, 3]]
    assert found.points.tolist() == [[8, 7]]
    assert "1 geometries" in found.notices[0]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"features": [{}]}',
        '{"features": [{"geometry": {"type": "Point", "coordinates": [NaN, 1]}}]}',
        '{"features": [{"geometry": {"type": "Point", "coordinates": []}}]}',
        '{"features": [{"geometry": {"type": "Point", "coordinates": ["a", 1]}}]}',
        '{"features": [{"geometry": null}]}',
    ],
)
def test_broken_geojson_is_one_line(text, tmp_path):
    with pytest.raises(CellsegError, match=r"a\.geojson"):
        table(tmp_path, text, "a.geojson")
