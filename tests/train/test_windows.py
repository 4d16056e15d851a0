import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train import windows
from napari_cellseg.train.windows import (
    Plane,
    WindowDrawer,
    load_planes,
    validation_batches,
    validation_windows,
)

from .conftest import annotation, squares


def settings(**changes):
    return TrainSettings.checked({"window_px": 32, "depth": 3} | changes)


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


class TestLoading:
    @given(
        seed=st.integers(0, 20),
        split=st.sampled_from(["auto", "image", "window"]),
        share=st.sampled_from([0.05, 0.3, 0.7]),
        count=st.integers(2, 5),
    )
    def test_nothing_held_out_is_ever_trained_on(self, tmp_path_factory, seed, split, share, count):
        rng = np.random.default_rng(seed)
        annotations = []
        for k in range(count):
            image, labels = squares(k, (int(rng.integers(33, 90)), int(rng.integers(33, 90))))
            labels[rng.random(labels.shape) < 0.3] = 0
            annotations.append(annotation(image, labels, name=f"m{k}"))
        chosen = settings(split=split, validation=share, seed=seed)
        planes, parts = load_planes(annotations, None, chosen, tmp_path_factory.mktemp("cache"))
        for plane, source in zip(planes, annotations, strict=True):
            assert plane.train.shape == plane.validation.shape == plane.image.shape[1:] == source.labels.shape
            assert not ((plane.train > 0) & (plane.validation > 0)).any()
            np.testing.assert_array_equal(plane.train + plane.validation, source.labels)
        assert parts.train
        assert parts.validation
        assert any(plane.train.any() for plane in planes)
        assert any(plane.validation.any() for plane in planes)
        _, targets = draw(planes, count=8)
        assert (targets != IGNORED).any(axis=(1, 2)).all()

    def test_whole_images_are_held_out_where_there_are_four(self, tmp_path):
        annotations = [annotation(*squares(k), name=f"m{k}") for k in range(4)]
        planes, parts = load_planes(annotations, None, settings(), tmp_path)
        assert sum(plane.validation.any() for plane in planes) == 1
        assert not any(plane.validation.any() and plane.train.any() for plane in planes)
        assert len(parts.train) == 3
        planes, _ = load_planes(annotations[:3], None, settings(), tmp_path)
        assert all(plane.train.any() for plane in planes)

    def test_the_same_seed_splits_alike(self, tmp_path):
        annotations = [annotation(*squares(k), name=f"m{k}") for k in range(2)]
        splits = [load_planes(annotations, None, settings(seed=seed), tmp_path)[1] for seed in (1, 1, 2)]
        assert splits[0] == splits[1] != splits[2]

    def test_on_disk_as_in_memory(self, tmp_path, monkeypatch):
        annotations = [
            annotation(*squares(k, (50 + 30 * k, 40)), name=f"m{k}", pixel_nm=1.0) for k in range(2)
        ]
        inside, split = load_planes(annotations, 1.5, settings(), tmp_path)
        assert not list(tmp_path.iterdir())
        monkeypatch.setattr(windows, "MEMORY_SHARE", 0)
        outside, same_split = load_planes(annotations, 1.5, settings(), tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        assert split == same_split
        for one, two in zip(inside, outside, strict=True):
            assert isinstance(two.image, np.memmap)
            np.testing.assert_array_equal(one.image, two.image)
            np.testing.assert_array_equal(one.train, two.train)
        np.testing.assert_array_equal(draw(inside)[0], draw(outside)[0])

    def test_bands_make_no_difference(self, tmp_path, monkeypatch):
        annotations = [annotation(*squares(0, (90, 40)), pixel_nm=1.0)]
        whole, _ = load_planes(annotations, 0.7, settings(), tmp_path)
        monkeypatch.setattr(windows, "BAND_PX", 7)
        bands, _ = load_planes(annotations, 0.7, settings(), tmp_path)
        np.testing.assert_array_equal(whole[0].image, bands[0].image)

    def test_working_pixel_size(self, tmp_path):
        fine = annotation(*squares(0, (160, 200)), name="fine", pixel_nm=0.5)
        coarse = annotation(*squares(0, (80, 100)), name="coarse", pixel_nm=1.0)
        planes, _ = load_planes([fine, coarse], 1.0, settings(), tmp_path)
        assert [plane.image.shape for plane in planes] == [(1, 80, 100), (1, 80, 100)]
        both = planes[0].train + planes[0].validation
        np.testing.assert_array_equal(both, fine.labels[1::2, 1::2])
        np.testing.assert_array_equal(planes[1].train + planes[1].validation, coarse.labels)

    def test_images_are_normalised_one_by_one(self, tmp_path):
        image, labels = squares(0)
        annotations = [annotation(image, labels), annotation(1000 * image - 5000, labels, name="b")]
        planes, _ = load_planes(annotations, None, settings(), tmp_path)
        np.testing.assert_allclose(planes[0].image.astype(float), planes[1].image.astype(float), atol=0.02)
        assert abs(planes[0].image.astype(float).mean()) < 0.05

    @pytest.mark.parametrize("kind", ["constant", "nan", "wild"])
    def test_odd_images_stay_finite(self, tmp_path, kind):
        _, labels = squares(0)
        image = {
            "constant": np.full(labels.shape, 7, np.uint16),
            "nan": np.where(labels == 2, np.nan, 3.0).astype(np.float32),
            "wild": np.where(np.arange(labels.size).reshape(labels.shape) == 99, 65535, 1).astype(np.uint16),
        }[kind]
        planes, _ = load_planes([annotation(image, labels)], None, settings(), tmp_path)
        assert np.isfinite(planes[0].image).all()

    def test_an_image_smaller_than_a_window_is_mirrored(self, tmp_path):
        image, labels = squares(0, (48, 20))
        planes, _ = load_planes([annotation(image, labels)], None, settings(window_px=64), tmp_path)
        (plane,) = planes
        assert plane.image.shape == (1, 64, 64)
        np.testing.assert_array_equal(plane.image[0, :, 20:40], plane.image[0, :, :20][:, ::-1])
        assert not plane.train[48:].any()
        assert not plane.train[:, 20:].any()
        images, targets = draw(planes, count=2, window_px=64)
        assert images.shape == (2, 1, 64, 64)
        assert (targets[:, 48:] == IGNORED).all()

    def test_channels(self, tmp_path):
        image, labels = squares(0)
        three = np.stack([image, 2 * image, -image])
        planes, _ = load_planes([annotation(three, labels)], None, settings(), tmp_path)
        assert planes[0].image.shape == (3, *labels.shape)
        both = [annotation(three, labels, name="rgb"), annotation(image, labels, name="grey")]
        with pytest.raises(CellsegError, match="rgb: 3, grey: 1"):
            load_planes(both, None, settings(), tmp_path)

    def test_sparse_strokes(self, tmp_path):
        image, _ = squares(0, (200, 240))
        strokes = np.zeros(image.shape, np.uint8)
        strokes[10, 20:200], strokes[30:190, 100], strokes[150, 10:90] = 1, 2, 1
        planes, _ = load_planes([annotation(image, strokes)], None, settings(), tmp_path)
        _, targets = draw(planes, count=16)
        assert (targets != IGNORED).any(axis=(1, 2)).all()
        assert {0, 1} <= set(np.unique(targets))
        assert planes[0].validation.any()

    @pytest.mark.parametrize("shape", [(1, 1), (9, 12)])
    def test_too_small_to_hold_anything_out(self, tmp_path, shape):
        labels = np.ones(shape, np.uint8)
        with pytest.raises(CellsegError, match="none to spare for validation"):
            load_planes([annotation(labels.astype(float), labels)], None, settings(), tmp_path)

    def test_one_image_cannot_be_split_by_images(self, tmp_path):
        with pytest.raises(CellsegError, match="split by windows"):
            load_planes([annotation(*squares(0))], None, settings(split="image"), tmp_path)

    @pytest.mark.parametrize("lonely", range(4))
    def test_a_class_in_one_image_only(self, tmp_path, lonely):
        """It is trained on, or it is said that it is not."""
        annotations = []
        for k in range(4):
            image, labels = squares(k)
            annotations.append(annotation(image, labels if k == lonely else 0 * labels + 1, name=f"m{k}"))
        planes, _ = load_planes(annotations, None, settings(), tmp_path)
        assert any((plane.train == 2).any() for plane in planes)
        planes, split = load_planes(annotations, None, settings(split="image"), tmp_path)
        lost = split.validation == (f"m{lonely}",)
        assert any((plane.train == 2).any() for plane in planes) == (not lost)
        sentence = "'square' is annotated in held-out images only: it will not be learned"
        assert split.notices == ((sentence,) if lost else ())

    @pytest.mark.parametrize("annotated", [0, 3])
    def test_images_without_labels(self, tmp_path, annotated):
        annotations = []
        for k in range(4):
            image, labels = squares(k)
            annotations.append(annotation(image, labels * (k == annotated), name=f"m{k}"))
        planes, _ = load_planes(annotations, None, settings(), tmp_path)
        assert any(plane.validation.any() for plane in planes)
        with pytest.raises(CellsegError, match="one part of the split has no labels"):
            load_planes(annotations, None, settings(split="image"), tmp_path)
