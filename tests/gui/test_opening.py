import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.layers import link_of, linked
from napari_cellseg.gui.opening import close_image, close_others, open_image
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.project import Project


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that takes no labels until it is emptied."""
    disk = {"full": True}
    save = Project.save_labels

    def save_labels(project, name, labels, **options):
        if disk["full"]:
            raise CellsegError(f"{name}: the disk is full")
        save(project, name, labels, **options)

    monkeypatch.setattr(Project, "save_labels", save_labels)
    return disk


def painted(viewer, project, name="bar_1"):
    layer = open_image(viewer, project, name)
    layer.paint((30, 30), 2)
    return layer


def test_the_next_image_waits_until_the_former_one_is_saved(viewer, project, full_disk):
    layer = painted(viewer, project)
    names = [other.name for other in viewer.layers]
    with pytest.raises(CellsegError, match="the disk is full"):
        open_image(viewer, project, "bar_2", alone=True)
    assert [other.name for other in viewer.layers] == names
    assert layer.data.any()
    full_disk["full"] = False
    open_image(viewer, project, "bar_2", alone=True)
    assert project.labels("bar_1").any()


def test_a_layer_that_cannot_be_saved_comes_back(qtbot, viewer, project, full_disk):
    layer = painted(viewer, project)
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: layer in viewer.layers)
    layer.paint((10, 10), 2)
    full_disk["full"] = False
    viewer.layers.remove(layer)
    assert layer not in viewer.layers
    saved = project.labels("bar_1")
    assert saved[30, 30] == saved[10, 10] == 2


def test_an_error_while_saving_is_told_outside_the_dock_too(qtbot, viewer, project, full_disk, monkeypatch):
    told = []
    monkeypatch.setattr("napari_cellseg.gui.opening.show_error", told.append)
    painted(viewer, project)
    qtbot.waitUntil(lambda: bool(told), timeout=30_000)
    assert told == ["NOT SAVED: bar_1: the disk is full"]
    full_disk["full"] = False


def test_two_images_are_never_open_at_once(viewer, project):
    open_image(viewer, project, "bar_1", alone=True)
    most = []
    viewer.layers.events.inserted.connect(lambda event: most.append(len(viewer.layers)))
    open_image(viewer, project, "bar_2", alone=True)
    assert most == [1, 2]


def test_a_missing_image_says_what_to_do_and_closes_nothing(viewer, project, images):
    open_image(viewer, project, "bar_1")
    images[1].unlink()
    with pytest.raises(CellsegError, match=r"'bar_2' is missing.*right-click"):
        open_image(viewer, project, "bar_2", alone=True)
    assert linked(viewer, "annotation", image="bar_1")


def test_an_image_of_another_size_than_it_was_is_refused(viewer, project, images):
    tifffile.imwrite(images[0], np.zeros((32, 40), np.uint16))
    with pytest.raises(CellsegError, match=r"32 x 40 px.*expected 64 x 80 px"):
        open_image(viewer, project, "bar_1")
    assert not len(viewer.layers)


def test_a_plane_opens_after_channels(viewer, tmp_path):
    project = Project.create(tmp_path / "mixed", Classes.of("bar"))
    for name, shape in (("stack", (2, 30, 40)), ("plane", (30, 40))):
        path = tmp_path / f"{name}.ome.tif"
        tifffile.imwrite(path, np.zeros(shape, np.uint8), metadata={"axes": "CYX"[-len(shape) :]})
        project.add_image(path)
    for name in ("stack", "plane", "stack"):
        open_image(viewer, project, name, alone=True)
    open_image(viewer, project, "plane")
    assert len(linked(viewer, "annotation")) == 2


def test_an_annotation_of_many_classes_keeps_its_numbers(project):
    labels = project.labels("bar_1")
    labels[0, 0] = 300
    project.save_labels("bar_1", labels)
    assert open_image(ViewerModel(), project, "bar_1").data[0, 0] == 300


def test_closing_one_image_leaves_the_others_and_what_is_not_ours(viewer, project):
    viewer.add_image(np.zeros((4, 4)), name="a stranger")
    for name in ("bar_1", "bar_2"):
        open_image(viewer, project, name)
    close_image(viewer, project, "bar_1")
    assert [layer.name for layer in viewer.layers] == ["a stranger", "bar_2", "bar_2 annotation"]
    close_others(viewer, project, "none")
    assert [layer.name for layer in viewer.layers] == ["a stranger"]


def test_a_layer_of_the_same_file_is_used_as_it_is(viewer, project, images):
    from napari_cellseg.gui.hooks import read_layers

    data, keywords, _ = read_layers(str(images[0]))[0]
    layer = viewer.add_image(data, **keywords, translate=(3, 4))
    annotation = open_image(viewer, project, "bar_1", alone=True)
    assert link_of(layer).project == project.path
    np.testing.assert_array_equal(annotation.translate, (3, 4))
