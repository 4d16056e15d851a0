import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.predict.tiles import Grid, block_shape, mirrored, round_up, tile_grid

sizes = st.integers(1, 200)


@given(
    shape=st.tuples(sizes, sizes), size=st.integers(1, 90), halo=st.integers(0, 40), stride=st.integers(1, 9)
)
def test_every_pixel_is_written_once_from_inside_its_window(shape, size, halo, stride):
    written = np.zeros(shape, int)
    windows = set()
    for tile in tile_grid(shape, size, halo, stride):
        written[tile.write] += 1
        for read, keep, write, whole in zip(tile.read, tile.keep, tile.write, shape, strict=True):
            assert (read.start + keep.start, read.start + keep.stop) == (write.start, write.stop)
            assert read.start % stride == 0
            assert read.stop % stride == 0
            # what is not read within the halo lies beyond the edge
            assert read.start <= max(write.start - halo, -min(halo, stride))
            assert read.stop >= min(write.stop + halo, whole + min(halo, stride))
        windows.add(tuple(read.stop - read.start for read in tile.read))
    assert (written == 1).all()
    assert len(windows) == 1


@given(shape=st.tuples(sizes, sizes), working=st.tuples(sizes, sizes), block=st.sampled_from([8, 32, 64]))
def test_resampled_blocks_keep_what_their_pixels_are_made_of(shape, working, block):
    grid = Grid(shape, (block, block), 16, 8, working)
    written = np.zeros(shape, int)
    for row in range(grid.counts[0]):
        for col in range(grid.counts[1]):
            tile = grid.tile(row, col)
            written[tile.write] += 1
            for read, keep, whole in zip(tile.read, tile.keep, working, strict=True):
                assert 0 <= keep.start < keep.stop <= read.stop - read.start
                assert 0 <= read.start + keep.start < read.start + keep.stop <= whole
    assert (written == 1).all()


@pytest.mark.parametrize("shape", [(1, 1), (3838, 3710), (20_000, 20_000), (100_000, 30), (7, 5000)])
@pytest.mark.parametrize("reduced", [1, 6])
def test_blocks_fit_into_memory(shape, reduced):
    working = tuple(max(1, side // reduced) for side in shape)
    block = block_shape(shape, 1500**2, halo=64, stride=32, working=working)
    window = Grid(shape, block, 64, 32, working).window
    assert window[0] * window[1] <= 1500**2 * 1.05
    assert all(side % 32 == 0 for side in block)


def test_a_halo_that_leaves_no_room_gives_the_smallest_block():
    assert block_shape((500, 500), 100, halo=64, stride=32) == (32, 32)


def test_a_large_memory_takes_the_plane_whole():
    grid = Grid((3838, 3710), block_shape((3838, 3710), 10**9, halo=64, stride=32), 64, 32)
    assert grid.counts == (1, 1)
    assert grid.window == (3904, 3776)


@given(start=st.integers(-50, 50), length=st.integers(1, 60), size=st.integers(1, 20))
def test_mirrored_like_numpy(start, length, size):
    expected = np.pad(np.arange(size), 120, mode="reflect")[120 + start : 120 + start + length]
    assert mirrored(start, start + length, size).tolist() == expected.tolist()


def test_round_up():
    assert [round_up(value, 8) for value in (0, 1, 8, 8.5)] == [0, 8, 8, 16]
