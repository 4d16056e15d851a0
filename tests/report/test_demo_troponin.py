"""Troponin of the demo: found along filaments traced in true masks, written, shown."""

import numpy as np
import pytest

from napari_cellseg.formats.coordinates import coordinate_file, read_coordinates, write_coordinates
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph, write_micrograph
from napari_cellseg.objects.filaments import trace
from napari_cellseg.objects.straighten import straighten
from napari_cellseg.report.demo_troponin import FILTERS, Troponins, find_troponins, troponin_sections

SETTINGS = SimulateSettings(shape=(640, 640), pixel_nm=0.8, filaments=7, dose=60.0, lumps=0, carbon=0.0)


def simulated(folder, seed):
    """A micrograph, its truth, and the filaments traced in its mask as CSV."""
    one = simulate_micrograph(seed, settings=SETTINGS)
    path = write_micrograph(folder / f"mic_{seed}.mrc", one)
    lines = Coordinates(tuple(trace(one.mask)), pixel_nm=one.pixel_nm, shape=one.mask.shape)
    write_coordinates(coordinate_file(folder / "filaments", path, "csv"), lines, format="csv")
    return path, one


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("troponin")
    first, second, unseen = (simulated(folder, seed) for seed in (1, 2, 3))
    result = find_troponins([first, second], unseen, folder / "filaments", folder / "out")
    return folder, unseen, result


def test_nothing_to_learn_from_is_said(tmp_path):
    one = simulated(tmp_path, 1)
    write_coordinates(
        tmp_path / "filaments/mic_1.csv", Coordinates(pixel_nm=0.8), format="csv", overwrite=True
    )
    said = find_troponins([one], one, tmp_path / "filaments", tmp_path / "out")
    assert "0 sites" in said
    (section,) = troponin_sections(said, None, one[1], 1)
    assert said in section.text[0]
    assert section.pictures == ()


def test_most_are_found_and_the_spacing_shows(made):
    _, (_, truth), result = made
    assert isinstance(result, Troponins)
    assert result.sites > 60
    assert result.scores.true == len(truth.troponins)
    assert result.scores.f1 > 0.6
    assert result.traced.true <= result.scores.true
    assert np.median(result.spacings_nm) == pytest.approx(38.5, abs=3)


def test_files_hold_what_was_found(made):
    folder, _, result = made
    out = folder / "out"
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    marked = {"marked/mic_1_troponin.csv", "marked/mic_2_troponin.csv"}
    assert names == marked | {FILTERS, "mic_3_points.csv", "mic_3_autopick.star", "summary.csv"}
    for name in ("mic_3_points.csv", "mic_3_autopick.star"):
        read = read_coordinates(out / name)
        np.testing.assert_allclose(read.points, result.found.points, atol=1e-3)
        assert read.filaments == ()
        assert len(read.scores) == len(read.points)


def test_the_page_shows_strip_scores_and_spacings(made):
    _, (_, truth), result = made
    strip = straighten(truth.image, result.found.filaments[0], 40)
    shown, spacings = troponin_sections(result, strip, truth, 2)
    assert [picture.title for picture in shown.pictures] == ["Found troponins"]
    assert len(spacings.pictures) == 2
    row = shown.tables[0].rows[0]
    assert row[1:3] == (str(result.scores.found), str(result.scores.true))
    assert row[-1] == f"{result.scores.f1:.3f}"
