import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.train.rate import smoothed, suggested_rate, try_rates


def run(losses):
    """Return the trials and the rate found for a step that has these losses, one after the other."""
    left = iter(losses)
    search = try_rates(lambda rate: next(left), trials=len(losses))
    trials = []
    while True:
        try:
            trials.append(next(search))
        except StopIteration as ended:
            return trials, ended.value


def test_the_search_ends_where_the_loss_grows():
    losses = [1.0] * 20 + list(np.linspace(1, 0.2, 20)) + [50.0] * 20
    trials, rate = run(losses)
    assert len(trials) < 45
    assert trials[20].rate < rate < trials[40].rate


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_it(bad):
    trials, rate = run([1.0, 0.9, 0.5, 0.4, bad, 0.1])
    assert len(trials) == 5
    assert rate <= trials[3].rate


def test_too_little_to_go_by_gives_the_lowest():
    assert suggested_rate([1e-6, 1e-5], [1.0, float("nan")]) == 1e-6


@given(st.lists(st.floats(0, 10), min_size=3, max_size=40))
def test_the_rate_is_one_that_was_tried(losses):
    rates = np.geomspace(1e-6, 1, len(losses)).tolist()
    assert suggested_rate(rates, losses) in rates


def test_smoothing_keeps_a_constant():
    np.testing.assert_allclose(smoothed([2.0] * 5), 2.0)
