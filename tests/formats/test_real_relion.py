"""RELION itself cuts what was written: every box is where it must be, every filament along x."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_cellseg.formats.coordinates import WRITERS, read_coordinates, write_coordinates
from napari_cellseg.formats.star import read_tables, star_text
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.settings import ExportSettings

SHAPE = (420, 610)
BOX = 64
STEP = 25.0  # 27.5 A at 1.1 A
CUT_BY_RELION = ("startend", "eman")

Extract = Callable[[str, str, np.ndarray, Coordinates], Path]


@pytest.fixture(scope="module", autouse=True)
def relion() -> None:
    """Skips where RELION is not installed; fails where CI=true and apt could have installed it."""
    if shutil.which("relion_preprocess"):
        return
    reason = "no RELION; `scripts/system-packages relion` installs it on Debian and Ubuntu"
    if os.environ.get("CI", "").lower() == "true" and shutil.which("apt-cache"):
        known = subprocess.run(["apt-cache", "policy", "relion"], capture_output=True, text=True, check=False)
        if "Candidate: " in known.stdout and "Candidate: (none)" not in known.stdout:
            pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def extract(tmp_path) -> Extract:
    """Write a micrograph and its coordinates, let RELION extract, return the folder of the project."""

    def run(kind: str, format: str, pixels: np.ndarray, coordinates: Coordinates) -> Path:
        project = tmp_path / str(len(list(tmp_path.iterdir())))
        (project / "mics").mkdir(parents=True)
        micrograph = f"mics/m1.{kind}"
        if kind == "mrc":
            mrcfile.write(project / micrograph, pixels, voxel_size=1.1)
        else:
            tifffile.imwrite(project / micrograph, pixels)
        suffix = WRITERS[format].ending
        given = Coordinates(coordinates.filaments, pixel_nm=0.11, shape=SHAPE, micrograph=micrograph)
        write_coordinates(
            project / f"coords/mics/m1{suffix}", given, format=format, settings=ExportSettings(box_px=BOX)
        )
        optics = {
            "rlnOpticsGroupName": ["og1"],
            "rlnOpticsGroup": [1],
            "rlnMicrographOriginalPixelSize": [1.1],
            "rlnMicrographPixelSize": [1.1],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
        }
        micrographs = {"rlnMicrographName": [micrograph], "rlnOpticsGroup": [1]}
        (project / "mics.star").write_text(
            star_text("optics", optics) + star_text("micrographs", micrographs)
        )
        command = f"relion_preprocess --i mics.star --coord_dir coords/ --coord_suffix {suffix} "
        command += "--part_star out/particles.star --part_dir out/ --extract --helix "
        command += f"--extract_size {BOX} --helical_outer_diameter 40 --helical_bimodal_angular_priors"
        if format in CUT_BY_RELION:
            command += " --helical_tubes --helical_cut_into_segments --helical_nr_asu 1 --helical_rise 27.5"
        done = subprocess.run(command.split(), cwd=project, capture_output=True, text=True, check=False)
        assert (project / "out/particles.star").is_file(), done.stdout + done.stderr
        return project

    return run


def particles(folder: Path) -> dict[str, np.ndarray]:
    table = read_tables((folder / "out/particles.star").read_text(), "particles.star")["particles"]
    wanted = ("rlnCoordinateX", "rlnCoordinateY", "rlnHelicalTubeID", "rlnHelicalTrackLengthAngst")
    return {name: np.array(table[name], float) for name in wanted}


def filaments() -> Coordinates:
    """A curved filament, and a straight one whose first segments are too close to the edge."""
    t = np.linspace(0, 1, 30)
    curved = Filament(np.stack([100 + 200 * t + 60 * np.sin(3 * t), 60 + 480 * t], -1), 1, 10, 0.8)
    return Coordinates((curved, Filament([[350, 4], [60, 560]], 2, 10)))


def lines() -> Coordinates:
    return Coordinates(
        (Filament([[60, 50], [300, 500]], 1, 10), Filament([[380, 300], [40, 380]], 2, 10)),
    )


NUMBERED = np.add.outer(np.arange(SHAPE[0]) * 1000, np.arange(SHAPE[1])).astype(np.float32)


def inside(points: np.ndarray) -> np.ndarray:
    """Which boxes lie within the micrograph."""
    return ((points >= BOX / 2) & (points <= np.array(SHAPE) - BOX / 2)).all(-1)


@pytest.mark.parametrize("kind", ["mrc", "tif"])
@pytest.mark.parametrize("format", ["relion", "helicon", "startend", "eman"])
def test_every_box_is_cut_where_it_must_be(kind, format, extract):
    truth = filaments() if format in ("relion", "helicon") else lines()
    folder = extract(kind, format, NUMBERED, truth)
    cut = particles(folder)
    (stack,) = (folder / "out").rglob("*.mrcs")
    rows, cols = np.divmod(mrcfile.read(stack)[:, BOX // 2, BOX // 2].astype(int), 1000)
    counted = SHAPE[0] - 1 - rows if kind == "tif" else rows  # RELION counts a TIFF's from the bottom
    for pixel, place in ((counted, cut["rlnCoordinateY"]), (cols, cut["rlnCoordinateX"])):
        assert np.abs(place - (pixel + 0.5)).max() <= 0.5 + 1e-5  # cut off, not rounded
    ends = 5.0 if format == "eman" else 0.0  # half a width is left out at either end
    slack = 0.71 if format == "eman" else 0.0  # whole pixels
    for filament in truth.filaments:
        expected, _ = filament.at(np.arange(ends + 0.25, filament.length_px - ends, STEP))
        expected = expected[inside(expected)]
        mine = cut["rlnHelicalTubeID"] == filament.id
        assert len(expected) == mine.sum()
        found = np.stack([rows[mine], cols[mine]], -1)
        assert np.abs(found - expected).max() <= 1 + slack  # RELION cuts off what is behind the point
    assert len(rows) == len(cut["rlnHelicalTubeID"])


def test_lengths_go_on_counting_where_segments_are_dropped(extract):
    cut = particles(extract("mrc", "relion", NUMBERED, filaments()))
    second = cut["rlnHelicalTrackLengthAngst"][cut["rlnHelicalTubeID"] == 2]
    assert second[0] >= 27.5
    np.testing.assert_allclose(np.diff(second), 27.5, atol=1e-4)


@pytest.mark.parametrize("kind", ["mrc", "tif"])
def test_every_filament_lies_along_x_after_relions_own_rotation(kind, extract):
    turns = np.radians([0, 35, -62, 158])
    centres = [(60, 200), (200, 150), (200, 330), (330, 200)]
    reach = 110
    straight = [
        Filament(centre + np.outer([-reach, reach], [-np.sin(turn), np.cos(turn)]), number, 10)
        for number, (turn, centre) in enumerate(zip(turns, centres, strict=True), 1)
    ]
    arch = Filament([[60, 570], [150, 550], [260, 500], [350, 400]], 5, 10)
    for filament in (*straight, arch):
        drawn = np.zeros(SHAPE, np.float32)
        points, _ = filament.at(np.arange(0, filament.length_px, 0.25))
        np.add.at(drawn, tuple(np.rint(points).astype(int).T), 1)
        angles = turned_angles(extract(kind, "relion", gaussian_filter(drawn, 2), Coordinates((filament,))))
        assert len(angles) >= 5
        assert np.abs(angles[1:-1]).max() < 1  # the outer boxes show one half of a filament


def turned_angles(folder: Path) -> np.ndarray:
    """Angle in degrees between x and what each box shows, after `relion_stack_create` turned it."""
    text = (folder / "out/particles.star").read_text()
    (folder / "turn.star").write_text(text.replace("_rlnAnglePsiPrior", "_rlnAnglePsi"))
    command = "relion_stack_create --i turn.star --o turned --apply_transformation"
    subprocess.run(command.split(), cwd=folder, capture_output=True, check=True)
    rows, cols = np.mgrid[:BOX, :BOX] - BOX // 2
    near = np.hypot(rows, cols) < BOX / 2 - 8
    angles = []
    for box in mrcfile.read(folder / "turned.mrcs"):
        weight = np.where(near, box, 0)
        spread = [(weight * a * b).sum() for a, b in ((cols, cols), (rows, cols), (rows, rows))]
        angles.append(np.degrees(0.5 * np.arctan2(2 * spread[1], spread[0] - spread[2])))
    return np.array(angles)


def test_what_relion_extracted_is_read_again(extract):
    folder = extract("tif", "relion", NUMBERED, lines())
    back = read_coordinates(folder / "out/particles.star", image=folder / "mics/m1.tif")
    for one, two in zip(lines().filaments, back.filaments, strict=True):
        start, end = one.ends
        offsets = two.path - start
        across = offsets @ [-(end - start)[1], (end - start)[0]] / one.length_px
        assert np.abs(across).max() < 1e-4
