import imageio.v3 as iio
import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.annotation.mask_file import SIDES, ask_mask, mask_labels


@pytest.fixture
def annotation(make_napari_viewer_proxy, project):
    from napari_cellseg.gui.opening import open_image

    return open_image(make_napari_viewer_proxy(), project, "bar_1")


@pytest.fixture
def mask(tmp_path):
    """A file with a dark bar, a small part of the area."""
    plane = np.full((64, 80), 255, np.uint8)
    plane[24:40] = 0
    path = tmp_path / "bar_1_mask.png"
    iio.imwrite(path, plane)
    return path


@pytest.mark.parametrize(("polarity", "bar", "rest"), [("dark", 2, 1), ("bright", 1, 2)])
def test_either_side_can_be_the_class(annotation, mask, polarity, bar, rest):
    labels = mask_labels(annotation, mask, polarity)
    assert (labels[24:40] == bar).all()
    assert (labels[:24] == rest).all()


def test_a_mask_of_another_size_is_refused(annotation, tmp_path):
    iio.imwrite(tmp_path / "m.png", np.zeros((32, 40), np.uint8))
    with pytest.raises(CellsegError, match=r"32 x 40 px; expected 64 x 80 px"):
        mask_labels(annotation, tmp_path / "m.png", "dark")


def test_a_mask_of_more_classes_than_the_project_is_refused(annotation, tmp_path):
    iio.imwrite(tmp_path / "m.png", np.arange(64 * 80, dtype=np.uint8).reshape(64, 80) % 5)
    with pytest.raises(CellsegError, match=r"4 classes; expected at most 2"):
        mask_labels(annotation, tmp_path / "m.png", "labels")


@pytest.mark.parametrize("agreed", [True, False])
def test_the_suggestion_is_shown_and_needs_a_yes(qtbot, annotation, mask, monkeypatch, agreed):
    shown = []

    def ask(parent, title, question, names, likely, editable):
        shown.append((question, names[likely]))
        return names[likely], agreed

    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args: (str(mask), ""))
    monkeypatch.setattr(QInputDialog, "getItem", ask)
    parent = QWidget()
    qtbot.addWidget(parent)
    labels = ask_mask(parent, annotation)
    assert "darker side fills only 25.0% of the area" in shown[0][0]
    assert shown[0][1] == SIDES["dark"]
    if agreed:
        assert (labels[24:40] == 2).all()
    else:
        assert labels is None


@pytest.mark.parametrize("agreed", [True, False])
def test_points_become_discs_of_the_first_class(qtbot, annotation, tmp_path, monkeypatch, agreed):
    path = tmp_path / "bar_1_troponin.csv"
    path.write_text("X,Y\n30,20\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args: (str(path), ""))
    monkeypatch.setattr(QInputDialog, "getDouble", lambda *args: (1.0, agreed))
    parent = QWidget()
    qtbot.addWidget(parent)
    labels = ask_mask(parent, annotation)
    if not agreed:
        assert labels is None
        return
    assert (labels.shape, labels[20, 30], labels[0, 0]) == ((64, 80), 2, 1)
