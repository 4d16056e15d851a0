import copy

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import (
    KEY,
    PYRAMID_PX,
    Link,
    add_layer,
    check_size,
    class_colors,
    count_pixels,
    image_from,
    image_layer,
    link_of,
    linked,
    pixel_nm_of,
    place_of,
    set_classes,
    source_files,
)
from napari_cellseg.gui.overview import OVERVIEW, start_filling
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import Image, read_image

PLACES = [
    {},
    {"scale": (0.5, 0.25), "units": ("nm", "nm")},
    {"scale": (2, 2), "translate": (7, -3), "rotate": 30, "shear": [0.3]},
    {"affine": [[0, 1, 5], [1, 0, -2], [0, 0, 1]], "axis_labels": ("row", "col")},
]


@pytest.mark.parametrize("place", PLACES)
def test_a_layer_made_from_another_lies_where_it_lies(place):
    viewer = ViewerModel()
    like = viewer.add_image(np.zeros((6, 8)), **place)
    made = add_layer(
        viewer, "labels", np.zeros((6, 8), np.uint8), like=like, name="x", link=Link("labels", "x")
    )
    for point in ((0, 0), (5, 2), (3, 7)):
        np.testing.assert_allclose(made.data_to_world(point), like.data_to_world(point))
    assert made.units == like.units
    assert made.axis_labels == like.axis_labels


def test_labels_lie_on_the_last_two_axes_of_a_stack():
    viewer = ViewerModel()
    turn = np.eye(4)
    turn[1:3, 1:3] = [[0, -1], [1, 0]]
    stack = viewer.add_image(np.zeros((3, 6, 8)), scale=(1, 0.5, 0.25), shear=(0, 0, 0.2), affine=turn)
    made = add_layer(
        viewer, "labels", np.zeros((6, 8), np.uint8), like=stack, name="x", link=Link("labels", "x")
    )
    np.testing.assert_allclose(made.data_to_world((5, 2)), stack.data_to_world((0, 5, 2))[1:])


def test_half_the_pixels_cover_the_same_field():
    viewer = ViewerModel()
    like = viewer.add_image(np.zeros((8, 8)), scale=(0.5, 0.5), translate=(10, 20))
    half = add_layer(viewer, "image", np.zeros((4, 4)), like=like, name="x", link=Link("probabilities", "x"))
    np.testing.assert_allclose(half.extent.world, [[10 + 0.25, 20 + 0.25], [13.25, 23.25]])


def test_a_new_layer_never_takes_the_place_of_one_with_its_name():
    viewer = ViewerModel()
    like = viewer.add_image(np.zeros((4, 4)), name="a")
    for _ in range(2):
        add_layer(
            viewer, "labels", np.zeros((4, 4), np.uint8), like=like, name="a labels", link=Link("labels", "a")
        )
    assert len(viewer.layers) == 3
    assert len({layer.name for layer in viewer.layers}) == 3


def test_place_of_an_odd_layer_keeps_its_affine():
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((4, 4)), affine=[[1, 0, 9], [0, 1, 0], [0, 0, 1]])
    assert place_of(layer)["affine"][0, 2] == 9


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (2, 5, 7)])
def test_image_to_layer_and_back(shape):
    image = Image(
        da.from_array(np.arange(np.prod(shape), dtype=np.float32).reshape(shape)), "a", pixel_nm=0.5
    )
    data, keywords, kind = image_layer(image)
    viewer = ViewerModel()
    layer = getattr(viewer, f"add_{kind}")(data, **keywords)
    back = image_from(layer)
    assert (back.name, back.shape, back.channels) == ("a", image.shape, image.channels)
    assert back.pixel_nm == pytest.approx(0.5)
    np.testing.assert_array_equal(back.data.compute(), image.data.compute())


def test_colours_become_a_colour_layer_and_channels_again():
    pixels = np.random.default_rng(0).integers(0, 255, (3, 5, 7), np.uint8)
    data, keywords, _ = image_layer(Image.from_array(pixels, "a"))
    layer = ViewerModel().add_image(data, **keywords)
    assert layer.rgb
    np.testing.assert_array_equal(image_from(layer).data.compute(), pixels)


def test_a_constant_image_can_be_shown():
    _, keywords, _ = image_layer(Image.from_array(np.full((4, 4), 7.0)))
    assert keywords["contrast_limits"][0] < keywords["contrast_limits"][1]


def test_a_large_image_stays_lazy_but_for_an_overview_that_is_filled_later():
    image = Image(da.ones((20_000, 20_000), chunks=1024, dtype=np.uint16), "large")
    data, keywords, _ = image_layer(image)
    assert keywords["multiscale"]
    assert [level.shape[0] for level in data] == [20_000, 10_000, 5000]
    assert all(isinstance(level, da.Array) for level in data[:-1])
    assert not data[-1].any()
    start_filling(keywords["metadata"])  # with no window it does not return before
    assert data[-1].all()


@pytest.mark.parametrize("shape", [(16_640, 33_000), (2, 8200, 33_001), (3, 8200, 33_000)])
def test_levels_of_any_large_image_can_be_shown(shape):
    image = Image(da.zeros(shape, chunks=4096, dtype=np.uint8), "large")
    data, keywords, _ = image_layer(image)
    axes = slice(0, 2) if keywords.get("rgb") else slice(-2, None)
    assert max(data[-1].shape[axes]) <= PYRAMID_PX
    assert data[-1].shape[axes] == tuple(-(-side // 8) for side in shape[-2:])
    layer = ViewerModel().add_image(data, **keywords)
    assert image_from(layer).shape == shape[-2:]
    assert copy.deepcopy(layer.metadata[OVERVIEW]) is layer.metadata[OVERVIEW]


def test_smaller_copies_in_the_file_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cellseg.gui.layers.IN_MEMORY_BYTES", 0)
    plane = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    group = zarr.create_group(tmp_path / "a.ome.zarr")
    datasets = []
    for level in (0, 1):
        group.create_array(str(level), data=plane[:: 2**level, :: 2**level])
        scale = [{"type": "scale", "scale": [2.0**level] * 2}]
        datasets.append({"path": str(level), "coordinateTransformations": scale})
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    data, keywords, _ = image_layer(read_image(tmp_path / "a.ome.zarr"))
    assert keywords["multiscale"]
    np.testing.assert_array_equal(data[1].compute(), plane[::2, ::2])


def test_a_plane_too_large_to_paint_is_refused():
    check_size("a", (16_384, 16_384))
    with pytest.raises(CellsegError, match="'a' has 100,000 x 100,000 px"):
        check_size("a", (100_000, 100_000))


def test_a_volume_is_no_image():
    layer = ViewerModel().add_image(np.zeros((2, 3, 4, 5)))
    with pytest.raises(CellsegError, match="4 axes"):
        image_from(layer)


def test_pixels_without_a_length_have_no_size():
    layer = ViewerModel().add_image(np.zeros((4, 4)), scale=(3, 3))
    assert pixel_nm_of(layer) is None
    layer = ViewerModel().add_image(np.zeros((4, 4)), scale=(0.3, 0.3), units=("um", "um"))
    assert pixel_nm_of(layer) == pytest.approx(300)


def test_links_are_found_by_role_image_and_project(tmp_path):
    viewer = ViewerModel()
    for name in "ab":
        viewer.add_labels(np.zeros((4, 4), np.uint8), metadata={KEY: Link("annotation", name, tmp_path)})
    viewer.add_image(np.zeros((4, 4)))
    assert [link_of(x).image for x in linked(viewer, "annotation")] == ["b", "a"]
    assert len(linked(viewer, "annotation", image="a", project=tmp_path)) == 1
    assert linked(viewer, "annotation", project=tmp_path / "other") == []


def test_a_duplicate_of_an_annotation_is_not_the_annotation():
    link = copy.deepcopy(Link("annotation", "a", saving=object()))
    assert (link.role, link.saving) == ("copy", None)


def test_classes_give_colours_and_names():
    viewer, classes = ViewerModel(), Classes.of("filament")
    layer = viewer.add_labels(np.array([[0, 1, 2]], np.uint8), metadata={KEY: Link("labels", "a")})
    set_classes(layer, classes)
    assert layer.get_color(0) is None
    assert layer.get_color(1)[3] == 0  # the background of a prediction would cover the image
    np.testing.assert_allclose(layer.get_color(2)[:3], [0.902, 0.624, 0], atol=0.01)
    assert "filament" in layer.get_status((0, 2), world=False)["value"]
    assert link_of(layer).classes == classes
    assert class_colors(classes).map(1)[3] == 1


def test_counts_leave_out_what_is_not_annotated():
    assert count_pixels(np.zeros((3, 3), np.uint8), Classes.of("a")) == {"background": 0, "a": 0}


def test_only_images_have_source_files(tmp_path):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 4)), metadata={KEY: Link("image", "a", path=tmp_path / "a.tif")})
    viewer.add_image(np.zeros((4, 4)))
    viewer.add_labels(np.zeros((4, 4), int), metadata={KEY: Link("labels", "a", path=tmp_path / "b.tif")})
    assert source_files(viewer) == {tmp_path / "a.tif": None}
