import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.settings import TrainSettings
from napari_cellseg.train import schedule
from napari_cellseg.train.schedule import SCHEDULES, WARM_UP, Clock


def test_every_choice_of_the_settings_is_there():
    assert set(SCHEDULES) == set(TrainSettings.model_fields["schedule"].annotation.__args__)


@pytest.mark.parametrize("name", SCHEDULES)
@given(course=st.floats(0, 1))
def test_a_share_of_the_highest_rate(name, course):
    assert 0 <= SCHEDULES[name](course) <= 1


def test_one_cycle_rises_and_falls_without_a_jump():
    rates = [SCHEDULES["one-cycle"](k / 1000) for k in range(1001)]
    top = rates.index(max(rates))
    assert top == WARM_UP * 1000
    assert rates[top] == 1
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(abs(a - b) for a, b in itertools.pairwise(rates)) < 0.01


def test_cosine_falls_from_1_to_0():
    rates = [SCHEDULES["cosine"](k / 100) for k in range(101)]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[50], rates[100]) == pytest.approx((1, 0.5, 0))


class TestClock:
    @pytest.fixture
    def tick(self, monkeypatch):
        """Return a function that sets the time."""
        now = [100.0]
        monkeypatch.setattr(schedule.time, "monotonic", lambda: now[0])
        return lambda seconds: now.__setitem__(0, 100.0 + seconds)

    def clock(self, before=0.0, **settings):
        # the default of the field was bound before the test replaced the function
        return Clock(TrainSettings(**settings), before, schedule.time.monotonic())

    def test_without_a_limit(self, tick):
        clock = self.clock(epochs=10)
        tick(1e6)
        assert clock.left == math.inf
        assert [clock.epochs_left(done) for done in (0, 4, 10)] == [10, 6, 0]

    def test_times_before_a_resume_count(self, tick):
        clock = self.clock(before=50.0, minutes=2.0)
        tick(10)
        assert clock.seconds == 60
        assert clock.left == pytest.approx(schedule.TIME_KEPT * 120 - 60)

    def test_as_many_epochs_as_fit(self, tick):
        clock = self.clock(epochs=100, minutes=1.0)  # 57 s of it are used
        assert clock.epochs_left(0) == 100
        tick(10)
        assert clock.epochs_left(1) == 4
        tick(20)
        assert clock.epochs_left(2) == 3
        tick(56)
        assert clock.epochs_left(5) == 0
        tick(600)
        assert clock.epochs_left(5) == 0

    def test_no_more_than_planned(self, tick):
        clock = self.clock(epochs=3, minutes=100.0)
        tick(1)
        assert clock.epochs_left(2) == 1
        assert clock.epochs_left(3) == 0
