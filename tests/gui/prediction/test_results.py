import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import write_coordinates
from napari_cellseg.gui.hooks import read_layers
from napari_cellseg.gui.layers import is_changed, link_of
from napari_cellseg.gui.view import show_demo
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.project import Project
from napari_cellseg.predict.chain import parse_chain
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.refine import refine_result
from napari_cellseg.predict.store import begin_result
from napari_cellseg.predict.tiles import Grid


def write_result(folder, name="bar_1", side=64, uncertainty="none"):
    """Write a result whose right half is a filament."""
    out = folder / f"{name}.ome.zarr"
    grid = Grid((side, side), (side, side), 8, 8)
    about = {"classes": Classes.of("filament"), "pixel_nm": 0.5, "identity": {"image": "x"}}
    result = begin_result(out, grid, **about, threshold=None, uncertainty=uncertainty)
    probabilities = np.zeros((2, side, side), np.float32)
    probabilities[0, :, : side // 2] = probabilities[1, :, side // 2 :] = 1
    doubt = probabilities[:1] if uncertainty != "none" else probabilities[:0]
    result.write(
        slice(0, side), slice(0, side), Encode(len(probabilities))(np.concatenate([probabilities, doubt]))
    )
    result.finish(out)
    return out


@pytest.mark.parametrize("side", [64, 1500])
def test_a_result_opens_as_probabilities_and_labels(make_napari_viewer_proxy, tmp_path, side):
    viewer = make_napari_viewer_proxy()
    for data, keywords, kind in read_layers(str(write_result(tmp_path, side=side))):
        getattr(viewer, f"add_{kind}")(data, **keywords)
    probabilities, labels = viewer.layers
    assert (probabilities.name, labels.name) == ("bar_1 probabilities (filament)", "bar_1 labels")
    assert labels.multiscale == (side > 512)
    plane = np.asarray(labels.data[0] if labels.multiscale else labels.data)
    assert set(np.unique(plane)) == {1, 2}
    assert labels.scale[0] == pytest.approx(0.5)
    assert str(labels.units[0]) == "nanometer"
    np.testing.assert_allclose(labels.extent.world, probabilities.extent.world)


def test_uncertainty_and_refined_labels_open_on_top(make_napari_viewer_proxy, tmp_path):
    out = write_result(tmp_path, uncertainty="entropy")
    refine_result(out, parse_chain("remove-small:area_px=100000"))
    viewer = make_napari_viewer_proxy()
    for data, keywords, kind in read_layers(str(out)):
        getattr(viewer, f"add_{kind}")(data, **keywords)
    probabilities, doubt, segmented, refined = viewer.layers
    assert [layer.name for layer in (doubt, segmented, refined)] == [
        "bar_1 uncertainty",
        "bar_1 labels as segmented",
        "bar_1 labels",
    ]
    assert (refined.data == 1).all()
    assert refined.visible
    assert not segmented.visible
    assert not is_changed(refined)
    assert len({link_of(layer).result for layer in viewer.layers}) == 1
    assert link_of(probabilities).target == "filament"
    np.testing.assert_array_equal(doubt.data[:, :32], 255)


def test_the_demo_opens_with_its_docks(make_napari_viewer_proxy, tmp_path, images):
    (tmp_path / "unseen").mkdir()
    images[0].rename(tmp_path / "unseen" / images[0].name)
    project = Project.create(tmp_path / "demo.cellseg", Classes.of("filament"))
    project.add_image(images[1])
    write_result(tmp_path / "result")
    (tmp_path / "filaments").mkdir()
    path = Filament([[5.0, 5.0], [20.0, 30.0]])
    write_coordinates(tmp_path / "filaments/bar_1.csv", Coordinates((path,)), format="csv")
    found = Coordinates(points=[[5.0, 8.0], [9.0, 2.0]], scores=[0.5, 1.0])
    write_coordinates(tmp_path / "troponin/bar_1_points.csv", found, format="csv")
    write_result(tmp_path / "result", images[1].stem)  # one that was learned from stays closed
    viewer = make_napari_viewer_proxy()
    show_demo(viewer, tmp_path)
    assert viewer.layers[0].name == "bar_1"
    assert [type(layer).__name__ for layer in viewer.layers].count("Shapes") == 1
    points = next(layer for layer in viewer.layers if type(layer).__name__ == "Points")
    assert points.data.tolist() == [[5, 8], [9, 2]]
    np.testing.assert_allclose(points.scale, viewer.layers[0].scale)
    assert len(viewer.layers) == 5
    assert set(viewer.window.dock_widgets) == {"Annotate", "Train", "Segment", "Filaments"}


def test_a_folder_without_a_demo_is_refused(make_napari_viewer_proxy, tmp_path):
    with pytest.raises(CellsegError, match="no demo here"):
        show_demo(make_napari_viewer_proxy(), tmp_path)
