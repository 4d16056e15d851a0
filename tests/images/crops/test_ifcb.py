"""Bins of an Imaging FlowCytobot."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import LeftOut, read_crops, read_each

BIN = "D20220519T124533_IFCB134"


def test_images_in_order_and_triggers_without(tmp_path, ifcb_bin):
    adc = ifcb_bin(tmp_path, BIN, [(4, 7), (0, 0), (3, 5)])
    for path in (tmp_path, adc, adc.with_suffix(".roi"), adc.with_suffix(".hdr")):
        crops = read_crops(path)
        assert crops.ids.tolist() == [f"{BIN}_00001", f"{BIN}_00003"]
        assert crops.samples.tolist() == [BIN] * 2
        assert [crops.read(k).shape for k in range(2)] == [(1, 4, 7), (1, 3, 5)]
        assert crops.read(1).max() == 3
        assert [one.id for one in crops.left_out] == [f"{BIN}_00002"]


@pytest.mark.parametrize("sizes", [[], [(0, 0), (0, 0)]])
def test_a_bin_without_images(tmp_path, ifcb_bin, sizes):
    ifcb_bin(tmp_path, BIN, sizes)
    with pytest.raises(CellsegError, match="no images in it"):
        read_crops(tmp_path)
    ifcb_bin(tmp_path / "more", BIN.replace("134", "135"), [(3, 4)])
    crops = read_crops(tmp_path)
    assert len(crops) == 1
    assert f"{BIN}: no images in this bin" in crops.notices


def test_without_a_header(tmp_path, ifcb_bin):
    ifcb_bin(tmp_path / "new", BIN, [(4, 7)], header=False)
    assert read_crops(tmp_path / "new").read(0).shape == (1, 4, 7)
    ifcb_bin(tmp_path / "old", "IFCB1_2010_309_192918", [(4, 7)], header=False)
    with pytest.raises(CellsegError, match="older kind"):
        read_crops(tmp_path / "old")


def test_incomplete_and_damaged(tmp_path, ifcb_bin):
    adc = ifcb_bin(tmp_path, BIN, [(4, 7), (9, 9)])
    roi = adc.with_suffix(".roi")
    roi.write_bytes(roi.read_bytes()[:40])
    whole, cut = read_each(read_crops(adc))
    assert whole.shape == (1, 4, 7)
    assert isinstance(cut, LeftOut)
    assert "cut off" in cut.reason
    roi.unlink()
    with pytest.raises(CellsegError, match=r"\.roi: no such file"):
        read_crops(adc)
    adc.write_text("1,2,3\n")
    with pytest.raises(CellsegError, match="row 1 does not say"):
        read_crops(adc)
    adc.unlink()
    with pytest.raises(CellsegError, match=r"\.adc: no such file"):
        read_crops(adc.with_suffix(".hdr"))


def test_a_real_bin(data_folder):
    crops = read_crops(data_folder / "ifcb-bin")
    assert (len(crops), len(crops.left_out)) == (17, 1)
    assert crops.left_out[0].id.endswith("_00015")
    assert [crops.read(k).shape for k in range(2)] == [(1, 122, 176), (1, 106, 160)]
    # a cell is darker than the bright field around it
    for pixels in read_each(crops):
        assert np.median(pixels[0, :, :3]) > pixels.min() + 40
