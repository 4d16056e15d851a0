"""Runs of a FlowCam."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import LeftOut, read_crops, read_each


@pytest.mark.parametrize("colour", [True, False])
def test_images_are_cut_from_collages(tmp_path, flowcam_run, colour):
    collage = flowcam_run(tmp_path, "run a", [(5, 5, 7, 4), (30, 10, 8, 12), (0, 0, 0, 3)], colour=colour)
    crops = read_crops(tmp_path)
    assert (crops.ids.tolist(), crops.samples.tolist()) == (["run a_1", "run a_2"], ["run a"] * 2)
    assert [one.id for one in crops.left_out] == ["run a_3"]
    expected = np.moveaxis(np.atleast_3d(collage), -1, 0)[:, 10:22, 30:38]
    np.testing.assert_array_equal(crops.read(1), expected)
    assert crops.source.mask(0).tolist() == [[True] * 4 + [False] * 3] * 4
    assert len(read_crops(tmp_path / "run a.lst")) == 2


def test_two_runs_of_one_name(tmp_path, flowcam_run):
    for folder in ("x", "y"):
        flowcam_run(tmp_path / folder, "run", [(1, 1, 3, 3)])
    assert read_crops(tmp_path).ids.tolist() == ["x/run_1", "y/run_1"]


def test_without_masks_and_outside_the_collage(tmp_path, flowcam_run):
    flowcam_run(tmp_path, "run", [(1, 1, 3, 3), (50, 30, 20, 20)])
    (tmp_path / "run_000001_bin.tif").unlink()
    crops = read_crops(tmp_path)
    assert crops.source.mask(0) is None
    bad = [one for one in read_each(crops) if isinstance(one, LeftOut)]
    assert [one.id for one in bad] == ["run_2"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num-fields|7", "fields", "a kind not known here"),
        ("image_w|int32", "width|int32", "no field 'image_w'"),
        ("|1|1|3|3|", "|1|1|x|3|", "line 10 does not say"),
    ],
)
def test_refused(tmp_path, flowcam_run, old, new, said):
    flowcam_run(tmp_path, "run", [(1, 1, 3, 3)])
    table = tmp_path / "run.lst"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(CellsegError, match=said):
        read_crops(tmp_path)


def test_no_images_and_no_table(tmp_path, flowcam_run):
    flowcam_run(tmp_path, "run", [])
    with pytest.raises(CellsegError, match="no images in it"):
        read_crops(tmp_path)
    (tmp_path / "run.lst").write_text("")
    with pytest.raises(CellsegError, match="a kind not known here"):
        read_crops(tmp_path)
