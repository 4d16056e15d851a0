import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.nets.model import ModelSpec
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train import planes as planes_module
from napari_cellseg.train.planes import load_planes
from napari_cellseg.train.windows import WindowDrawer

from .conftest import annotation, squares


def settings(**changes):
    return TrainSettings.checked({"window_px": 32, "depth": 3} | changes)


def spec(pixel_nm=None, **changes):
    return ModelSpec("unet", "resnet18", Classes.of("square"), pixel_nm=pixel_nm, **changes)


def draw(planes, count=32, window_px=32):
    return WindowDrawer(planes, window_px, 0).draw(np.random.default_rng(0), count)


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
        planes, parts = load_planes(annotations, spec(), chosen, tmp_path_factory.mktemp("cache"))
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
        planes, parts = load_planes(annotations, spec(), settings(), tmp_path)
        assert sum(plane.validation.any() for plane in planes) == 1
        assert not any(plane.validation.any() and plane.train.any() for plane in planes)
        assert len(parts.train) == 3
        planes, _ = load_planes(annotations[:3], spec(), settings(), tmp_path)
        assert all(plane.train.any() for plane in planes)

    def test_the_same_seed_splits_alike(self, tmp_path):
        annotations = [annotation(*squares(k), name=f"m{k}") for k in range(2)]
        splits = [load_planes(annotations, spec(), settings(seed=seed), tmp_path)[1] for seed in (1, 1, 2)]
        assert splits[0] == splits[1] != splits[2]

    def test_on_disk_as_in_memory(self, tmp_path, monkeypatch):
        annotations = [
            annotation(*squares(k, (50 + 30 * k, 40)), name=f"m{k}", pixel_nm=1.0) for k in range(2)
        ]
        inside, split = load_planes(annotations, spec(1.5), settings(), tmp_path)
        assert not list(tmp_path.iterdir())
        monkeypatch.setattr(planes_module, "MEMORY_SHARE", 0)
        outside, same_split = load_planes(annotations, spec(1.5), settings(), tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        assert split == same_split
        for one, two in zip(inside, outside, strict=True):
            assert isinstance(two.image, np.memmap)
            np.testing.assert_array_equal(one.image, two.image)
            np.testing.assert_array_equal(one.train, two.train)
        np.testing.assert_array_equal(draw(inside)[0], draw(outside)[0])

    def test_bands_make_no_difference(self, tmp_path, monkeypatch):
        annotations = [annotation(*squares(0, (90, 40)), pixel_nm=1.0)]
        whole, _ = load_planes(annotations, spec(0.7), settings(), tmp_path)
        monkeypatch.setattr(planes_module, "BAND_PX", 7)
        bands, _ = load_planes(annotations, spec(0.7), settings(), tmp_path)
        np.testing.assert_array_equal(whole[0].image, bands[0].image)

    def test_working_pixel_size(self, tmp_path):
        fine = annotation(*squares(0, (160, 200)), name="fine", pixel_nm=0.5)
        coarse = annotation(*squares(0, (80, 100)), name="coarse", pixel_nm=1.0)
        planes, _ = load_planes([fine, coarse], spec(1.0), settings(), tmp_path)
        assert [plane.image.shape for plane in planes] == [(1, 80, 100), (1, 80, 100)]
        both = planes[0].train + planes[0].validation
        np.testing.assert_array_equal(both, fine.labels[1::2, 1::2])
        np.testing.assert_array_equal(planes[1].train + planes[1].validation, coarse.labels)

    def test_images_are_normalised_one_by_one(self, tmp_path):
        image, labels = squares(0)
        annotations = [annotation(image, labels), annotation(1000 * image - 5000, labels, name="b")]
        planes, _ = load_planes(annotations, spec(), settings(), tmp_path)
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
        planes, _ = load_planes([annotation(image, labels)], spec(), settings(), tmp_path)
        assert np.isfinite(planes[0].image).all()

    def test_an_image_smaller_than_a_window_is_mirrored(self, tmp_path):
        image, labels = squares(0, (48, 20))
        planes, _ = load_planes([annotation(image, labels)], spec(), settings(window_px=64), tmp_path)
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
        planes, _ = load_planes([annotation(three, labels)], spec(), settings(), tmp_path)
        assert planes[0].image.shape == (3, *labels.shape)
        both = [annotation(three, labels, name="rgb"), annotation(image, labels, name="grey")]
        with pytest.raises(CellsegError, match="rgb: 3, grey: 1"):
            load_planes(both, spec(), settings(), tmp_path)

    def test_sparse_strokes(self, tmp_path):
        image, _ = squares(0, (200, 240))
        strokes = np.zeros(image.shape, np.uint8)
        strokes[10, 20:200], strokes[30:190, 100], strokes[150, 10:90] = 1, 2, 1
        planes, _ = load_planes([annotation(image, strokes)], spec(), settings(), tmp_path)
        _, targets = draw(planes, count=16)
        assert (targets != IGNORED).any(axis=(1, 2)).all()
        assert {0, 1} <= set(np.unique(targets))
        assert planes[0].validation.any()

    @pytest.mark.parametrize("shape", [(1, 1), (9, 12)])
    def test_too_small_to_hold_anything_out(self, tmp_path, shape):
        labels = np.ones(shape, np.uint8)
        with pytest.raises(CellsegError, match="none to spare for validation"):
            load_planes([annotation(labels.astype(float), labels)], spec(), settings(), tmp_path)

    def test_one_image_cannot_be_split_by_images(self, tmp_path):
        with pytest.raises(CellsegError, match="split by windows"):
            load_planes([annotation(*squares(0))], spec(), settings(split="image"), tmp_path)

    @pytest.mark.parametrize("lonely", range(4))
    def test_a_class_in_one_image_only(self, tmp_path, lonely):
        """It is trained on, or it is said that it is not."""
        annotations = []
        for k in range(4):
            image, labels = squares(k)
            annotations.append(annotation(image, labels if k == lonely else 0 * labels + 1, name=f"m{k}"))
        planes, _ = load_planes(annotations, spec(), settings(), tmp_path)
        assert any((plane.train == 2).any() for plane in planes)
        planes, split = load_planes(annotations, spec(), settings(split="image"), tmp_path)
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
        planes, _ = load_planes(annotations, spec(), settings(), tmp_path)
        assert any(plane.validation.any() for plane in planes)
        with pytest.raises(CellsegError, match="one part of the split has no labels"):
            load_planes(annotations, spec(), settings(split="image"), tmp_path)

    def test_whole_images_become_one_window(self, tmp_path):
        annotations = [annotation(*squares(k, (64, 90)), name=f"m{k}") for k in range(4)]
        chosen = settings(prepare="resize", window_px=48)
        planes, _ = load_planes(annotations, spec(input_px=48), chosen, tmp_path)
        assert {plane.image.shape for plane in planes} == {(1, 48, 48)}
        labelled = [plane.train if plane.train.any() else plane.validation for plane in planes]
        assert all((labels > 0).all() for labels in labelled)

    def test_shrunk(self, tmp_path):
        annotations = [annotation(*squares(0, (64, 90)))]
        planes, _ = load_planes(annotations, spec(shrink=2.0), settings(), tmp_path)
        assert planes[0].image.shape == (1, 32, 45)
