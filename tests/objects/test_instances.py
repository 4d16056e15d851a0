import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.instance_rings import ring_labels
from napari_cellseg.objects.instances import find_instances, find_instances_blockwise
from napari_cellseg.settings import InstanceSettings

PLAIN = InstanceSettings(cell_smoothing_px=0, cell_area_px=0)


def said_of(instances: np.ndarray, *, blur: float = 0.7) -> np.ndarray:
    """Return what a network that knows would say of these cells, a little blurred."""
    rings = ring_labels(instances)
    sure = np.stack([rings == ring for ring in (1, 2, 3, 4)]).astype(np.float32)
    return ndimage.gaussian_filter(sure, (0, blur, blur)) if blur else sure


def discs(shape: tuple[int, int], places: list[tuple[int, int, int]]) -> np.ndarray:
    """Return discs (row, col, radius); where they overlap the nearer centre has it."""
    rows, cols = np.indices(shape)
    nearest, instances = np.full(shape, np.inf), np.zeros(shape, np.int32)
    for number, (row, col, radius) in enumerate(places, start=1):
        distance = np.hypot(rows - row, cols - col)
        mine = (distance <= radius) & (distance - radius < nearest)
        nearest[mine], instances[mine] = (distance - radius)[mine], number
    return instances


def test_no_cell_anywhere():
    said = np.zeros((4, 6, 7), np.uint8)
    said[0] = 255
    assert not find_instances(said).any()


def test_all_of_the_plane_is_one_cell():
    assert (find_instances(np.stack([np.zeros((6, 7))] * 3 + [np.ones((6, 7))])) == 1).all()


def test_other_classes_are_refused():
    with pytest.raises(CellsegError, match="--polarity instances"):
        find_instances(np.zeros((2, 4, 4), np.float32))


def test_touching_cells_are_told_apart_and_numbered_by_where_they_begin():
    truth = discs((40, 60), [(20, 40, 12), (18, 19, 11)])
    found = find_instances(said_of(truth))
    assert found.dtype == np.int32
    assert found.max() == 2
    assert found[18, 19] == 1  # it begins further up
    assert found[20, 40] == 2
    assert (np.where(found > 0, 3 - found, 0) == truth).mean() > 0.98


def test_bytes_say_the_same_as_floats():
    said = said_of(discs((40, 60), [(20, 40, 12), (18, 19, 11)]))
    as_bytes = np.rint(said * 255).astype(np.uint8)
    assert (find_instances(as_bytes) == find_instances(said)).mean() > 0.995


def test_a_part_without_a_seed_is_one_cell():
    said = np.zeros((4, 9, 9), np.float32)
    said[0], said[0, 2:7, 2:7], said[1, 2:7, 2:7] = 1, 0.1, 0.9
    np.testing.assert_array_equal(find_instances(said, settings=PLAIN) > 0, said[0] < 0.5)


def test_small_cells_are_left_out_by_pixels_and_by_nm2():
    said = said_of(discs((30, 40), [(10, 10, 8), (20, 30, 2)]), blur=0)
    assert find_instances(said, settings=PLAIN).max() == 2
    by_px = InstanceSettings(cell_area_px=20, cell_smoothing_px=0)
    assert find_instances(said, settings=by_px).max() == 1
    by_nm2 = InstanceSettings(cell_area_nm2=80, cell_smoothing_px=0)
    assert find_instances(said, settings=by_nm2, pixel_nm=2).max() == 1
    assert find_instances(said, settings=by_nm2, pixel_nm=4).max() == 2
    with pytest.raises(CellsegError, match="without a pixel size"):
        find_instances(said, settings=by_nm2)


@pytest.mark.parametrize("filled", [True, False])
def test_holes(filled):
    said = said_of(discs((30, 30), [(14, 14, 10)]), blur=0)
    said[:, 14, 14] = 1, 0, 0, 0
    settings = InstanceSettings(cell_smoothing_px=0, cell_holes=filled)
    assert (find_instances(said, settings=settings)[14, 14] == 1) is np.bool_(filled)


def test_what_two_cells_enclose_is_no_hole():
    said = said_of(np.repeat([[1] * 9 + [2] * 9], 9, axis=0), blur=0)
    said[:, 4, 8:10] = np.array([[1, 0, 0, 0]]).T
    found = find_instances(said, settings=PLAIN)
    assert found.max() == 2
    assert not found[4, 8:10].any()


@settings(max_examples=12)
@given(
    st.lists(st.tuples(st.integers(0, 119), st.integers(0, 89), st.integers(3, 7)), max_size=14),
    st.integers(25, 70),
)
def test_blockwise_is_the_same_as_whole(places, block_px):
    said = said_of(discs((120, 90), places))
    out = np.zeros((120, 90), np.uint32)
    records = list(find_instances_blockwise(said, out, block_px=block_px, margin_px=60))
    whole = find_instances(said)
    np.testing.assert_array_equal(out, whole)
    assert records[-1].cells == whole.max()
    assert records[-1].done == records[-1].total == len(records)


def test_cells_on_a_seam_are_one_in_a_zarr(tmp_path):
    truth = discs((64, 64), [(32, 32, 9), (10, 32, 6), (32, 52, 8)])
    said = zarr.create_array(
        tmp_path / "p", data=np.rint(said_of(truth) * 255).astype(np.uint8), chunks=(1, 32, 32)
    )
    out = zarr.create_array(tmp_path / "o", shape=(64, 64), chunks=(32, 32), dtype="uint32")
    list(find_instances_blockwise(said, out, block_px=32, margin_px=32))
    np.testing.assert_array_equal(out[:], find_instances(said[:]))
    assert out[:].max() == 3


def test_cells_wider_than_the_margin_are_never_lost():
    truth = discs((64, 64), [(32, 32, 28)])
    out = np.zeros((64, 64), np.int32)
    list(find_instances_blockwise(said_of(truth), out, block_px=16, margin_px=4))
    assert (out[truth > 0] > 0).mean() > 0.3
    numbers = np.unique(out[out > 0])
    np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))
