import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.train import windows
from napari_cellseg.train.planes import Plane
from napari_cellseg.train.windows import (
    WholeDrawer,
    WindowDrawer,
    ahead,
    validation_batches,
    validation_windows,
)


def numbered(labels, validation=None, name="a"):
    """Return a plane whose image tells the number of each pixel modulo 2048, which float16 holds."""
    image = (np.arange(labels.size).reshape(1, *labels.shape) % 2048).astype(np.float16)
    return Plane(name, image, labels, np.zeros_like(labels) if validation is None else validation)


def draw(planes, count=32, window_px=32, seed=0):
    return WindowDrawer(planes, window_px, 0).draw(np.random.default_rng(seed), count)


class TestDrawing:
    def test_windows_are_where_labels_are(self):
        labels = np.zeros((300, 400), np.uint8)
        labels[100:103, 350:353] = 1
        labels[280, 5:9] = 2
        images, targets = draw([numbered(labels)])
        assert images.shape == (32, 1, 32, 32)
        assert images.dtype == np.float32
        assert targets.dtype == np.int64
        assert (targets != IGNORED).any(axis=(1, 2)).all()
        assert set(np.unique(targets)) == {IGNORED, 0, 1}

    def test_image_and_targets_are_of_the_same_place(self):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 4, (70, 90)).astype(np.uint8)
        plane = Plane("a", labels[None].astype(np.float16), labels, np.zeros_like(labels))
        images, targets = draw([plane])
        np.testing.assert_array_equal(images[:, 0], targets - IGNORED)

    def test_both_classes_are_seen_though_one_is_rare(self):
        labels = np.ones((512, 512), np.uint8)
        labels[200, 200] = 2
        _, targets = draw([numbered(labels)], count=64)
        share = (targets == 1).any(axis=(1, 2)).mean()
        assert 0.15 < share < 0.4  # a quarter: half of the windows, by one of two classes

    def test_images_are_drawn_by_what_is_annotated_in_them(self):
        many, few, none = (np.zeros((64, 64), np.uint8) for _ in range(3))
        many[:, :] = 1
        few[:8, :8] = 1
        planes = [
            Plane(str(k), np.full((1, 64, 64), k, np.float16), a, 0 * a)
            for k, a in enumerate((many, few, none))
        ]
        images, _ = draw(planes, count=200)
        found = np.bincount(images[:, 0, 0, 0].astype(int), minlength=3)
        assert found[2] == 0
        assert 0 < found[1] < found[0]

    def test_the_generator_decides_everything(self):
        plane = numbered(np.ones((80, 80), np.uint8))
        one, two, other = (draw([plane], seed=seed)[0] for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, two)
        assert (one != other).any()

    def test_where_there_are_more_pixels_than_places_to_keep(self, monkeypatch):
        monkeypatch.setattr(windows, "ANCHORS", 50)
        labels = np.ones((128, 128), np.uint8)
        labels[:4] = 2
        _, targets = draw([numbered(labels), numbered(labels, name="b")], count=64)
        assert {0, 1} <= set(np.unique(targets))

    def test_a_plane_of_one_window(self):
        images, _ = draw([numbered(np.ones((32, 32), np.uint8))], count=3)
        np.testing.assert_array_equal(images[0], np.arange(1024).reshape(1, 32, 32))

    def test_nothing_to_train_on(self):
        with pytest.raises(CellsegError, match="no labels left to train on"):
            WindowDrawer([numbered(np.zeros((32, 32), np.uint8))], 32, 0)

    def test_the_middle_of_a_window_with_margin_is_the_window(self):
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 4, (70, 90)).astype(np.uint8)
        plane = Plane("a", labels[None].astype(np.float16), labels, np.zeros_like(labels))
        bare = WindowDrawer([plane], 32, 0).draw(np.random.default_rng(0), 16)
        wide = WindowDrawer([plane], 32, 0, 40).draw(np.random.default_rng(0), 16)
        assert wide[0].shape == (16, 1, 112, 112)
        middle = np.s_[..., 40:72, 40:72]
        np.testing.assert_array_equal(wide[0][middle], bare[0])
        np.testing.assert_array_equal(wide[1][middle], bare[1])
        known = wide[1] != IGNORED
        np.testing.assert_array_equal(wide[0][:, 0][known], (wide[1] - IGNORED)[known])


class TestWholes:
    def planes(self, count):
        labels = np.ones((32, 32), np.uint8)
        images = [np.full((1, 32, 32), k, np.float16) for k in range(count)]
        return [Plane(str(k), image, labels.copy(), 0 * labels) for k, image in enumerate(images)]

    @given(count=st.integers(1, 7), batch=st.integers(1, 5))
    def test_all_are_seen_before_one_comes_again(self, count, batch):
        drawer = WholeDrawer(self.planes(count))
        steps = drawer.steps_for_all(batch)
        batches = list(drawer.batches(np.random.default_rng(0), batch, steps))
        seen = [int(image[0, 0, 0]) for images, _ in batches for image in images]
        assert len(batches) == steps
        assert sorted(seen[:count]) == list(range(count))
        assert len(seen) - count < batch

    def test_planes_without_labels_to_learn_from_are_not_drawn(self):
        planes = self.planes(3)
        planes[1].train[...] = 0
        images, _ = next(WholeDrawer(planes).batches(np.random.default_rng(0), 8, 1))
        assert set(np.unique(images)) == {0, 2}
        planes[0].train[...] = planes[2].train[...] = 0
        with pytest.raises(CellsegError, match="no labels left"):
            WholeDrawer(planes)

    def test_windows_for_all_go_by_the_annotated_pixels(self):
        labels = np.zeros((64, 64), np.uint8)
        labels[:32] = 1
        assert WindowDrawer([numbered(labels)], 32, 0).steps_for_all(1) == 2


class TestValidation:
    @given(
        shape=st.tuples(st.integers(16, 70), st.integers(16, 70)),
        batch=st.integers(1, 5),
        share=st.sampled_from([0.02, 0.5, 1.0]),
        seed=st.integers(0, 9),
    )
    def test_each_pixel_once(self, shape, batch, share, seed):
        rng = np.random.default_rng(seed)
        held = np.where(rng.random(shape) < share, rng.integers(1, 4, shape), 0).astype(np.uint8)
        held[0, 0] = 1
        plane = numbered(np.zeros_like(held), held)
        places = validation_windows([plane], 16, 10**6)
        found = np.zeros(held.size, int)
        labels = np.zeros(held.size, int)
        for images, targets in validation_batches([plane], places, 16, batch):
            assert images.shape[1:] == (1, 16, 16)
            assert len(images) == len(targets) <= batch
            known = targets != IGNORED
            # the numbers wrap at 2048; two windows of one batch tell where they are by place
            numbers = images[:, 0][known].astype(int)
            for number, target in zip(numbers, targets[known], strict=True):
                spots = [
                    n for n in range(number, held.size, 2048) if held.flat[n] == target + 1 and not found[n]
                ]
                assert spots
                found[spots[0]] += 1
                labels[spots[0]] = target + 1
        np.testing.assert_array_equal(labels.reshape(shape), held)
        assert found.sum() == np.count_nonzero(held)

    def test_the_limit_spreads_them_evenly(self):
        plane = numbered(np.zeros((160, 160), np.uint8), np.ones((160, 160), np.uint8))
        whole = validation_windows([plane], 16, 1000)
        assert len(whole) == 100
        few = validation_windows([plane, plane], 16, 8)
        assert len(few) == 8
        assert {place[0] for place in few} == {0, 1}
        assert set(few) <= {(i, row, col) for i in (0, 1) for _, row, col in whole}
        assert validation_windows([plane], 16, 1) == [(0, 0, 0)]

    def test_none_where_nothing_is_held_out(self):
        empty = numbered(np.ones((32, 32), np.uint8))
        assert validation_windows([empty], 16, 8) == []
        assert list(validation_batches([empty], [], 16, 2)) == []


def test_windows_drawn_ahead_are_the_same_and_errors_arrive():
    def some():
        yield 1
        yield 2
        raise CellsegError("no more")

    drawn = ahead(some())
    assert [next(drawn), next(drawn)] == [1, 2]
    with pytest.raises(CellsegError, match="no more"):
        next(drawn)
    assert list(ahead(iter([]))) == []


def test_whoever_leaves_ends_the_thread():
    drawn = ahead(iter(range(9)))
    next(drawn)
    drawn.close()
    assert not any("cellseg-windows" in thread.name for thread in threading.enumerate())
