"""Every format, both ways, in either frame; the traps of single formats are in their own tests."""

import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import (
    READERS,
    WRITERS,
    coordinate_file,
    read_coordinates,
    write_coordinates,
    write_list,
)
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.settings import ExportSettings

SHAPE = (371, 483)  # never square: a swap of x and y must show
AS_THEY_ARE = ExportSettings(step_px=0, box_px=40)

WITH_WIDTHS = {"eman", "helicon", "svg", "csv", "geojson"}
WITH_SCORES = {"relion", "cbox", "svg", "csv", "geojson"}
WITH_NUMBERS = {"relion", "cbox", "svg", "csv", "geojson"}


def lines(**keywords) -> Coordinates:
    """Two straight filaments, the second numbered 5."""
    return Coordinates(
        (
            Filament([[30, 40], [100, 300]], 1, 12, 0.75),
            Filament([[300, 401], [200, 20]], 5, 16, 0.5),
        ),
        pixel_nm=0.11,
        shape=SHAPE,
        **keywords,
    )


def written(folder, coordinates, kind, settings=AS_THEY_ARE, name="m1"):
    return write_coordinates(
        coordinate_file(folder, name, kind), coordinates, format=kind, settings=settings, overwrite=True
    )


@pytest.mark.parametrize("micrograph", ["mics/m1.mrc", "mics/m1.tif"])
@pytest.mark.parametrize("kind", WRITERS)
def test_filaments_come_back_as_they_went(kind, micrograph, tmp_path):
    went = lines(micrograph=micrograph)
    done = written(tmp_path, went, kind)
    assert (done.filaments, done.points, done.notices) == (2, 0, ())
    back = read_coordinates(done.path, format=kind, image=micrograph, shape=SHAPE)
    assert (back.shape, back.micrograph, len(back.points)) == (SHAPE, micrograph, 0)
    for one, two in zip(went.filaments, back.filaments, strict=True):
        np.testing.assert_allclose(two.path, one.path, atol=0.51 if kind == "eman" else 2e-6)
        if kind in WITH_WIDTHS:
            assert two.width_px == one.width_px
        if kind in WITH_SCORES:
            assert two.score == pytest.approx(one.score)
        if kind in WITH_NUMBERS:
            assert two.id == one.id


@pytest.mark.parametrize("kind", sorted(set(WRITERS) - {"startend", "helicon"}))
def test_points_come_back_as_they_went(kind, tmp_path):
    went = Coordinates(points=[[30, 40], [300.25, 402.5]], scores=[0.5, 1], shape=SHAPE, micrograph="a.tif")
    back = read_coordinates(written(tmp_path, went, kind).path, image="a.tif", shape=SHAPE)
    np.testing.assert_allclose(back.points, went.points, atol=0.51 if kind == "eman" else 2e-6)
    if kind in WITH_SCORES - {"svg"}:
        np.testing.assert_allclose(back.scores, went.scores)


@given(
    ends=st.lists(
        st.tuples(st.floats(0, 370), st.floats(0, 482), st.floats(0, 370), st.floats(0, 482)).filter(
            lambda ends: abs(ends[0] - ends[2]) + abs(ends[1] - ends[3]) > 1
        ),
        max_size=4,
    ),
    points=st.lists(st.tuples(st.floats(0, 370), st.floats(0, 482)), max_size=4),
    flip=st.sampled_from(["yes", "no"]),
    kind=st.sampled_from(sorted(name for name, writer in WRITERS.items() if writer.points)),
)
def test_anything_comes_back_from_formats_that_hold_both(ends, points, flip, kind, tmp_path_factory):
    filaments = [Filament(np.reshape(pair, (2, 2)), number) for number, pair in enumerate(ends, 1)]
    went = Coordinates(tuple(filaments), np.reshape(points, (-1, 2)), shape=SHAPE)
    settings = AS_THEY_ARE.model_copy(update={"flip_y": flip})
    path = written(tmp_path_factory.mktemp("any"), went, kind, settings).path
    back = read_coordinates(path, shape=SHAPE, flip_y=flip)
    np.testing.assert_allclose(back.points, went.points, atol=2e-6)
    for one, two in zip(went.filaments, back.filaments, strict=True):
        np.testing.assert_allclose(two.path, one.path, atol=2e-6)


@pytest.mark.parametrize("kind", sorted(name for name, writer in WRITERS.items() if writer.flips))
def test_rows_of_a_tiff_are_counted_from_the_bottom(kind, tmp_path):
    path = written(tmp_path, lines(micrograph="m1.tif"), kind).path
    plain = read_coordinates(path, format=kind, flip_y="no").filaments[0].path
    np.testing.assert_allclose(plain, [[SHAPE[0] - 1 - 30, 40], [SHAPE[0] - 1 - 100, 300]], atol=2e-6)


@pytest.mark.parametrize("kind", sorted(name for name, writer in WRITERS.items() if not writer.flips))
def test_drawings_and_tables_are_in_pixels_of_the_image(kind, tmp_path):
    path = written(tmp_path, lines(micrograph="m1.tif"), kind).path
    assert read_coordinates(path).filaments[0].path[0].tolist() == [30, 40]


def test_a_flip_needs_the_height(tmp_path):
    path = written(tmp_path, lines(micrograph="m1.mrc"), "relion").path
    with pytest.raises(CellsegError, match="height of the micrograph is not known"):
        read_coordinates(path, image="m1.tif")


def test_size_and_pixel_size_are_read_from_the_micrograph(tmp_path):
    tifffile.imwrite(
        tmp_path / "m1.tif", np.zeros(SHAPE, np.uint8), resolution=(1e7 / 2, 1e7 / 2), resolutionunit=3
    )
    path = written(tmp_path, lines(micrograph="m1.tif"), "relion").path
    back = read_coordinates(path, image=tmp_path / "m1.tif")
    np.testing.assert_allclose(back.filaments[0].path, lines().filaments[0].path, atol=2e-6)
    assert back.shape == SHAPE


def test_coordinates_traced_on_a_binned_micrograph_fit_the_full_one(tmp_path):
    # bins of 4: the centre of binned pixel 0 is between full pixels 1 and 2
    settings = AS_THEY_ARE.model_copy(update={"micrograph_pixel_nm": 0.11 / 4, "flip_y": "yes"})
    path = written(tmp_path, lines(), "relion", settings).path
    full = read_coordinates(path, flip_y="no").filaments[0]
    assert full.path[0].tolist() == [4 * SHAPE[0] - 1 - (30 * 4 + 1.5), 40 * 4 + 1.5]
    table = path.read_text()
    back = read_coordinates(
        _with_pixel_size(path, table, 0.275), shape=SHAPE, pixel_nm=0.11, flip_y="yes"
    ).filaments[0]
    np.testing.assert_allclose(back.path, lines().filaments[0].path, atol=2e-6)


def _with_pixel_size(path, table, angstrom):
    optics = f"data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n1 {angstrom}\n\n"
    path.write_text(optics + table.replace("data_\n", "data_particles\n"))
    return path


def test_steps_and_lengths_are_in_pixels_of_the_micrograph_it_is_for(tmp_path):
    settings = ExportSettings(micrograph_pixel_nm=0.055)
    path = written(tmp_path, lines(), "relion", settings).path
    rows = [line.split("\t") for line in path.read_text().splitlines() if line.count("\t") > 3]
    first, second = rows[0], rows[1]
    step = np.hypot(float(second[0]) - float(first[0]), float(second[1]) - float(first[1]))
    assert step == pytest.approx(50)  # 27.5 A at 0.55 A
    assert float(second[5]) == pytest.approx(27.5)


@pytest.mark.parametrize("kind", WRITERS)
def test_nothing_found_is_a_file_too(kind, tmp_path):
    done = written(tmp_path, Coordinates(micrograph="m1.mrc"), kind)
    back = read_coordinates(done.path, format=kind)
    assert (len(back.filaments), len(back.points), done.rows) == (0, 0, 0)


@pytest.mark.parametrize("kind", WRITERS)
def test_nothing_is_overwritten_unasked(kind, tmp_path):
    target = coordinate_file(tmp_path, "m1", kind)
    target.write_text("mine")
    with pytest.raises(CellsegError, match="exists already"):
        write_coordinates(target, lines(), format=kind, settings=AS_THEY_ARE)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("kind", WRITERS)
def test_a_nan_is_refused_and_nothing_is_written(kind, tmp_path):
    with pytest.raises(CellsegError, match="not a number"):
        written(tmp_path, Coordinates((Filament([[0, 0], [0, 9]], score=np.nan),)), kind)
    with pytest.raises(CellsegError, match="scores"):
        written(tmp_path, Coordinates(points=[[0, 0]], scores=[np.nan]), kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", sorted(name for name, writer in WRITERS.items() if not writer.curves))
def test_what_a_format_cannot_hold_is_said(kind, tmp_path):
    bent = Filament([[10, 10], [60, 60], [10, 110]])
    done = written(tmp_path, Coordinates((bent,), [[5, 5]], micrograph="m 1.mrc"), kind)
    for part in ("has a space", "are curved", "loose points were left out"):
        assert any(part in notice for notice in done.notices)


def test_an_unknown_kind_of_micrograph_is_said(tmp_path):
    assert "as in an MRC" in written(tmp_path, lines(), "relion").notices[0]
    settings = AS_THEY_ARE.model_copy(update={"flip_y": "no"})
    assert written(tmp_path, lines(), "relion", settings).notices == ()


def test_filaments_numbered_twice_are_numbered_anew(tmp_path):
    twins = Coordinates((Filament([[0, 0], [0, 9]], 0), Filament([[5, 0], [5, 9]], 0)), micrograph="a.mrc")
    done = written(tmp_path, twins, "csv")
    assert "numbered anew" in done.notices[0]
    assert [one.id for one in read_coordinates(done.path).filaments] == [1, 2]


def test_what_lies_outside_the_micrograph_is_said(tmp_path):
    path = written(tmp_path, lines(micrograph="m1.mrc"), "csv").path
    assert read_coordinates(path, shape=SHAPE).notices == ()
    assert "1 filaments and points" in read_coordinates(path, shape=(371, 350)).notices[0]


@pytest.mark.parametrize(
    ("format", "settings", "needed"),
    [
        ("relion", ExportSettings(), "pixel size"),
        ("relion", ExportSettings(step_px=9), "pixel size"),
        ("cbox", ExportSettings(step_px=9), "box"),
        ("eman", ExportSettings(), "width"),
        ("csv", ExportSettings(micrograph_pixel_nm=0.1), "pixel size"),
        ("csv", ExportSettings(flip_y="yes"), "height"),
        ("pickle", ExportSettings(), "relion, startend"),
    ],
)
def test_what_is_missing_is_asked_for(format, settings, needed, tmp_path):
    bare = Coordinates((Filament([[0, 0], [0, 90]]),))
    with pytest.raises(CellsegError, match=needed):
        write_coordinates(tmp_path / "a", bare, format=format, settings=settings)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00 no text", b"hello, these are notes\nof somebody\n", b'{"a": 1}']
)
def test_no_coordinates_is_one_line(kind, content, tmp_path):
    path = tmp_path / f"a{READERS[kind].suffixes[0]}"
    path.write_bytes(content)
    with pytest.raises(CellsegError) as error:
        read_coordinates(path, format=kind)
    assert path.name in str(error.value)


def test_missing_and_strange_files_are_named(tmp_path):
    with pytest.raises(CellsegError, match="no such file"):
        read_coordinates(tmp_path / "gone.star")
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(CellsegError, match="known kind"):
        read_coordinates(tmp_path / "a.docx")


def test_a_list_leads_to_each_micrograph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = []
    for name, kind in (("data_01", "mrc"), ("m2", "mrc")):
        coordinates = lines(micrograph=f"mics/{name}.{kind}")
        target = coordinate_file(tmp_path / "picks", name, "relion")
        write_coordinates(target, coordinates, format="relion", settings=ExportSettings())
        files.append((f"mics/{name}.{kind}", target))
    listed = write_list(tmp_path / "picks/autopick.star", files)
    assert "picks/m2_autopick.star" in listed.read_text()
    assert str(tmp_path) not in listed.read_text()
    back = read_coordinates(listed, image="/elsewhere/m2.mrc")
    assert len(back.filaments) == 2
    with pytest.raises(CellsegError, match=r"2 micrographs \(mics/data_01.mrc, mics/m2.mrc\)"):
        read_coordinates(listed)
    with pytest.raises(CellsegError, match="has a space"):
        write_list(tmp_path / "other.star", [("mics/my mic.mrc", files[0][1])])


def test_an_mrc_is_not_flipped(tmp_path):
    mrcfile.write(tmp_path / "m1.mrc", np.zeros(SHAPE, np.float32), voxel_size=1.1)
    path = written(tmp_path, lines(micrograph="m1.mrc"), "relion").path
    back = read_coordinates(path, image=tmp_path / "m1.mrc")
    np.testing.assert_allclose(back.filaments[0].path, lines().filaments[0].path, atol=2e-6)
    assert back.pixel_nm == pytest.approx(0.11)
