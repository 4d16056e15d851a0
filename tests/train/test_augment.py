import pytest
import torch

from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train.augment import augment, margin_px

OFF = {"flips": False, "rotation_degrees": 0.0, "scale": 0.0, "intensity": 0.0, "noise": 0.0}


def windows(n=4, c=1, side=32, outputs=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(IGNORED, outputs, (n, side, side), generator=generator)
    return torch.randn((n, c, side, side), generator=generator), targets


def blobs(n=4, side=32):
    """Return smooth targets, so that a turn hardly changes what is next to what."""
    row, col = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    plane = ((row - side // 3) ** 2 + (col - side // 2) ** 2 < (side // 4) ** 2).long()
    plane[col < side // 4] = 2
    return plane.expand(n, side, side).clone()


def run(images, targets, seed=5, **changes):
    settings = TrainSettings(**OFF | changes)
    return augment(images, targets, torch.Generator().manual_seed(seed), settings=settings)


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_asked_for_nothing_done(channels):
    images, targets = windows(c=channels)
    changed, labels = run(images, targets)
    assert torch.equal(changed, images)
    assert torch.equal(labels, targets)


@pytest.mark.parametrize(
    "changes",
    [
        {"flips": True},
        {"rotation_degrees": 90.0},
        {"scale": 0.5},
        {"intensity": 0.5},
        {"noise": 0.5},
        {"elastic_px": 4.0},
        {},
    ],
    ids=str,
)
def test_the_generator_decides_everything_and_the_input_is_left_alone(changes):
    changes = changes or {
        "flips": True,
        "rotation_degrees": 15.0,
        "scale": 0.1,
        "intensity": 0.2,
        "noise": 0.1,
    }
    images, targets = windows(c=3)
    before = images.clone(), targets.clone()
    torch.manual_seed(1)
    first = run(images, targets, **changes)
    torch.manual_seed(2)
    again = run(images, targets, **changes)
    other = run(images, targets, seed=6, **changes)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])
    assert first[0].shape == images.shape
    assert first[0].dtype == torch.float32
    assert first[1].shape == targets.shape
    assert first[1].dtype == torch.int64
    assert first[0].isfinite().all()


def test_flips_move_image_and_targets_alike():
    _, targets = windows(n=64)
    images = targets[:, None].float()
    changed, labels = run(images, targets, flips=True)
    assert torch.equal(changed[:, 0], labels.float())
    original = targets[0]
    ways = {
        tuple(torch.rot90(plane, k).flatten().tolist())
        for k in range(4)
        for plane in (original, original.flip(1))
    }
    same, _ = run(images[:1].expand(64, -1, -1, -1), targets[:1].expand(64, -1, -1), flips=True)
    assert {tuple(plane.long().flatten().tolist()) for plane in same[:, 0]} == ways


def test_flips_keep_the_pixels():
    images, targets = windows(n=16, c=2)
    changed, labels = run(images, targets, flips=True)
    for k in range(16):
        assert torch.equal(changed[k].flatten(1).sort().values, images[k].flatten(1).sort().values)
        assert torch.equal(labels[k].flatten().sort().values, targets[k].flatten().sort().values)


def test_a_turn_by_nothing_changes_nothing():
    images, targets = windows(c=2)
    changed, labels = run(images, targets, rotation_degrees=1e-6)
    torch.testing.assert_close(changed, images, atol=1e-4, rtol=0)
    assert torch.equal(labels, targets)


@pytest.mark.parametrize(
    "changes",
    [
        {"rotation_degrees": 180.0},
        {"scale": 0.5},
        {"rotation_degrees": 45.0, "scale": 0.3},
        {"elastic_px": 4.0},
    ],
)
def test_turns_move_image_and_targets_alike(changes):
    targets = blobs(16)
    changed, labels = run(targets[:, None].float(), targets, **changes)
    inside = labels != IGNORED
    # what is left are pixels on borders, where the image is interpolated
    assert (changed[:, 0][inside] - labels[inside]).abs().lt(0.6).float().mean() > 0.97
    assert not torch.equal(labels, targets)


@pytest.mark.parametrize(
    "changes",
    [
        {"rotation_degrees": 180.0},
        {"scale": 0.9},
        {"flips": True, "rotation_degrees": 30.0},
        {"elastic_px": 4.0},
    ],
)
def test_no_class_is_invented(changes):
    targets = torch.where(blobs(16) > 0, 3, IGNORED)  # 0, 1 and 2 lie between these
    _, labels = run(torch.zeros(16, 1, 32, 32), targets, **changes)
    assert set(labels.unique().tolist()) == {IGNORED, 3}


def test_what_comes_in_from_outside_is_not_annotated_and_mirrors_the_image():
    images = torch.full((16, 1, 32, 32), 7.0)
    changed, labels = run(images, torch.zeros((16, 32, 32), dtype=torch.int64), scale=0.9)
    assert (changed - 7).abs().max() < 1e-4
    outside = labels == IGNORED
    smaller = [bool(plane[0, 0]) for plane in outside]
    assert any(smaller)
    assert not all(smaller)
    assert not outside[:, 16, 16].any()


def test_a_half_turn_is_a_half_turn(monkeypatch):
    images, targets = windows(n=1, c=2, side=16)
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.ones(shape[0]))
    changed, labels = run(images, targets, rotation_degrees=180.0)
    torch.testing.assert_close(changed, images.flip(2, 3), atol=1e-3, rtol=0)
    assert torch.equal(labels, targets.flip(1, 2))


def test_intensity_changes_contrast_and_brightness_of_each_channel():
    images, targets = windows(n=8, c=2)
    changed, labels = run(images, targets, intensity=0.3)
    assert torch.equal(labels, targets)
    gains = changed.flatten(2).std(2) / images.flatten(2).std(2)
    shifts = changed.flatten(2).mean(2) - gains * images.flatten(2).mean(2)
    assert gains.min() >= 0.7 - 1e-4
    assert gains.max() <= 1.3 + 1e-4
    assert shifts.abs().max() <= 0.3 + 1e-4
    assert len(gains.flatten().unique()) == len(shifts.flatten().unique()) == 16


def test_noise_is_no_stronger_than_asked_for():
    images, targets = windows(n=32, side=64)
    changed, labels = run(images, targets, noise=0.5)
    strengths = (changed - images).flatten(1).std(1)
    assert torch.equal(labels, targets)
    assert strengths.max() < 0.55
    assert strengths.max() > 0.35
    assert strengths.min() < 0.15


TURNS = {"rotation_degrees": 180.0, "scale": 0.3, "shear_degrees": 10.0, "shift": 0.1, "elastic_px": 6.0}


def test_a_warp_is_smooth_and_no_longer_than_asked_for():
    side = 64
    rows = torch.arange(side, dtype=torch.float32)[:, None].expand(side, side)
    images = torch.stack([rows, rows.T])[None].expand(8, -1, -1, -1)  # each pixel holds its place
    moved, _ = run(images, torch.ones((8, side, side), dtype=torch.long), elastic_px=5.0)
    shift = (moved - images)[..., 6:-6, 6:-6]  # further out places are mirrored
    assert 2 < shift.abs().max() < 5.001
    assert shift.diff(dim=-1).abs().max() < 0.7


class TestMargin:
    @pytest.mark.parametrize(
        "name", ["rotation_degrees", "scale", "shear_degrees", "shift", "elastic_px", "all"]
    )
    def test_no_pixel_from_outside_comes_in(self, name):
        changes = OFF | (TURNS if name == "all" else {name: TURNS[name]})
        settings = TrainSettings(**changes, window_px=32)
        side = 32 + 2 * margin_px(settings)
        images, targets = torch.zeros((64, 1, side, side)), torch.ones((64, side, side), dtype=torch.long)
        generator = torch.Generator().manual_seed(0)
        changed, labels = augment(images, targets, generator, settings=settings, window_px=32)
        assert changed.shape == (64, 1, 32, 32)
        assert (labels != IGNORED).all()

    def test_the_middle_is_kept_where_nothing_turns(self):
        images, targets = windows(side=48)
        settings = TrainSettings(**OFF | {"scale": 1e-6})
        generator = torch.Generator().manual_seed(0)
        changed, labels = augment(images, targets, generator, settings=settings, window_px=32)
        torch.testing.assert_close(changed, images[..., 8:40, 8:40], rtol=0, atol=1e-3)
        assert torch.equal(labels, targets[:, 8:40, 8:40])

    def test_wild_scales_ask_for_no_more_than_a_window(self):
        assert margin_px(TrainSettings(scale=0.99, window_px=64)) == 64

    def test_a_margin_is_cut_off_where_pixels_stay_in_their_places(self):
        images, targets = windows(side=45)
        settings = TrainSettings(**OFF | TURNS | {"flips": True}, window_px=32)
        generator = torch.Generator().manual_seed(0)
        changed, labels = augment(images, targets, generator, settings=settings, window_px=32, moved=False)
        assert torch.equal(changed, images[..., 6:38, 6:38])
        assert torch.equal(labels, targets[..., 6:38, 6:38])
