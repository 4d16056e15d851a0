"""`segment` and `refine` without a process of their own; a network with random weights is enough."""

import numpy as np
import pytest
import tifffile
import zarr

from napari_cellseg.cli import main


def segmented(folder, out, *more: str) -> int:
    arguments = [str(folder / "one.safetensors"), str(folder / "a.tif"), "--out", str(out)]
    return main(["segment", *arguments, "--device", "cpu", "--precision", "float32", *more])


def test_views_ensemble_uncertainty_and_steps_in_one_call(folder, tmp_path, capsys):
    more = ["--ensemble", str(folder / "two.safetensors"), "--views", "4", "--uncertainty", "spread"]
    assert segmented(folder, tmp_path, *more, "--post", "remove-small:area_px=9") == 0
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    assert group["uncertainty/0"].shape == (80, 96)
    assert group["uncertainty/0"][:].any()
    assert group.attrs["napari_cellseg"]["post"] == "remove-small:area_px=9"
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a_labels.tif"), group["labels/refined/0"][:])
    assert segmented(folder, tmp_path, *more, "--post", "remove-small:area_px=9", "--resume") == 0
    assert "1 skipped" in capsys.readouterr().err


def test_refine_prints_what_it_wrote(folder, tmp_path, capsys):
    assert segmented(folder, tmp_path) == 0
    capsys.readouterr()
    assert main(["refine", str(tmp_path), "--post", "threshold:value=0.2;smooth"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "a.ome.zarr"),
        str(tmp_path / "a_labels.tif"),
    ]
    expected = zarr.open_array(tmp_path / "a.ome.zarr/labels/refined/0", mode="r")[:]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a_labels.tif"), expected)
    assert main(["refine", str(tmp_path / "a.ome.zarr"), "--post", ""]) == 0
    assert not (tmp_path / "a.ome.zarr/labels/refined").exists()


@pytest.mark.parametrize("command", ["segment", "refine"])
def test_a_wrong_step_is_told_before_anything_is_done(command, folder, tmp_path, capsys):
    post = ["--post", "smoooth"]
    if command == "segment":
        assert segmented(folder, tmp_path / "out", *post) == 2
    else:
        assert main(["refine", str(tmp_path), *post]) == 2
    assert "did you mean 'smooth'?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_spread_of_one_look_is_refused(folder, tmp_path, capsys):
    assert segmented(folder, tmp_path, "--uncertainty", "spread") == 2
    assert "--views 4" in capsys.readouterr().err


def test_refine_of_what_is_no_result(tmp_path, capsys):
    (tmp_path / "b").mkdir()
    assert main(["refine", str(tmp_path / "b"), "--post", "smooth"]) == 2
    assert "no result of napari-cellseg" in capsys.readouterr().err
    assert main(["refine", str(tmp_path / "b"), str(tmp_path / "c"), "--post", "smooth"]) == 1
