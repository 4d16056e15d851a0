"""Simulated cells: instances, mask and image agree."""

import numpy as np
import pytest

from napari_cellseg.images.simulate import CellFieldSettings, simulate_cells

SMALL = CellFieldSettings(shape=(120, 160), cells=12, radius_px=10)


def test_truth_is_consistent() -> None:
    field = simulate_cells(4, settings=SMALL)
    assert field.image.shape == field.mask.shape == field.instances.shape == (120, 160)
    np.testing.assert_array_equal(field.instances > 0, field.mask == 2)
    assert set(np.unique(field.instances)) == set(range(int(field.instances.max()) + 1))
    assert field.image[field.mask == 2].mean() > field.image[field.mask == 1].mean() + 10


def test_the_seed_decides() -> None:
    first, again, other = (simulate_cells(seed, settings=SMALL) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.instances, again.instances)
    assert not np.array_equal(first.instances, other.instances)


def test_some_cells_touch() -> None:
    labels = simulate_cells(0).instances.astype(int)
    left, right = labels[:, :-1], labels[:, 1:]
    assert ((left != right) & (left > 0) & (right > 0)).any()


@pytest.mark.parametrize(("shape", "cells"), [((8, 12), 3), ((30, 20), 0), ((30, 50), 25)])
def test_degenerate_fields(shape: tuple[int, int], cells: int) -> None:
    field = simulate_cells(0, settings=CellFieldSettings(shape=shape, cells=cells))
    assert field.image.shape == shape
    assert np.isfinite(field.image).all()
    assert field.instances.any() == (cells > 0)
