"""Many micrographs straightened: what is refused, what fails alone, and the list of all boxes."""

import csv
import uuid
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.star import read_tables
from napari_cellseg.images.remote import Url, fetch, send
from napari_cellseg.predict.straighten import PARTICLES, StraightenFile, pair_coordinates, straighten_files
from napari_cellseg.settings import ExportSettings

BOXES = StraightenFile(boxes=True, settings=ExportSettings(box_px=16, step_px=10))


@pytest.fixture
def images(tmp_path):
    """m1.mrc and m2.mrc of 0.2 nm a pixel; picks/m1.csv with one filament, picks/m2.csv with two."""
    picks = tmp_path / "picks"
    picks.mkdir()
    paths = [tmp_path / "m1.mrc", tmp_path / "m2.mrc"]
    for number, path in enumerate(paths, start=1):
        pixels = np.random.default_rng(number).normal(size=(60, 80)).astype(np.float32)
        with mrcfile.new(path, pixels) as file:
            file.voxel_size = 2.0
        lines = [f"{one},{x},{20 * one}" for one in range(1, number + 1) for x in (15, 65)]
        (picks / f"{path.stem}.csv").write_text("\n".join(["filament,X,Y", *lines, ""]))
    return paths


def picked(images) -> list[Path]:
    return [path.parent / "picks" / f"{path.stem}.csv" for path in images]


def straightened(images, coordinates, out, **more):
    how = more.pop("how", StraightenFile(width_px=9))
    return list(straighten_files(images, coordinates, out, how=how, **more))


def rows(out):
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def written(out) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix == ".tif"}


def test_no_files_are_refused_before_anything_is_done(images, tmp_path):
    for paths, files in (([], picked(images)), (images, [])):
        with pytest.raises(CellsegError, match="at least one"):
            straightened(paths, files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_of_one_name_are_refused(images, tmp_path):
    (tmp_path / "m1.tif").touch()
    with pytest.raises(CellsegError, match="both called 'm1'"):
        straightened([*images, tmp_path / "m1.tif"], picked(images), tmp_path / "out")
    (tmp_path / "picks/m1_points.csv").touch()
    with pytest.raises(CellsegError, match="both of 'm1'"):
        straightened(images, [*picked(images), tmp_path / "picks/m1_points.csv"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("how", "there"),
    [
        (StraightenFile(width_px=9), "m2_filament007.tif"),
        (BOXES, "m1_segments.star"),
        (BOXES, "particles.star"),
    ],
)
def test_what_is_there_is_refused_before_anything_is_done(how, there, images, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / there).touch()
    with pytest.raises(CellsegError, match="--overwrite"):
        straightened(images, picked(images), out, how=how)
    assert [path.name for path in out.iterdir()] == [there]


def test_what_is_there_of_others_does_not_matter(images, tmp_path):
    out = tmp_path / "out"
    first = straightened(images[:1], picked(images)[:1], out)
    both = straightened(images[1:], picked(images), out)
    assert [record.status for record in first + both] == ["done", "done"]
    assert [Path(row["path"]).name for row in rows(out)] == ["m1.mrc", "m2.mrc"]


def test_an_unknown_scheduler_is_refused_before_anything_is_done(images, tmp_path):
    with pytest.raises(CellsegError, match="local:N"):
        straightened(images, picked(images), tmp_path / "out", scheduler="moon:3")
    assert not (tmp_path / "out").exists()


def test_what_fails_stops_no_other(images, tmp_path):
    """A broken micrograph, one without coordinates, coordinates of points, and two good ones."""
    names = ("broken", "lonely", "points")
    paths = [tmp_path / f"{name}.mrc" for name in names]
    paths[0].write_bytes(b"no image")
    for path in paths[1:]:
        path.write_bytes(images[0].read_bytes())
    (tmp_path / "picks/broken.csv").write_bytes(picked(images)[0].read_bytes())
    (tmp_path / "picks/points.csv").write_text("X,Y\n3,4\n")
    found = straightened([*paths, *images], sorted((tmp_path / "picks").iterdir()), tmp_path / "out")
    assert [record.status for record in found] == ["failed"] * 3 + ["done"] * 2
    said = {Path(row["path"]).stem: row for row in rows(tmp_path / "out")}
    assert "truncated" in said["broken"]["message"]
    assert "no coordinates of this name" in said["lonely"]["message"]
    assert "no filaments" in said["points"]["message"]
    assert [said[name]["filaments"] for name in (*names, "m1", "m2")] == ["", "", "", "1", "2"]
    assert set(written(tmp_path / "out")) == {f"m{m}_filament00{n}.tif" for m, n in ((1, 1), (2, 1), (2, 2))}


def test_filaments_without_a_width_leave_nothing_half_done(images, tmp_path):
    picked(images)[1].write_text("filament,X,Y,width_px\n1,15,20,8\n1,65,20,8\n2,15,40,\n2,65,40,\n")
    (record,) = straightened(images[1:], picked(images)[1:], tmp_path / "out", how=StraightenFile())
    assert "filament 2 without a width" in record.message
    assert not written(tmp_path / "out")


def test_rows_are_there_while_others_are_to_come(images, tmp_path):
    records = straighten_files(images, picked(images), tmp_path / "out", how=StraightenFile(width_px=9))
    next(records)
    assert [row["status"] for row in rows(tmp_path / "out")] == ["done"]
    records.close()
    assert len(written(tmp_path / "out")) == 1


def test_other_processes_write_what_this_one_would(images, tmp_path, monkeypatch):
    """Relative paths too, which workers need not understand."""
    monkeypatch.chdir(tmp_path)
    Path("bad.mrc").write_bytes(b"no image")
    Path("picks/bad.csv").write_bytes(picked(images)[0].read_bytes())
    paths = [Path(name) for name in ("bad.mrc", "m1.mrc", "m2.mrc")]
    files = [Path("picks") / f"{path.stem}.csv" for path in paths]
    straightened(paths, files, "alone", how=BOXES)
    found = straightened(paths, files, "spread", how=BOXES, scheduler="local:2")
    assert sorted(record.status for record in found) == ["done", "done", "failed"]
    assert all(record.path.is_absolute() for record in found)
    assert len(rows(tmp_path / "spread")) == 3
    for name in ("m1_segments.star", "m2_segments.star", "particles.star"):
        one, other = (Path(out, name).read_text() for out in ("alone", "spread"))
        assert one.replace("alone", "spread") == other
    for name in ("m1_segments.mrcs", "m2_segments.mrcs"):
        one, other = (mrcfile.read(Path(out, name)) for out in ("alone", "spread"))
        np.testing.assert_array_equal(one, other)


def test_the_list_of_all_boxes(images, tmp_path):
    """Sizes and pixel sizes of their own are optics groups of their own; scores only where all have some."""
    out = tmp_path / "out"
    picked(images)[0].write_text("filament,X,Y,width_px,score\n1,15,20,8,0.9\n1,65,20,8,0.9\n")
    picked(images)[1].write_text("filament,X,Y,width_px\n1,15,20,12\n1,65,20,12\n")
    how = StraightenFile(boxes=True, settings=ExportSettings(step_px=10))
    records = straightened(images, picked(images), out, how=how)
    assert [record.box_px for record in records] == [16, 24]
    tables = read_tables((out / "particles.star").read_text(), "particles.star")
    optics, particles = tables["optics"], tables["particles"]
    assert optics["rlnOpticsGroup"] == ["1", "2"]
    assert optics["rlnImageSize"] == ["16", "24"]
    assert [float(size) for size in optics["rlnImagePixelSize"]] == pytest.approx([2, 2])
    assert "rlnAutopickFigureOfMerit" not in particles
    counts = [record.count for record in records]
    assert particles["rlnOpticsGroup"] == ["1"] * counts[0] + ["2"] * counts[1]
    for number, (name, micrograph) in enumerate(
        zip(particles["rlnImageName"], particles["rlnMicrographName"], strict=True)
    ):
        index, _, stack = name.partition("@")
        with mrcfile.open(stack, header_only=True) as file:
            assert int(index) <= file.header.nz
        assert micrograph == str(images[number >= counts[0]])


def test_a_folder_that_relion_cannot_read(images, tmp_path):
    with pytest.raises(CellsegError, match="space"):
        straightened(images, picked(images), tmp_path / "my out", how=BOXES)
    assert len(straightened(images, picked(images), tmp_path / "my out")) == 2  # strips are for anybody


def star_of(names: list[str]) -> str:
    head = "\ndata_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
    lines = [f"{name} {x} 30 {tube}" for tube, name in enumerate(names, 1) for x in (15, 40, 65)]
    return head + "_rlnHelicalTubeID #4\n" + "\n".join(lines) + "\n"


def test_one_file_with_the_filaments_of_many(images, tmp_path):
    several = tmp_path / "all.star"
    several.write_text(star_of(["mics/m2.mrc", "mics/m9.mrc"]))
    files, lone = pair_coordinates(images, [several])
    assert (files, lone) == ([None, several], ["m9"])
    found = straightened(images, [several], tmp_path / "out")
    assert [(record.status, record.count) for record in found] == [("failed", 0), ("done", 1)]


def test_one_file_of_one_micrograph_is_of_no_other(images, tmp_path):
    one = tmp_path / "job.star"
    one.write_text(star_of(["mics/m2.mrc"]))
    assert pair_coordinates(images, [one]) == ([None, one], [])
    one.write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n3 4\n")
    assert pair_coordinates(images, [one]) == ([None, None], ["job.star"])
    assert pair_coordinates(images[:1], [one]) == ([one], [])  # as it was said


def test_rows_counted_from_the_bottom(images, tmp_path):
    plane = np.zeros((60, 80), np.float32)
    plane[60 - 1 - 20] = 1
    tifffile.imwrite(tmp_path / "t.tif", plane)
    (tmp_path / "t.box").write_text("15 10 20 20 -1\n45 10 20 20 -2\n")  # middles at Y = 20
    straightened([tmp_path / "t.tif"], [tmp_path / "t.box"], tmp_path / "out")
    strip = tifffile.imread(tmp_path / "out/t_filament001.tif")
    assert (strip[4] == 1).all()


@pytest.mark.parametrize("boxes", [False, True])
def test_a_store_gets_what_a_folder_would(boxes, images, tmp_path, capsys):
    store = Url(f"memory://{uuid.uuid4().hex}")
    for path in images:
        send(path, store / path.name)
    for path in picked(images):
        send(path, store / f"picks/{path.name}")
    more = ["--boxes", "--box-px", "16", "--step-px", "10"] if boxes else ["--width-px", "9"]
    out = ["--out", store / "out", *more]
    assert main(["straighten", store / "*.mrc", store / "picks", *out]) == 0
    said = capsys.readouterr().out
    straightened(
        images, picked(images), tmp_path / "near", how=BOXES if boxes else StraightenFile(width_px=9)
    )
    far, near = fetch(store / "out", tmp_path / "far"), tmp_path / "near"
    names = {path.name for path in near.iterdir()} - {PARTICLES}
    assert {path.name for path in far.iterdir()} == names
    assert set(said.splitlines()) == {store / f"out/{name}" for name in names - {"summary.csv"}}
    for name in names:
        if name.endswith((".tif", ".mrcs")):
            assert (far / name).read_bytes() == (near / name).read_bytes()
    assert main(["straighten", store / "*.mrc", store / "picks", *out]) == 2
    assert f"{store}/out/" in capsys.readouterr().err


def test_one_micrograph_of_a_store(images, tmp_path, capsys):
    store = Url(f"memory://{uuid.uuid4().hex}")
    send(images[0], store / "m1.mrc")
    send(picked(images)[0], store / "m1.csv")
    out = tmp_path / "out"
    assert main(["straighten", store / "m1.mrc", store / "m1.csv", "--out", str(out), "--width-px", "9"]) == 0
    assert [path.name for path in out.iterdir()] == ["m1_filament001.tif"]
    assert main(["straighten", store / "m1.mrc", store / "m2.csv", "--out", str(out)]) == 2
    assert f"{store}/m2.csv" in capsys.readouterr().err
