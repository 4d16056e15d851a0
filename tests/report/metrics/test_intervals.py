import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.report.metrics import compare_scores, image_scores, pool_scores

CELL = Classes.of("cell")


def image(right: int, of: int = 100) -> dict:
    """Scores of an image of so many background pixels, so many of them right."""
    truth = np.ones((1, of), np.uint8)
    return image_scores(truth + (np.arange(of) >= right), truth, CELL, thin=())


def images(shares) -> list[dict]:
    return [image(round(100 * share)) for share in shares]


def noisy(seed: int, flipped: float) -> dict:
    rng = np.random.default_rng(seed)
    truth = np.ones((30, 40), np.uint8)
    truth[10:14] = 2
    predicted = np.where(rng.random(truth.shape) < flipped, 3 - truth, truth)
    cell = np.where(predicted == 2, 0.8, 0.3) + rng.uniform(-0.2, 0.2, truth.shape)
    return image_scores(predicted, truth, CELL, probabilities=np.stack([1 - cell, cell]))


MANY = [noisy(seed, 0.02 * seed) for seed in range(8)]


def test_no_image():
    with pytest.raises(CellsegError, match="no image was scored"):
        pool_scores([])


def test_of_one_image_there_is_no_interval():
    pooled = pool_scores(MANY[:1])
    assert pooled["interval"]["method"] is None
    assert "one image" in pooled["interval"]["note"]
    assert set(pooled["intervals"]["classes"]["cell"].values()) == {None}
    compared = compare_scores(MANY[:1], [noisy(0, 0.5)])
    assert compared["differences"]["accuracy"]["better"] is None


def test_counts_add_up():
    """A figure of all images is that of their pixels together."""
    small, large = image(5, 10), image(10, 90)
    pooled = pool_scores([small, large])
    assert pooled["accuracy"] == pytest.approx(15 / 100)
    assert (pooled["images"], pooled["pixels"]) == (2, 100)
    once = pool_scores(MANY[:1])
    assert once["classes"] == {
        name: {key: value for key, value in figures.items() if not key.startswith("tolerance")}
        for name, figures in MANY[0]["classes"].items()
    }


def test_few_images_have_the_interval_of_student():
    """Of images of one size the accuracy of all is the mean of theirs, so it must be the plain t interval."""
    shares = [0.5, 0.6, 0.55]
    pooled = pool_scores(images(shares))
    wanted = stats.t.interval(0.95, 2, np.mean(shares), stats.sem(shares))
    assert pooled["intervals"]["accuracy"] == pytest.approx(wanted)
    assert pooled["interval"]["method"] == "jackknife"
    assert "3 images are too few" in pooled["interval"]["note"]
    assert pool_scores(images([0.1, 0.9]))["intervals"]["accuracy"] == [0, 1]  # nowhere else can it be


def test_many_images_are_drawn_anew():
    """The same as scipy's bootstrap, between percentiles as much further out as documented."""
    shares = np.random.default_rng(1).uniform(0.5, 0.9, 10).round(2)
    pooled = pool_scores(images(shares), resamples=20_000)
    level = 1 - 2 * stats.norm.cdf(np.sqrt(10 / 9) * stats.t.ppf(0.025, 9))
    assert level > 0.97
    wanted = stats.bootstrap(
        (shares,), np.mean, confidence_level=level, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert pooled["intervals"]["accuracy"] == pytest.approx(tuple(wanted), abs=0.005)
    assert pooled["interval"] == {
        "level": 0.95, "method": "bootstrap", "note": None, "seed": 42, "resamples": 20_000,
    }  # fmt: skip


def test_intervals_cover_what_they_say():
    """Of images drawn with a known mean about 95 % of the intervals hold it (plain ones: 85 %)."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = pool_scores(images(rng.beta(6, 3, 6)), resamples=500)["intervals"]["accuracy"]
        hits += low <= 6 / 9 <= high
    assert hits >= 0.9 * 200


def test_seed_decides():
    assert pool_scores(MANY) == pool_scores(MANY)
    assert pool_scores(MANY, seed=1)["intervals"] != pool_scores(MANY)["intervals"]


def test_all_figures_have_intervals_around_them():
    pooled = pool_scores(MANY)
    assert json.loads(json.dumps(pooled, allow_nan=False)) == pooled
    cell, ranges = pooled["classes"]["cell"], pooled["intervals"]["classes"]["cell"]
    assert {"f1", "auroc", "average_precision", "cl_dice", "centreline_f1", "gap_rate"} <= ranges.keys()
    for key, (low, high) in ranges.items():
        assert low <= cell[key] <= high, key
    assert pooled["intervals"].keys() - {"classes"} == {
        "accuracy", "balanced_accuracy", "mean_f1", "calibration_error",
    }  # fmt: skip


def test_what_is_nowhere_defined_has_no_interval():
    for count in (3, 8):
        pooled = pool_scores([image(50)] * count)
        assert pooled["classes"]["cell"]["recall"] is None
        assert pooled["intervals"]["classes"]["cell"]["recall"] is None
        assert pooled["intervals"]["accuracy"] == [0.5, 0.5]


def test_counts_survive_a_file():
    back = json.loads(json.dumps(MANY, sort_keys=True))
    assert pool_scores(back) == pool_scores(MANY)
    assert list(pool_scores(back)["classes"]) == ["background", "cell"]


def test_images_scored_in_different_ways():
    truth = np.array([[1, 2]])
    other = image_scores(truth, truth, Classes.of("nucleus"), thin=())
    for odd in (other, noisy(0, 0.1)):
        with pytest.raises(CellsegError, match="different ways"):
            pool_scores([image(50), odd])


def test_a_small_difference_on_every_image_is_one():
    """The images differ much more from each other than the systems do."""
    shares = np.linspace(0.2, 0.9, 8)
    for count in (3, 8):
        better, worse = images(shares[:count] + 0.05), images(shares[:count])
        own = pool_scores(better)["intervals"]["accuracy"]
        assert own[0] < pool_scores(worse)["accuracy"] < own[1]  # by these they could not be told apart
        found = compare_scores(better, worse)["differences"]["accuracy"]
        assert found["difference"] == pytest.approx(0.05)
        assert found["better"] == "first"
        assert compare_scores(worse, better)["differences"]["accuracy"]["better"] == "second"


def test_two_that_cannot_be_told_apart():
    shares = np.array([0.5, 0.7, 0.6, 0.8, 0.4, 0.65, 0.75, 0.55])
    sway = np.array([1, -1] * 4) * 0.1
    for count in (2, 4, 8):
        found = compare_scores(images(shares[:count] + sway[:count]), images(shares[:count]))
        assert found["differences"]["accuracy"]["better"] is None
        low, high = found["differences"]["accuracy"]["interval"]
        assert low < 0 < high


def torn(seed: int, gap_px: int) -> dict:
    """A stripe of which so many columns are missing, and more or less sure to 0.9 of all."""
    truth = np.ones((30, 80), np.uint8)
    truth[10:14] = 2
    predicted = truth.copy()
    predicted[:, 10 + seed : 10 + 2 * seed + gap_px] = 1
    cell = np.where(predicted == 2, 0.9, 0.1)
    return image_scores(predicted, truth, CELL, probabilities=np.stack([1 - cell, cell]))


def test_which_way_is_better():
    narrow, wide = ([torn(seed, gap_px) for seed in range(8)] for gap_px in (10, 30))
    differences = compare_scores(narrow, wide)["differences"]
    cell = differences["classes"]["cell"]
    # thinning leaves 76 of the 80 columns
    assert cell["gap_rate"]["difference"] == pytest.approx(-20 / 76)
    assert cell["gap_rate"]["better"] == cell["recall"]["better"] == "first"
    # sure to 0.9 and right on 0.98 or 0.95 of the pixels: the worse labels have the fitter probabilities
    assert differences["calibration_error"]["difference"] > 0
    assert differences["calibration_error"]["better"] == "second"


def test_only_figures_of_both_are_compared():
    one = compare_scores(MANY, [image_scores_without_probabilities(scores) for scores in MANY])
    assert "auroc" not in one["differences"]["classes"]["cell"]
    assert one["differences"]["mean_f1"]["difference"] == 0


def image_scores_without_probabilities(scores: dict) -> dict:
    counts = {key: value for key, value in scores["counts"].items() if key not in ("ranking", "calibration")}
    return scores | {"counts": counts}


def test_systems_on_different_images():
    for others in (images([0.5]), [image(10, 90), image(50)], [image(50), image(10, 90)][::-1]):
        with pytest.raises(CellsegError, match="different images"):
            compare_scores([image(50), image(10, 90)], others)
    truth = np.array([[1, 2]])
    with pytest.raises(CellsegError, match="nucleus"):
        compare_scores([image(50)], [image_scores(truth, truth, Classes.of("nucleus"), thin=())])


@given(st.lists(st.integers(0, 20), min_size=2, max_size=9))
def test_a_system_is_no_better_than_itself(rights):
    scores = [image(right, 20) for right in rights]
    for key, found in compare_scores(scores, scores, resamples=50)["differences"].items():
        if key != "classes":
            assert found["better"] is None
