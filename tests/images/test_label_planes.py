import threading
import time

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.label_planes import plane_exists, read_plane, write_plane

small = arrays(
    st.sampled_from([np.uint8, np.int16, np.uint16, np.int64]),
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.integers(0, 100),
)


@given(small, st.integers(0, 2))
def test_planes_come_back(tmp_path_factory, plane, high):
    path = tmp_path_factory.mktemp("planes") / "a.zarr"
    plane = plane * (1, 2, 300)[high] if plane.dtype.itemsize > 1 else plane
    write_plane(path, plane, {"image": "a"})
    found, attributes = read_plane(path)
    assert (found == plane).all()
    assert found.dtype == (np.uint8 if plane.max() < 256 else np.uint16)
    assert attributes == {"image": "a"}


def test_plane_is_chunked_compressed_zarr_of_version_3(tmp_path):
    write_plane(tmp_path / "a.zarr", np.ones((2500, 1500), int), {})
    plane = zarr.open_array(tmp_path / "a.zarr", mode="r")
    assert (plane.metadata.zarr_format, plane.chunks, plane.dtype) == (3, (1024, 1024), np.uint8)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 10_000


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (np.zeros((2, 2)), "labels of type float64; expected whole numbers"),
        (np.array([[-1, 0]]), "labels from -1 to 0; expected 0 to 65535"),
        (np.array([[0, 65536]]), "labels from 0 to 65536"),
    ],
)
def test_values_that_do_not_fit(tmp_path, plane, message):
    with pytest.raises(CellsegError, match=message):
        write_plane(tmp_path / "a.zarr", plane, {})
    assert list(tmp_path.iterdir()) == []


def test_missing_plane(tmp_path):
    assert not plane_exists(tmp_path / "a.zarr")
    with pytest.raises(CellsegError, match="no such labels"):
        read_plane(tmp_path / "a.zarr")


@pytest.mark.parametrize(("file", "content"), [("zarr.json", "{"), ("zarr.json", "[]"), ("c/0/0", "abc")])
def test_damaged_plane(tmp_path, file, content):
    write_plane(tmp_path / "a.zarr", np.ones((20, 20), int), {})
    (tmp_path / "a.zarr" / file).write_text(content)
    with pytest.raises(CellsegError, match=r"a\.zarr: damaged labels"):
        read_plane(tmp_path / "a.zarr")


def test_plane_whose_writer_was_killed_between_two_renames(tmp_path):
    write_plane(tmp_path / "a.zarr", np.ones((20, 20), int), {})
    (tmp_path / "a.zarr").rename(tmp_path / ".old-0123abcd-a.zarr")
    assert plane_exists(tmp_path / "a.zarr")
    assert (read_plane(tmp_path / "a.zarr")[0] == 1).all()


def test_reader_beside_a_writer_never_sees_a_mixture(tmp_path):
    shape, last, until = (1100, 2100), [], time.monotonic() + 1.5
    write_plane(tmp_path / "a.zarr", np.ones(shape, np.uint16), {"value": 1})

    def write():
        value = 1
        while time.monotonic() < until:
            value += 1
            write_plane(tmp_path / "a.zarr", np.full(shape, value, np.uint16), {"value": value})
        last.append(value)

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while writer.is_alive():
        plane, attributes = read_plane(tmp_path / "a.zarr")
        assert np.unique(plane).tolist() == [attributes["value"]]
        seen.append(attributes["value"])
    writer.join()
    assert seen == sorted(seen)
    assert read_plane(tmp_path / "a.zarr")[1]["value"] == last[0]
