import numpy as np
import pytest
from napari.layers import Points, Shapes
from npe2 import PluginManager

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import WRITERS, read_coordinates, write_coordinates
from napari_cellseg.gui.coordinates import coordinate_layers, coordinates_from, filaments_from
from napari_cellseg.gui.hooks import COORDINATES, get_reader, read_layers, write_layers
from napari_cellseg.gui.layers import link_of
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.settings import ExportSettings

TWO = (Filament([[5, 6], [20, 70]], 4, 8, 0.5), Filament([[60, 3], [33, 40], [30, 75]], 7))
KEPT = ExportSettings(step_px=0, box_px=16)


@pytest.fixture
def viewer(make_napari_viewer_proxy, images):
    """A viewer with two TIFF micrographs of 64 x 80 px of 0.5 nm; the second is chosen."""
    viewer = make_napari_viewer_proxy()
    for path in images:
        ((data, keywords, _),) = read_layers(str(path))
        viewer.add_image(data, **keywords)
    viewer.layers.selection.active = viewer.layers[1]
    return viewer


def added(viewer, made):
    return [getattr(viewer, f"add_{kind}")(data, **keywords) for data, keywords, kind in made]


def star_file(folder, image, name="bar_1_autopick.star"):
    there = Coordinates(TWO, pixel_nm=0.5, shape=(64, 80), micrograph=str(image))
    return write_coordinates(folder / name, there, format="relion", settings=KEPT).path


def test_a_star_file_comes_to_lie_upon_its_tiff(viewer, images, tmp_path):
    (layer,) = added(viewer, read_layers(str(star_file(tmp_path, images[0]))))
    assert isinstance(layer, Shapes)
    assert set(layer.shape_type) == {"path"}
    np.testing.assert_allclose(layer.data[0], TWO[0].path, atol=1e-5)  # rows turned round again
    np.testing.assert_allclose(layer.scale, viewer.layers[0].scale)
    assert layer.units == viewer.layers[0].units
    link = link_of(layer)
    assert (link.role, link.image, link.path) == ("filaments", "bar_1", images[0])
    table = layer.features
    assert table["id"].tolist() == [4, 7]
    np.testing.assert_allclose(table["length_nm"], [one.length_px * 0.5 for one in TWO], rtol=1e-5)
    assert table["score"].tolist() == [0.5, 1]


def test_another_name_takes_the_chosen_micrograph(viewer, images, tmp_path):
    (layer,) = added(viewer, read_layers(str(star_file(tmp_path, images[1], "other.star"))))
    assert link_of(layer).image == "bar_2"


def test_without_the_micrograph_a_flip_cannot_be_undone(tmp_path, images):
    path = tmp_path / "p.star"
    path.write_text("data_\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\nmics/a.tif 1 2\n")
    with pytest.raises(CellsegError, match="height of the micrograph"):
        read_layers(str(path))


def test_points_are_a_layer_of_points(viewer, tmp_path):
    path = tmp_path / "troponin.csv"
    path.write_text("X,Y,score\n30,20,0.5\n5,6,1\n")
    (layer,) = added(viewer, read_layers(str(path)))
    assert isinstance(layer, Points)
    assert layer.data.tolist() == [[20, 30], [6, 5]]
    assert layer.features["score"].tolist() == [0.5, 1]


def test_found_points_keep_their_filament_and_take_points_by_hand(viewer, tmp_path):
    found = tmp_path / "bar_1_points.csv"
    found.write_text("X,Y,score,on_filament,along_px\n30,20,0.5,2,12.5\n5,6,0.75,0,0\n")
    (layer,) = added(viewer, read_layers(str(found)))
    assert layer.features["filament"].tolist() == [2, 0]
    assert layer.features["along_px"].tolist() == [12.5, 0]
    layer.add([40.0, 50.0])
    target = str(tmp_path / "again.csv")
    write_layers(target, [layer.as_layer_data_tuple()])
    back = read_coordinates(target)
    np.testing.assert_allclose(back.points, [[20, 30], [6, 5], [40, 50]])
    assert back.scores.tolist() == [0.5, 0.75, 1]  # what was added by hand is sure
    assert back.owners[0] == 2


def test_nothing_found_is_an_empty_layer_to_draw_into(viewer, tmp_path):
    path = tmp_path / "bar_1.cbox"
    path.touch()
    (layer,) = added(viewer, read_layers(str(path)))
    layer.add_paths([np.array([[1.0, 2.0], [30.0, 40.0]])])
    (drawn,) = filaments_from(layer)
    assert (drawn.id, drawn.locked, drawn.score) == (1, True, None)


def test_what_is_drawn_gets_its_own_number(viewer):
    (layer,) = added(viewer, coordinate_layers(Coordinates(TWO), "a", like=viewer.layers[0]))
    layer.add_paths([np.array([[1.0, 2.0], [30.0, 40.0]])])
    layer.add_rectangles([np.array([[0.0, 0.0], [5.0, 5.0]])])
    assert [(one.id, one.locked) for one in filaments_from(layer)] == [(4, False), (7, False), (8, True)]
    assert filaments_from(layer)[0].width_px == 8


def test_layers_of_strangers_are_filaments_too(viewer):
    layer = viewer.add_shapes(
        [np.array([[0, 0], [9, 9]]), np.array([[0, 0], [9, 20]])], shape_type=["path", "line"], scale=(1, 1)
    )
    found = coordinates_from([layer])
    assert [one.id for one in found.filaments] == [1, 2]
    # drawn in nm over pixels of 0.5 nm
    assert found.filaments[0].path[1].tolist() == [18, 18]
    assert (found.shape, found.pixel_nm) == ((64, 80), pytest.approx(0.5))


@pytest.mark.parametrize("suffix", [".star", ".box", ".cbox", ".svg", ".csv", ".geojson"])
def test_saved_layers_open_again_where_they_were(suffix, viewer, tmp_path):
    (layer,) = added(viewer, coordinate_layers(Coordinates(TWO[:1]), "a", like=viewer.layers[0]))
    target = str(tmp_path / f"bar_1{suffix}")
    assert write_layers(target, [layer.as_layer_data_tuple()]) == [target]
    (back,) = added(viewer, read_layers(target))
    (there,) = filaments_from(back)
    assert np.abs(there.ends[0] - TWO[0].ends[0]).max() < 1.5
    line, offsets = TWO[0].ends[1] - TWO[0].ends[0], there.path - TWO[0].ends[0]
    assert np.abs(offsets @ [-line[1], line[0]]).max() / np.hypot(*line) < 1e-3


def test_an_unknown_suffix_is_refused(viewer, tmp_path):
    (layer,) = added(viewer, coordinate_layers(Coordinates(TWO), "a", like=viewer.layers[0]))
    with pytest.raises(CellsegError, match=r"no format of coordinates; expected \.box, \.cbox"):
        write_layers(str(tmp_path / "a.docx"), [layer.as_layer_data_tuple()])


def test_the_wanted_micrograph_of_many_is_taken(viewer, tmp_path):
    path = tmp_path / "particles.star"
    rows = "mics/x.tif 1 2\nmics/bar_2.tif 10 20\n"
    path.write_text(f"data_\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n{rows}")
    (layer,) = added(viewer, read_layers(str(path)))
    assert layer.data.tolist() == [[43, 10]]


def test_tables_of_napari_itself_are_left_to_it(tmp_path):
    (tmp_path / "a.csv").write_text("index,axis-0,axis-1\n0,1,2\n")
    (tmp_path / "b.csv").write_text("X,Y\n1,2\n")
    assert get_reader(str(tmp_path / "a.csv")) is None
    assert get_reader(str(tmp_path / "b.csv")) is read_layers


def test_the_manifest_names_every_suffix():
    manifest = PluginManager.instance().get_manifest("napari-cellseg")
    (writer,) = manifest.contributions.writers
    assert set(writer.filename_extensions) == {
        f".{kind.ending.rpartition('.')[2]}" for kind in WRITERS.values()
    }
    patterns = manifest.contributions.readers[0].filename_patterns
    assert {f"*{suffix}" for suffix in COORDINATES} <= set(patterns)


def test_napari_itself_saves_and_opens(viewer, images, tmp_path):
    (layer,) = added(viewer, coordinate_layers(Coordinates(TWO), "a", like=viewer.layers[0]))
    target = tmp_path / "bar_1.star"
    saved = layer.save(str(target), plugin="napari-cellseg")
    assert saved == [str(target)]
    assert len(read_coordinates(target, image=images[0]).filaments) == 2
    viewer.open(str(target), plugin="napari-cellseg")
    assert isinstance(viewer.layers[-1], Shapes)
