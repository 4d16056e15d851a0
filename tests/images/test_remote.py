"""What a store is asked and told, with fsspec's store in memory."""

import errno
import uuid
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import find_images, find_places
from napari_cellseg.images.remote import (
    Url,
    delete,
    fetch,
    is_remote,
    is_there,
    list_images,
    names_in,
    placed,
    send,
)

SUFFIXES = (".mrc", ".tif")


@pytest.fixture
def store():
    """An empty folder of a store."""
    return Url(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def files(store):
    """Images, what is none, and an OME-Zarr with a picture inside."""
    for name in ("a2.mrc", "a10.mrc", "b.tif", "notes.txt", ".hidden.mrc", "deep/c.mrc"):
        put(store / name, name.encode())
    for name in ("zarr.json", "0/zarr.json", "0/c/0.tif"):
        put(store / "z.ome.zarr" / name, b"{}")
    return store


def put(url, content=b"") -> None:
    with fsspec.open(url, "wb") as file:
        file.write(content)


def content(url) -> bytes:
    with fsspec.open(url, "rb") as file:
        return file.read()


@pytest.mark.parametrize("place", ["a.mrc", "/a/b", r"C:\a.mrc", "file:///a", "local://a", Path("s3:/a"), ""])
def test_what_is_on_this_machine(place):
    assert not is_remote(place)
    assert isinstance(placed(place), Path)


@given(st.sampled_from(["s3", "gs", "memory", "abfs", "https"]), st.text("ab/.", min_size=1, max_size=9))
def test_addresses_stay_as_they_are(scheme, rest):
    address = f"{scheme}://x{rest}x"
    assert is_remote(address)
    assert placed(address) == placed(address + "/") == address


def test_what_lies_in_a_folder(files):
    assert names_in(files) == {"a2.mrc", "a10.mrc", "b.tif", "notes.txt", ".hidden.mrc", "deep", "z.ome.zarr"}
    assert names_in(files / "nothing") == set()
    assert is_there(files / "a2.mrc")
    assert is_there(files / "deep")
    assert not is_there(files / "a3.mrc")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["a2.mrc", "a10.mrc", "b.tif", "z.ome.zarr"]),
        ("/*.mrc", ["a2.mrc", "a10.mrc"]),
        ("/**/*.mrc", ["a2.mrc", "a10.mrc", "deep/c.mrc"]),
        ("/**/*.tif", ["b.tif"]),
        ("/a?.mrc", ["a2.mrc"]),
        ("/notes.txt", ["notes.txt"]),
        ("/z.ome.zarr", ["z.ome.zarr"]),
        ("/*.zarr", ["z.ome.zarr"]),
        ("/deep", ["deep/c.mrc"]),
        ("/no*", []),
        ("/nothing", []),
    ],
)
def test_images_are_found(pattern, expected, files):
    found = list_images(Url(files + pattern), SUFFIXES)
    assert sorted(found) == sorted(files / name for name in expected)
    if expected:
        assert find_places([files + pattern]) == [files / name for name in expected]  # in natural order
    else:
        with pytest.raises(CellsegError, match="no images there"):
            find_places([files + pattern])


def test_files_here_and_in_a_store_together(files, tmp_path):
    (tmp_path / "k.mrc").touch()
    found = find_places([str(tmp_path), files / "b.tif"])
    assert sorted(map(str, found)) == sorted([str(tmp_path / "k.mrc"), files / "b.tif"])
    with pytest.raises(CellsegError, match="object storage; expected files on this machine"):
        find_images(files)


def test_a_file_there_and_back(store, tmp_path):
    (tmp_path / "a.tif").write_bytes(b"pixels")
    send(tmp_path / "a.tif", store / "out/b.tif")
    assert fetch(store / "out/b.tif", tmp_path / "new").read_bytes() == b"pixels"
    (tmp_path / "a.tif").write_bytes(b"others")
    send(tmp_path / "a.tif", store / "out/b.tif")
    assert content(store / "out/b.tif") == b"others"
    delete(store / "out/b.tif")
    delete(store / "out/b.tif")
    assert not is_there(store / "out/b.tif")


def folder_of(path) -> dict[str, bytes]:
    return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def test_a_folder_there_and_back(store, tmp_path):
    for name in ("zarr.json", "0/zarr.json", "0/c/1/1", "old/2"):
        (tmp_path / "z.zarr" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "z.zarr" / name).write_bytes(name.encode())
    send(tmp_path / "z.zarr", store / "z.zarr")
    assert folder_of(fetch(store / "z.zarr", tmp_path / "new")) == folder_of(tmp_path / "z.zarr")
    (tmp_path / "z.zarr/old/2").unlink()
    send(tmp_path / "z.zarr", store / "z.zarr")
    assert folder_of(fetch(store / "z.zarr", tmp_path / "newer")) == folder_of(tmp_path / "z.zarr")
    delete(store / "z.zarr")
    assert names_in(store) == set()


def test_a_folder_that_was_not_sent_to_its_end_has_no_note(store, tmp_path, monkeypatch):
    for name in ("zarr.json", "0/a", "0/b"):
        (tmp_path / "z.zarr" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "z.zarr" / name).touch()
    send(tmp_path / "z.zarr", store / "z.zarr")
    kind, sent = type(fsspec.filesystem("memory")), []

    def broken(self, *names, **more):
        sent.append(names)
        raise ConnectionError("the line is down")

    monkeypatch.setattr(kind, "put", broken)
    with pytest.raises(
        CellsegError, match=r"z\.zarr: the store does not answer .*the line is down.*--resume"
    ):
        send(tmp_path / "z.zarr", store / "z.zarr")
    assert sent
    assert not is_there(store / "z.zarr/zarr.json")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Forbidden"), "the store refuses .*give credentials"),
        (FileNotFoundError("x"), "no such object or bucket; check the address"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free some space"),
        (TimeoutError(), "does not answer as it should .TimeoutError"),
    ],
)
def test_what_goes_wrong_is_a_line(error, said, files, tmp_path, monkeypatch):
    def fail(self, *_, **__):
        raise error

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", fail)
    with pytest.raises(CellsegError, match=said) as raised:
        fetch(files / "a2.mrc", tmp_path)
    assert "\n" not in str(raised.value)


def test_a_kind_of_address_nobody_knows():
    with pytest.raises(CellsegError, match="abacus"):
        is_there(Url("abacus://a/b"))


def test_a_driver_that_is_not_installed(monkeypatch):
    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(CellsegError, match="no driver for s3:// is installed; pip install s3fs"):
        is_there(Url("s3://a/b"))
    with pytest.raises(CellsegError, match="install what it needs"):
        is_there(Url("abacus://a/b"))


def test_a_pattern_for_buckets():
    with pytest.raises(CellsegError, match="one bucket"):
        list_images(Url("memory://*/a.mrc"), SUFFIXES)
