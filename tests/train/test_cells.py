import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.settings import ClassifierSettings
from napari_cellseg.train.cell_augment import augment_cells
from napari_cellseg.train.cell_tables import read_predictions, write_predictions
from napari_cellseg.train.cells import LEAST_STEPS, Fed, coarse_bounds, kept_bounds

STILL = {"flips": False, "rotation_degrees": 0.0, "scale": 0.0, "shift": 0.0, "intensity": 0.0}


def augmented(pictures, seed=0, **changes):
    settings = ClassifierSettings(**STILL | changes)
    return augment_cells(pictures, torch.Generator().manual_seed(seed), settings=settings)


def test_nothing_asked_for_changes_nothing():
    pictures = torch.rand(3, 2, 8, 12)
    assert torch.equal(augmented(pictures), pictures)


@pytest.mark.parametrize("shape", [(32, 32), (48, 24)])
def test_turned_discs_stay_discs(shape):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    disc = np.hypot(rows - (shape[0] - 1) / 2, cols - (shape[1] - 1) / 2) < 8
    pictures = torch.from_numpy(disc.astype(np.float32))[None, None].repeat(8, 1, 1, 1)
    turned = augmented(pictures, rotation_degrees=180, flips=True)
    assert ((turned > 0.5) != (pictures > 0.5)).float().mean() < 0.03  # also where pictures are not square


def test_the_border_goes_on_outside():
    pictures = torch.full((4, 1, 16, 16), 0.7)
    torch.testing.assert_close(augmented(pictures, rotation_degrees=45, shift=0.4, scale=0.3), pictures)


def test_the_seed_decides():
    pictures = torch.rand(3, 2, 8, 8)
    every = {"rotation_degrees": 90, "flips": True, "intensity": 0.3, "noise": 0.1}
    assert torch.equal(augmented(pictures, 1, **every), augmented(pictures, 1, **every))
    assert not torch.equal(augmented(pictures, 1, **every), augmented(pictures, 2, **every))


@given(st.floats(-1e4, 6e4), st.floats(1e-3, 6e4))
def test_bounds_are_rounded_outwards_and_little(low, width):
    ((found_low, found_high),) = coarse_bounds(np.array([[low, low + width]]))
    slack = 1e-6 * max(1.0, abs(low), width)
    assert found_low <= low + slack
    assert found_high >= low + width - slack
    assert found_high - found_low <= 1.5 * width + slack


def test_bounds_of_nothing():
    assert coarse_bounds(np.array([[5.0, 5.0]]))[0][0] <= 5.0


def test_tables_round_trip(tmp_path):
    from napari_cellseg.images.crops import Crops

    classes = ("a, b", 'quote"d', "Größe")
    crops = Crops.from_arrays([np.zeros((1, 2, 2))] * 3, labels=classes, samples=["x", "", "y"])
    shares = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.1, 0.2, 0.7]])
    write_predictions(tmp_path / "t.csv", crops, ["train", "test", "test"], shares, classes)
    found = read_predictions(tmp_path / "t.csv")
    assert found.classes == classes
    assert found.samples.tolist() == ["x", "", "y"]
    assert found.part("test").truth.tolist() == [1, 2]
    np.testing.assert_allclose(found.probabilities, shares)


def test_near_bounds_are_kept(tmp_path):
    first = ((0.0, 1000.0), (50.0, 60.0))
    assert kept_bounds(tmp_path, "net", first) == first
    assert kept_bounds(tmp_path, "net", ((50.0, 950.0), (50.0, 60.0))) == first
    far = ((0.0, 1000.0), (50.0, 70.0))
    assert kept_bounds(tmp_path, "net", far) == far
    assert kept_bounds(tmp_path, "other", ((50.0, 950.0), (50.0, 60.0))) != first


def test_few_pictures_are_seen_several_times_an_epoch():
    chosen = np.arange(3, 50)
    for embedded, steps in ((True, 3), (False, LEAST_STEPS)):
        rows = np.zeros((60, 1), np.float16)
        fed = Fed(rows, np.zeros((60, 0), np.float32), np.zeros(60, np.intp), embedded)
        batches = list(fed.batches(chosen, 16, np.random.default_rng(0)))
        assert len(batches) == steps
        assert sorted(np.concatenate(batches[:3]).tolist()) == chosen.tolist()
        assert np.concatenate(list(fed.batches(chosen, 16))).tolist() == chosen.tolist()
