import json

import dask.array as da
import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph
from napari_cellseg.report.metrics import FIGURES, image_scores, scores_from

CLASSES = Classes.of("filament", "carbon")
TRUTH = np.ones((40, 60), np.uint8)
TRUTH[10:15, 5:55] = 2
TRUTH[25:, :20] = 3
TRUTH[:, 58:] = 0
PREDICTED = np.roll(TRUTH, 1, axis=0)
PREDICTED[PREDICTED == 0] = 1
PROBABILITIES = np.stack([np.where(index == PREDICTED, 205, 25) for index in (1, 2, 3)]).astype(np.uint8)


def test_one_pixel():
    scores = image_scores(np.array([[2]]), np.array([[2]]), Classes.of("cell"))
    assert scores["classes"]["cell"]["f1"] == scores["classes"]["cell"]["centreline_f1"] == 1
    assert scores["classes"]["cell"]["fragments_per_filament"] is None  # shorter than twice the tolerance


def test_nothing_annotated():
    with pytest.raises(CellsegError, match="nothing is annotated"):
        image_scores(TRUTH, np.zeros_like(TRUTH), CLASSES)


def test_holds_all_figures_as_json():
    scores = image_scores(PREDICTED, TRUTH, CLASSES, probabilities=PROBABILITIES, pixel_nm=0.5)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert list(scores["classes"]) == ["background", "filament", "carbon"]
    of_image = {key for key, figure in FIGURES.items() if not figure.per_class}
    assert scores.keys() - {"classes", "pixels", "counts"} == of_image
    numbers = {"pixels", "filaments", "filaments_found", "tolerance_px", "tolerance_nm"}
    assert scores["classes"]["filament"].keys() - numbers == FIGURES.keys() - of_image
    assert scores["classes"]["filament"]["tolerance_nm"] == scores["classes"]["filament"]["tolerance_px"] / 2
    assert scores["calibration_error"] == pytest.approx(abs(scores["accuracy"] - 205 / 255))


def test_pixel_figures_are_those_of_scores_from():
    scores = image_scores(PREDICTED, TRUTH, CLASSES)
    alone = scores_from(np.array(scores["counts"]["confusion"]), CLASSES)
    for name, figures in alone["classes"].items():
        assert figures.items() <= scores["classes"][name].items()
    assert {**alone, "classes": None}.items() <= {**scores, "classes": None}.items()


def test_without_probabilities_and_thin_classes():
    scores = image_scores(PREDICTED, TRUTH, CLASSES, thin=())
    assert scores["calibration_error"] is None
    assert all(figures["auroc"] is None for figures in scores["classes"].values())
    assert not any("cl_dice" in figures for figures in scores["classes"].values())
    some = image_scores(PREDICTED, TRUTH, CLASSES, thin=["filament"])["classes"]
    assert [name for name in some if "cl_dice" in some[name]] == ["filament"]


def test_lazy_planes_give_the_same():
    whole = image_scores(PREDICTED, TRUTH, CLASSES, probabilities=PROBABILITIES)
    lazy = [da.from_array(plane, chunks=17) for plane in (PREDICTED, TRUTH)]
    assert image_scores(*lazy, CLASSES, probabilities=da.from_array(PROBABILITIES, chunks=17)) == whole


def test_tolerance_in_nm():
    def line_f1(**settings):
        return image_scores(PREDICTED, TRUTH, CLASSES, **settings)["classes"]["filament"]["centreline_f1"]

    assert line_f1(tolerance_px=1) == line_f1(tolerance_nm=0.5, pixel_nm=0.5) == 1
    assert line_f1(tolerance_px=0.9) == line_f1(tolerance_nm=0.45, pixel_nm=0.5) < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance_px": 2, "tolerance_nm": 1, "pixel_nm": 1}, "one of them"),
        ({"tolerance_nm": 1}, "without a pixel size"),
        ({"tolerance_px": -1}, "-1 px"),
        ({"tolerance_px": float("nan")}, "nan px"),
        ({"thin": ["fibre"]}, "no class 'fibre' to measure; expected some of filament, carbon"),
        ({"thin": ["background"]}, "no class 'background'"),
        ({"filaments": []}, "true paths for 2 thin classes"),
        ({"probabilities": PROBABILITIES[:2]}, r"expected \(3, 40, 60\)"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(CellsegError, match=message):
        image_scores(PREDICTED, TRUTH, CLASSES, **settings)


def test_paths_of_a_simulated_micrograph():
    simulated = simulate_micrograph(
        3, settings=SimulateSettings(shape=(300, 400), pixel_nm=1.0, filaments=(3, 3))
    )
    scores = image_scores(
        simulated.mask, simulated.mask, Classes.of("filament"), filaments=simulated.filaments, pixel_nm=1.0
    )
    figures = scores["classes"]["filament"]
    assert figures["filaments"] == figures["filaments_found"] == len(simulated.filaments)
    assert (figures["fragments_per_filament"], figures["gap_rate"], figures["cl_dice"]) == (1, 0, 1)
    assert figures["centreline_f1"] > 0.98  # the axes against the middle of the mask
    assert figures["tolerance_nm"] == pytest.approx(simulated.settings.width_nm / 2, rel=0.15)
