import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.filament_edits import (
    Corrected,
    History,
    mean_curvature,
    nearest_filament,
    thinned,
)


def line(row, start, stop, number=1, **known):
    return Filament([[row, col] for col in np.linspace(start, stop, 10)], number, **known)


def arch(radius, number=1, width_px=None):
    angle = np.linspace(0, np.pi / 2, 60)
    return Filament(radius * np.stack([np.sin(angle), np.cos(angle)], 1), number, width_px)


def numbers(state):
    return [one.id for one in state.filaments]


def test_nothing_to_edit():
    state = Corrected()
    assert state.retraced([]).filaments == ()
    assert nearest_filament([], (0, 0), 5) is None
    for edit in (lambda: state.split(1, (0, 0)), lambda: state.without([1]), lambda: state.join(1, 2)):
        with pytest.raises(CellsegError, match="no filament 1"):
            edit()
    with pytest.raises(CellsegError, match="two"):
        state.join(1, 1)


def test_an_end_cannot_be_split_off():
    state = Corrected((line(0, 0, 90),))
    with pytest.raises(CellsegError, match="ends there"):
        state.split(1, (0, -3))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 0.95), st.booleans())
def test_joining_what_was_split_gives_the_filament_back(share, turned):
    whole = arch(200, width_px=8.0)
    cut = Corrected((whole, line(300, 0, 50, 2))).split(1, whole.at([share * whole.length_px])[0][0])
    assert numbers(cut) == [1, 3, 2]
    assert all(one.locked for one in cut.filaments[:2])
    assert sum(one.length_px for one in cut.filaments[:2]) == pytest.approx(whole.length_px, rel=1e-3)
    if turned:
        cut = Corrected((cut.filaments[0].reversed(), *cut.filaments[1:]))
    joined = cut.join(3, 1)
    assert numbers(joined) == [1, 2]
    back = joined.filament(1)
    assert back.locked
    assert back.width_px == pytest.approx(8)
    assert back.length_px == pytest.approx(whole.length_px, rel=1e-3)


def test_ends_that_overlap_are_joined_without_a_fold():
    joined = Corrected((line(0, 0, 50), line(1, 40, 90, 2))).join(1, 2).filament(1)
    assert (np.diff(joined.path[:, 1]) > 0).all()
    assert joined.ends[:, 1].tolist() == [0, 90]


def test_scores_are_joined_by_length():
    joined = Corrected((line(0, 0, 30, score=1.0), line(0, 30, 90, 2, score=0.4))).join(1, 2)
    assert joined.filament(1).score == pytest.approx(0.6)
    assert joined.filament(1).width_px is None


def test_a_new_tracing_keeps_what_was_done_by_hand():
    state = Corrected((line(0, 0, 90, 3, locked=True), line(50, 0, 90, 4), line(99, 0, 90, 7)))
    state = state.without([7])
    crossing = Filament([[-40, 20], [70, 60]], 1, 6.0)
    beside = line(9, 0, 90, 2, width_px=6.0)
    again = [line(1, 5, 60, 5, width_px=6.0), line(98, 0, 70, 6, width_px=6.0)]
    after = state.retraced([crossing, beside, *again])
    assert numbers(after) == [3, 1, 2]
    assert [one.locked for one in after.filaments] == [True, False, False]
    assert len(after.deleted) == 1


def test_pieces_of_a_split_filament_are_not_traced_over():
    whole = line(0, 0, 90, width_px=6.0)
    cut = Corrected((whole,)).split(1, (0, 20))
    assert numbers(cut.retraced([whole])) == [1, 2]
    shortened = cut.without([2])
    assert numbers(shortened.retraced([whole])) == [1]


def test_what_somebody_moved_or_drew_in_the_layer_is_locked_and_what_they_took_out_stays_out():
    state = Corrected((line(0, 0, 90, 1), line(20, 0, 90, 2), line(40, 0, 90, 3)))
    after = state.changed_by((line(0, 0, 90, 1), line(21, 0, 90, 2), line(60, 0, 90, 4)))
    assert [one.locked for one in after.filaments] == [False, True, True]
    assert [one.id for one in after.deleted] == [3]


def test_every_edit_can_be_taken_back_and_done_again():
    states = [Corrected((line(0, 0, 90), line(5, 100, 190, 2)))]
    history = History(states[0])
    assert (history.next_undo, history.undo(), history.redo()) == (None, None, None)
    edits = {
        "split": lambda now: now.split(1, (0, 40)),
        "join": lambda now: now.join(2, 3),
        "delete": lambda now: now.without([1]),
        "draw": lambda now: now.with_new(Filament([[3, 3], [9, 9]])),
        "extend": lambda now: now.with_course(2, Filament([[0, 0], [3, 300]], score=0.7)),
        "trace": lambda now: now.retraced([line(400, 0, 90)]),
    }
    for name, edit in edits.items():
        history.do(name, edit(history.now))
        states.append(history.now)
    assert (states[5].filament(2).score, states[5].filament(2).locked) == (0.7, True)
    for name, state in zip(reversed(edits), states[-2::-1], strict=True):
        assert history.next_undo == name
        assert history.undo() == name
        assert history.now is state
    for name, state in zip(edits, states[1:], strict=True):
        assert history.redo() == name
        assert history.now is state
    history.undo()
    history.do("other", states[0])
    assert history.next_redo is None


def test_a_click_finds_the_nearest_filament():
    both = line(0, 0, 90, 1), line(4, 0, 90, 2)
    assert nearest_filament(both, (0.3, 41.1), 0.5).id == 1
    assert nearest_filament(both, (2.5, 41.1), 9).id == 2
    assert nearest_filament(both, (0.6, 41.1), 0.5) is None


def test_fewer_points_keep_the_curve():
    curve = arch(150)
    few = thinned(curve, 0.2)
    assert len(few.path) < 20
    assert np.linalg.norm(few.at(np.linspace(0, few.length_px, 200))[0], axis=1) == pytest.approx(
        150, abs=0.3
    )
    zigzag = Filament([[i % 2, i] for i in range(20)])
    assert thinned(zigzag, 0.01) is zigzag


def test_curvature_is_one_over_the_radius():
    assert mean_curvature(arch(150)) == pytest.approx(1 / 150, rel=0.02)
    assert mean_curvature(Filament([[0, 0], [1, 1]])) == 0
