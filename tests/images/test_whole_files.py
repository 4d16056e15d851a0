import errno
import os
import threading

import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import recover_whole, replace_whole, write_errors, write_whole


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def write_folder(path, text):
    with replace_whole(path) as part:
        (part / "c").mkdir(parents=True)
        (part / "c" / "0").write_text(text)
        (part / "zarr.json").write_text(text)


def test_file_appears_whole_and_alone(tmp_path):
    target = tmp_path / "new" / "folder" / "a.csv"
    with replace_whole(target) as part:
        part.write_text("1")
        assert not target.exists()
        assert part.parent == target.parent
        assert part.name.endswith("-a.csv")
        assert part.name.startswith(".")
    assert contents(tmp_path) == {"new/folder/a.csv": "1"}


def test_folder_replaces_folder(tmp_path):
    write_folder(tmp_path / "a.zarr", "old")
    write_folder(tmp_path / "a.zarr", "new")
    assert contents(tmp_path) == {"a.zarr/c/0": "new", "a.zarr/zarr.json": "new"}


def test_file_replaces_folder_and_folder_replaces_file(tmp_path):
    write_folder(tmp_path / "a", "folder")
    write_whole(tmp_path / "a", b"file")
    assert contents(tmp_path) == {"a": "file"}
    write_folder(tmp_path / "a", "folder")
    assert contents(tmp_path) == {"a/c/0": "folder", "a/zarr.json": "folder"}


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_error_leaves_the_former_one(tmp_path, stop):
    write_folder(tmp_path / "a", "old")

    def write_half():
        with replace_whole(tmp_path / "a") as part:
            part.mkdir()
            (part / "half").write_text("")
            raise stop

    with pytest.raises(stop):
        write_half()
    assert contents(tmp_path) == {"a/c/0": "old", "a/zarr.json": "old"}
    assert os.listdir(tmp_path) == ["a"]


def test_writing_nothing_is_a_mistake_of_ours(tmp_path):
    write_whole(tmp_path / "a", "old")
    with pytest.raises(FileNotFoundError), replace_whole(tmp_path / "a"):
        pass
    assert contents(tmp_path) == {"a": "old"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_disk_is_one_clear_line(tmp_path):
    write_whole(tmp_path / "a", "old")
    with (
        pytest.raises(CellsegError, match=r"a: the disk is full; free some space"),
        replace_whole(tmp_path / "a"),
        open("/dev/full", "w") as stream,
    ):
        stream.write("x" * 100_000)
    assert contents(tmp_path) == {"a": "old"}


def test_disk_full_only_when_flushing(tmp_path, monkeypatch):
    write_folder(tmp_path / "a", "old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CellsegError, match="the disk is full"):
        write_folder(tmp_path / "a", "new")
    assert contents(tmp_path) == {"a/c/0": "old", "a/zarr.json": "old"}


def test_failed_second_rename_puts_the_former_folder_back(tmp_path, monkeypatch):
    write_folder(tmp_path / "a", "old")
    real = os.replace

    def refuse(source, target):
        if ".part-" in str(source):
            raise OSError(errno.EIO, "Input/output error", str(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(CellsegError, match=r"cannot be written \(Input/output error\)"):
        write_folder(tmp_path / "a", "new")
    assert contents(tmp_path) == {"a/c/0": "old", "a/zarr.json": "old"}


def test_folder_that_cannot_be_made(tmp_path):
    write_whole(tmp_path / "file", "")
    with pytest.raises(CellsegError, match="cannot be written"):
        write_whole(tmp_path / "file" / "below", "")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_denied(tmp_path, code):
    with pytest.raises(CellsegError, match="may not be written"), write_errors(tmp_path / "a"):
        raise OSError(code, "no", str(tmp_path / "a"))


def test_errors_about_other_files_pass(tmp_path):
    with pytest.raises(PermissionError), write_errors(tmp_path / "out" / "a"):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / "elsewhere" / "input.tif"))
    with pytest.raises(FileNotFoundError), replace_whole(tmp_path / "a"):
        (tmp_path / "elsewhere" / "input.tif").read_bytes()


def test_recover_restores_a_folder_moved_away(tmp_path):
    write_folder(tmp_path / "a.zarr", "old")
    os.replace(tmp_path / "a.zarr", tmp_path / ".old-0123abcd-a.zarr")
    assert recover_whole(tmp_path) == [tmp_path / "a.zarr"]
    assert contents(tmp_path) == {"a.zarr/c/0": "old", "a.zarr/zarr.json": "old"}


def test_recover_removes_what_was_replaced_and_old_parts(tmp_path):
    write_folder(tmp_path / "a", "new")
    write_folder(tmp_path / ".old-0123abcd-a", "old")
    write_folder(tmp_path / ".part-0123abcd-a", "half")
    assert recover_whole(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == [".part-0123abcd-a", "a"]  # somebody may be writing it now
    recover_whole(tmp_path, stale_seconds=-1)
    assert os.listdir(tmp_path) == ["a"]
    assert recover_whole(tmp_path / "not there") == []


def test_many_writers_the_last_one_wins_whole(tmp_path):
    def write(text):
        for _ in range(15):
            write_folder(tmp_path / "a", text)
            recover_whole(tmp_path)

    writers = [threading.Thread(target=write, args=(text,)) for text in "xyz"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(set(contents(tmp_path / "a").values())) == 1
    assert os.listdir(tmp_path) == ["a"]
