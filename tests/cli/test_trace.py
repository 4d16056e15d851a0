"""`trace` and `straighten` without a process of their own."""

import csv

import mrcfile
import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.formats.coordinates import read_coordinates
from napari_cellseg.formats.star import read_tables
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.simulate.strokes import paint_stroke
from napari_cellseg.predict.labels import Encode
from napari_cellseg.predict.store import begin_result
from napari_cellseg.predict.tiles import Grid

SHAPE = (240, 320)
CROSSING = (np.array([[40.0, 30.0], [200.0, 290.0]]), np.array([[205.0, 25.0], [30.0, 280.0]]))


@pytest.fixture
def folder(tmp_path):
    """m1_labels.tif with an X of two filaments, and its micrograph m1.mrc."""
    plane = np.ones(SHAPE, np.uint8)
    for path in CROSSING:
        paint_stroke(plane, path, 5, 2)
    tifffile.imwrite(tmp_path / "m1_labels.tif", plane)
    with mrcfile.new(tmp_path / "m1.mrc", (255 - 40 * plane).astype(np.float32)) as file:
        file.voxel_size = 2.0
    return tmp_path


def result(folder, ice=None):
    """Write m2.ome.zarr with probabilities of the same X, and of ice where some is given."""
    shape, classes = SHAPE, Classes.of("filament") if ice is None else Classes.of("filament", "ice")
    grid = Grid(shape, shape, 0, 1, shape)
    made = begin_result(
        folder / "m2.ome.zarr", grid, classes=classes, pixel_nm=0.2, identity={}, threshold=None
    )
    likely = np.zeros(shape, np.float32)
    for path in CROSSING:
        paint_stroke(likely, path, 5)
    likely = np.clip(likely, 0.1, 0.9).astype(np.float32)
    planes = [1 - likely, likely]
    if ice is not None:
        planes = [np.where(ice, 0.2, 1 - likely), likely * 0.7, np.where(ice, 0.8, 0)]
    made.write(
        slice(0, shape[0]), slice(0, shape[1]), Encode(len(planes))(np.stack(planes).astype(np.float32))
    )
    made.finish(folder / "m2.ome.zarr")
    return folder / "m2.ome.zarr"


def traced(*arguments) -> int:
    return main(["trace", *map(str, arguments)])


def rows(out):
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_segments_for_relion_and_the_list_of_them(folder, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = (folder / "m1_labels.tif", "--out", out, "--format", "relion", "--pixel-nm", "0.2")
    assert traced(*arguments, "--step-px", "20", "--images", folder / "m1.mrc") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(out / "m1_autopick.star"), str(out / "autopick.star")]
    found = read_coordinates(out / "m1_autopick.star", pixel_nm=0.2)
    assert len(found.filaments) == 2
    for filament in found.filaments:  # from end to end of a true one, not round the corner
        off = [min(np.abs(filament.ends - ends).max() for ends in (path, path[::-1])) for path in CROSSING]
        assert min(off) < 20  # the last segment lies within a step of the end
    (row,) = rows(out)
    assert row["status"] == "done"
    assert row["filaments"] == "2"
    assert float(row["length_nm"]) == pytest.approx(0.2 * float(row["length_px"]), abs=0.1)


def test_a_result_with_probabilities_and_its_own_pixel_size(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert traced(result(folder), "--out", out, "--format", "csv") == 0
    assert len(read_coordinates(out / "m2.csv").filaments) == 2


def test_a_class_of_ice_that_was_learned_is_avoided_without_the_micrograph(folder, tmp_path, capsys):
    ice = np.zeros(SHAPE, bool)
    ice[:, :100] = True
    path, out = result(folder, ice), tmp_path / "out"
    assert traced(path, "--out", out, "--format", "csv") == 0
    whole = read_coordinates(out / "m2.csv").filaments
    assert traced(path, "--out", out, "--format", "csv", "--avoid-contamination", "--overwrite") == 0
    clean = read_coordinates(out / "m2.csv").filaments
    assert min(one.path[:, 1].min() for one in whole) < 40
    assert min(one.path[:, 1].min() for one in clean) == pytest.approx(100, abs=2)


@pytest.mark.parametrize("format", ["startend", "eman", "helicon", "cbox", "svg", "csv"])
def test_every_format(format, folder, tmp_path, capsys):
    arguments = ("--out", tmp_path / "out", "--format", format, "--pixel-nm", "0.2")
    assert traced(folder / "m1_labels.tif", *arguments) == 0
    path = capsys.readouterr().out.splitlines()[0]
    named = format if format == "startend" else None
    assert len(read_coordinates(path, format=named, shape=SHAPE).filaments) == 2


def test_an_empty_mask_is_a_file_without_filaments(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "e_labels.tif", np.ones(SHAPE, np.uint8))
    assert traced(tmp_path / "e_labels.tif", "--out", tmp_path, "--format", "csv") == 0
    assert rows(tmp_path)[0]["filaments"] == "0"


def test_a_dark_mask_is_pointed_out(folder, tmp_path, capsys):
    plane = tifffile.imread(folder / "m1_labels.tif")
    tifffile.imwrite(tmp_path / "d.tif", np.where(plane == 2, 0, 255).astype(np.uint8))
    out = tmp_path / "out"
    assert traced(tmp_path / "d.tif", "--out", out, "--format", "csv") == 0
    assert "--polarity dark" in capsys.readouterr().err
    more = ("--format", "csv", "--polarity", "dark", "--overwrite")
    assert traced(tmp_path / "d.tif", "--out", out, *more) == 0
    assert rows(out)[0]["filaments"] == "2"


def test_one_bad_file_stops_no_other(folder, tmp_path, capsys):
    (tmp_path / "b_labels.tif").write_bytes(b"no image")
    out = tmp_path / "out"
    names = (tmp_path / "b_labels.tif", tmp_path / "c_labels.tif", folder / "m1_labels.tif")
    assert traced(*names, "--out", out, "--format", "csv") == 1
    assert [row["status"] for row in rows(out)] == ["failed", "failed", "done"]


def test_other_processes_trace_the_same(folder, tmp_path, capsys):
    (tmp_path / "b_labels.tif").write_bytes(b"no image")
    names = (folder / "m1_labels.tif", tmp_path / "b_labels.tif")
    more = ("--format", "relion", "--pixel-nm", "0.2", "--step-px", "20", "--images", folder / "m1.mrc")
    assert traced(*names, "--out", tmp_path / "alone", *more) == 1
    assert traced(*names, "--out", tmp_path / "spread", *more, "--scheduler", "local:1") == 1
    for name in ("m1_autopick.star", "autopick.star"):
        one, other = ((tmp_path / out / name).read_text() for out in ("alone", "spread"))
        assert one.replace("alone", "spread") == other
    assert sorted(row["status"] for row in rows(tmp_path / "spread")) == ["done", "failed"]


def test_nothing_is_overwritten_unasked(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert traced(folder / "m1_labels.tif", "--out", out, "--format", "csv") == 0
    before = (out / "m1.csv").read_bytes()
    again = ("--out", out, "--format", "csv", "--min-length-px", "5000")
    assert traced(folder / "m1_labels.tif", *again) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "m1.csv").read_bytes() == before
    assert traced(folder / "m1_labels.tif", *again, "--overwrite") == 0
    assert rows(out)[0]["filaments"] == "0"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--format", "morse"], "morse"),
        (["--format", "csv", "--tracer", "tarot"], "tarot"),
        (["--format", "csv", "--gap-nm", "5"], "pixel size"),
        (["--format", "csv", "--gap-px", "-5"], "greater than or equal"),
        (["--format", "csv", "--avoid-contamination"], "--images"),
    ],
)
def test_a_wrong_request_is_one_line(more, says, folder, tmp_path, capsys):
    assert traced(folder / "m1_labels.tif", "--out", tmp_path / "out", *more) == 2
    assert says in capsys.readouterr().err.replace("\n", " ")


def test_labels_and_result_of_one_image_are_refused(folder, tmp_path, capsys):
    path = result(folder).rename(folder / "m1.ome.zarr")
    assert traced(path, folder / "m1_labels.tif", "--out", tmp_path / "out", "--format", "csv") == 2
    assert "would both become" in capsys.readouterr().err


def straightened(folder, out, *more) -> int:
    coordinates = folder / "m1.csv"
    if not coordinates.exists():
        assert traced(folder / "m1_labels.tif", "--out", folder, "--format", "csv", "--pixel-nm", "0.2") == 0
    return main(["straighten", str(folder / "m1.mrc"), str(coordinates), "--out", str(out), *more])


def test_strips(folder, tmp_path, capsys):
    assert straightened(folder, tmp_path / "strips", "--width-px", "31") == 0
    strip = tifffile.imread(tmp_path / "strips/m1_filament001.tif")
    assert strip.shape[0] == 31
    assert (strip[15, 20:-20] == 255 - 80).all()  # the filament along the middle
    assert (strip[[0, -1], 20:80] == 255 - 40).all()
    assert straightened(folder, tmp_path / "strips", "--width-px", "31") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_boxes_for_relion(folder, tmp_path, capsys):
    out = tmp_path / "boxes"
    more = ["--boxes", "--box-px", "32", "--step-px", "15"]
    assert straightened(folder, out, *more) == 0
    table = read_tables((out / "m1_segments.star").read_text(), "m1")["particles"]
    with mrcfile.open(out / "m1_segments.mrcs") as file:
        assert file.data.shape == (len(table["rlnImageName"]), 32, 32)
        assert file.voxel_size.x == pytest.approx(2.0)
        assert (file.data[:, 16, 16] == 255 - 80).all()  # every centre lies on a filament
    assert set(table["rlnHelicalTubeID"]) == {"1", "2"}
    assert table["rlnImageName"][0] == "000001@m1_segments.mrcs"


def test_nothing_to_straighten(folder, tmp_path, capsys):
    (folder / "m1.csv").write_text("X,Y\n3,4\n")
    assert straightened(folder, tmp_path / "strips") == 2
    assert "no filaments" in capsys.readouterr().err


@pytest.fixture
def several(folder):
    """Two traced micrographs, one without coordinates, and coordinates of none."""
    (folder / "mics").mkdir()
    (folder / "picks").mkdir()
    assert straightened(folder, folder / "first", "--width-px", "31") == 0
    for name in ("a1", "a2", "lonely"):
        (folder / "mics" / f"{name}.mrc").write_bytes((folder / "m1.mrc").read_bytes())
    for name in ("a1", "a2", "stray"):
        (folder / "picks" / f"{name}.csv").write_bytes((folder / "m1.csv").read_bytes())
    return folder


def test_many_micrographs(several, capsys):
    out = several / "strips"
    capsys.readouterr()
    arguments = ["straighten", str(several / "mics"), str(several / "picks"), "--out", str(out)]
    assert main([*arguments, "--width-px", "31"]) == 1
    said = capsys.readouterr()
    assert "no micrograph of stray.csv" in said.err
    assert "lonely.mrc: no coordinates of this name" in said.err
    strips = sorted(path.name for path in out.glob("*.tif"))
    assert strips == [f"a{n}_filament00{m}.tif" for n in (1, 2) for m in (1, 2)]
    assert said.out.split() == [str(out / name) for name in strips]
    with (out / "summary.csv").open(newline="") as file:
        rows = {row["path"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    assert [rows[f"{name}.mrc"]["filaments"] for name in ("a1", "a2", "lonely")] == ["2", "2", ""]
    assert main([*arguments, "--width-px", "31"]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_boxes_of_many_micrographs(several, capsys):
    out = several / "boxes"
    pattern = str(several / "mics" / "a*.mrc")
    more = ["--boxes", "--box-px", "32", "--step-px", "15"]
    assert main(["straighten", pattern, str(several / "picks"), "--out", str(out), *more]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "particles.star")
    tables = [read_tables((out / f"a{n}_segments.star").read_text(), "a") for n in (1, 2)]
    joint = read_tables((out / "particles.star").read_text(), "particles")["particles"]
    assert len(joint["rlnImageName"]) == sum(len(table["particles"]["rlnImageName"]) for table in tables)
