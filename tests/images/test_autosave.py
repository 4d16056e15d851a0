import threading
import time

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.autosave import Autosave


class Shelf:
    """Keeps planes in memory, with the time at which each was saved; fails on demand."""

    def __init__(self, failure=None, seconds=0.0):
        self.failure, self.seconds, self.saved, self.tries = failure, seconds, [], 0

    def save_labels(self, name, labels):
        self.tries += 1
        if self.failure is not None:
            raise self.failure
        time.sleep(self.seconds)
        self.saved.append((name, int(labels.max()), time.monotonic()))


def wait_for(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_nothing_changed():
    shelf = Shelf()
    autosave = Autosave(shelf)
    autosave.flush()
    autosave.close()
    autosave.close()
    assert shelf.saved == []


def test_saved_after_the_interval_and_not_before():
    shelf, plane = Shelf(), np.zeros((2, 2), int)
    autosave = Autosave(shelf, interval_seconds=0.3)
    start = time.monotonic()
    for stroke in range(1, 6):
        plane[0, 0] = stroke
        autosave.changed("mic", lambda: plane)
    assert autosave.pending == ("mic",)
    wait_for(lambda: shelf.saved)
    (name, value, when), *more = shelf.saved
    assert (name, value, more) == ("mic", 5, [])  # five strokes, one save
    assert 0.3 <= when - start < 3
    assert autosave.pending == ()
    autosave.close()


def test_changes_without_pause_are_never_further_behind():
    shelf, plane = Shelf(seconds=0.02), np.zeros((1, 1), int)
    painted = {}
    autosave = Autosave(shelf, interval_seconds=0.1)
    end, stroke = time.monotonic() + 1.2, 0
    while time.monotonic() < end:
        stroke += 1
        plane[0, 0] = stroke
        painted[stroke] = time.monotonic()
        autosave.changed("mic", lambda: plane)
        time.sleep(0.01)
    autosave.close()
    assert shelf.saved[-1][1] == stroke
    assert len(shelf.saved) > 3
    behind = [
        next(when for _, value, when in shelf.saved if value >= stroke) - at for stroke, at in painted.items()
    ]
    assert max(behind) < 3  # 0.12 s and what a busy machine adds


def test_painting_during_a_save_is_saved_again():
    shelf, planes = Shelf(seconds=0.2), iter([np.array([[1]]), np.array([[2]])])
    autosave = Autosave(shelf, interval_seconds=0.0)
    autosave.changed("mic", lambda: next(planes))
    wait_for(lambda: shelf.tries == 1)
    autosave.changed("mic", lambda: next(planes))
    wait_for(lambda: len(shelf.saved) == 2)
    assert [value for _, value, _ in shelf.saved] == [1, 2]
    autosave.close()


def test_flush_and_close_do_not_wait_for_the_interval():
    shelf = Shelf()
    autosave = Autosave(shelf, interval_seconds=60)
    start = time.monotonic()
    autosave.changed("a", lambda: np.array([[1]]))
    autosave.changed("b", lambda: np.array([[2]]))
    autosave.flush()
    assert [entry[:2] for entry in shelf.saved] == [("a", 1), ("b", 2)]
    autosave.changed("a", lambda: np.array([[3]]))
    autosave.close()
    autosave.changed("b", lambda: np.array([[4]]))  # late: saved at once
    assert [entry[:2] for entry in shelf.saved[2:]] == [("a", 3), ("b", 4)]
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("failure", [CellsegError("the disk is full"), RuntimeError("the layer is gone")])
def test_failures_are_told_once_kept_and_tried_again(failure):
    shelf, told = Shelf(failure), []
    autosave = Autosave(shelf, interval_seconds=0.02, on_error=told.append)
    autosave.changed("mic", lambda: np.array([[7]]))
    wait_for(lambda: shelf.tries > 2)
    assert told == [failure]
    assert autosave.error is failure
    assert autosave.pending == ("mic",)
    with pytest.raises(type(failure), match=str(failure)):
        autosave.flush()
    shelf.failure = None
    wait_for(lambda: shelf.saved)
    wait_for(lambda: autosave.error is None)
    assert autosave.pending == ()
    autosave.close()


def test_one_image_that_fails_does_not_hold_up_the_others():
    def gone():
        raise RuntimeError("the layer is gone")

    shelf = Shelf()
    autosave = Autosave(shelf, interval_seconds=0.02)
    autosave.changed("a", gone)
    autosave.changed("b", lambda: np.array([[1]]))
    wait_for(lambda: shelf.saved)
    assert isinstance(autosave.error, RuntimeError) or autosave.pending == ("a",)
    with pytest.raises(RuntimeError, match="the layer is gone"):
        autosave.close()


def test_close_raises_what_could_not_be_saved():
    autosave = Autosave(Shelf(CellsegError("the disk is full")), interval_seconds=60)
    autosave.changed("mic", lambda: np.array([[7]]))
    with pytest.raises(CellsegError, match="the disk is full"):
        autosave.close()
    assert autosave.pending == ("mic",)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("autosave")]
