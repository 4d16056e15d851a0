import errno
import os

import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.prediction.block_process import BlockDone, from_line, new_plane, to_line


def test_a_plane_is_zeros_in_a_file(tmp_path):
    plane = new_plane(tmp_path / "labels.npy", (3, 5))
    assert plane.shape == (3, 5)
    assert not plane.any()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room is asked for on POSIX only")
def test_a_full_disk_is_found_before_a_block_is_written(tmp_path, monkeypatch):
    def full(descriptor, offset, size):
        assert size == (tmp_path / "labels.npy").stat().st_size
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(CellsegError, match=r"labels\.npy: the disk is full"):
        new_plane(tmp_path / "labels.npy", (3, 5))


@pytest.mark.parametrize("line", ["hello", "[1]", '{"event": "lunch"}'])
def test_what_a_library_prints_is_no_record(line):
    with pytest.raises(ValueError, match=r".+"):
        from_line(line)


def test_a_record_survives_its_line():
    record = BlockDone((0, 8), (8, 16), 1, 4, 3.0, 4.0)
    assert from_line(to_line(record)) == record
