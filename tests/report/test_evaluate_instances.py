import json

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.report.evaluate_instances import evaluate_instances, find_cells

TRUTH = np.kron(np.arange(1, 7).reshape(2, 3), np.pad(np.ones((8, 8), np.uint16), 2))


@pytest.fixture
def folder(tmp_path):
    """Cells as `segment` writes them, the last one missed in every image, and their truth."""
    for name in ("out", "truth"):
        (tmp_path / name).mkdir()
    for name in "ab":
        tifffile.imwrite(tmp_path / "truth" / f"{name}.tif", TRUTH)
        tifffile.imwrite(tmp_path / "out" / f"{name}_instances.tif", np.where(TRUTH == 6, 0, TRUTH))
        tifffile.imwrite(tmp_path / "out" / f"{name}_labels.tif", np.ones(TRUTH.shape, np.uint8))
    return tmp_path


def test_files_of_segment_are_paired_and_scored(folder, tmp_path, capsys):
    out = tmp_path / "scores.json"
    arguments = [str(folder / "out"), str(folder / "truth"), "--kind", "instances", "--out", str(out)]
    assert main(["evaluate", *arguments]) == 0
    scores = json.loads(out.read_text())
    assert scores["kind"] == "instances"
    assert scores["pooled"]["ap50"] == pytest.approx(5 / 6)
    assert [image["true_cells"] for image in scores["images"]] == [6, 6]
    assert "counts" not in scores["images"][0]
    said = capsys.readouterr()
    assert "12 cells in 2 images, 10 predicted" in said.out
    assert "AP at IoU 0.75" in said.out
    assert "95 % intervals" in said.err


def test_one_pair_needs_no_names(folder):
    scores = evaluate_instances([folder / "out" / "a_instances.tif"], [folder / "truth" / "b.tif"])
    assert scores.pooled["recall"] == pytest.approx(5 / 6)


def test_a_two_valued_mask_is_pointed_out(folder):
    tifffile.imwrite(folder / "truth" / "a.tif", (TRUTH > 0).astype(np.uint8) * 255)
    scores = evaluate_instances([folder / "out" / "a_instances.tif"], [folder / "truth" / "a.tif"])
    assert "numbers of single cells?" in scores.notices[0]


def test_labels_of_classes_are_no_cells(folder):
    with pytest.raises(CellsegError, match="no single cells"):
        find_cells([folder / "out" / "a_labels.tif"])
    assert find_cells([folder / "truth" / "a.tif"]) == [folder / "truth" / "a.tif"]


def test_another_size(folder):
    tifffile.imwrite(folder / "truth" / "a.tif", TRUTH[1:])
    with pytest.raises(CellsegError, match=r"a_instances\.tif and .*a\.tif"):
        evaluate_instances([folder / "out" / "a_instances.tif"], [folder / "truth" / "a.tif"])
