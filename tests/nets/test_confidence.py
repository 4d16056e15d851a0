import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.nets.confidence import class_thresholds, fit_temperature, labels_of, softmax


def test_no_cells_change_nothing():
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0
    assert class_thresholds(np.zeros((0, 2)), np.zeros(0, int), 0.9) == (1.0, 1.0)
    assert labels_of(np.zeros((0, 2)), ("a", "b"), (0.0, 0.0), "?") == []


@given(st.floats(0.3, 4), st.integers(0, 2**31))
def test_the_temperature_of_a_known_distortion_is_found(factor, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (4000, 3))
    truth = np.array([rng.choice(3, p=row) for row in softmax(logits[:1500])])
    found = fit_temperature(factor * logits[:1500], truth)
    assert 0.8 * factor < found < 1.25 * factor


def test_thresholds_reach_the_precision_wanted():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 4000)
    right = rng.uniform(0, 1, 4000) < sure
    probabilities = np.stack([sure, 1 - sure], 1)
    truth = np.where(right, 0, 1)
    limit, never = class_thresholds(probabilities, truth, 0.9)
    kept = sure >= limit
    assert right[kept].mean() >= 0.9
    assert 0.2 < kept.mean() < 0.6
    assert never == 1.0  # no cell was given the other class


def test_labels_below_their_threshold_are_doubtful():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.45, 0.55]])
    assert labels_of(probabilities, ("a", "b"), (0.7, 0.0), "?") == ["a", "?", "b"]
