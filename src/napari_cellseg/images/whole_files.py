"""Files and folders that are either whole or not there, whatever happens while they are written.

What is being written lies beside its target under a hidden name that ends like the target
(`.part-1f3a9c02-mic.ome.tif`), so writers that go by the suffix work; when it is whole
and on the disk it is renamed. A folder that takes the place of another one needs two
renames; a kill between them leaves the former one as `.old-1f3a9c02-NAME`, and
`recover_whole` puts it back.
"""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_cellseg.errors import CellsegError

FULL = {errno.ENOSPC, errno.EDQUOT}
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
RACED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}
BROKEN = {errno.EIO, errno.EFBIG, errno.ENAMETOOLONG}
FLUSHES = 8  # files sent to the disk at a time
STALE_SECONDS = 3600.0  # a part untouched for this long has no writer any more


@contextmanager
def replace_whole(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there takes the place of `path`.

    The block writes a file or a folder at the path it is given. When it ends, everything is
    flushed to the disk and renamed; when it raises, the temporary is removed and `path` is
    as it was. Missing parent folders are made.

    Parameters
    ----------
    path : Path or str
        The file or folder to make or to replace.

    Raises
    ------
    CellsegError
        If the disk is full or the place cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "scores.csv"
    >>> with replace_whole(target) as part:
    ...     _ = part.write_text("name,f1")
    >>> target.read_text()
    'name,f1'
    """
    path = Path(path)
    part = _beside(path, "part")
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            _flush(part)
            _rename_over(part, path)
            _flush_folder(path.parent)
        finally:
            _remove(part)


def write_whole(path: Path | str, content: str | bytes) -> None:
    """Write a small file in one go: a reader, or a crash, sees the former one or this one.

    Raises
    ------
    CellsegError
        If the disk is full or the place cannot be written.
    """
    with replace_whole(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def write_errors(path: Path | str) -> Iterator[None]:
    """Turn what the system says about writing `path` into a line for the user.

    For outputs that grow in place (OME-Zarr written block by block, logs); `replace_whole`
    does it already. Errors about other files pass through unchanged.

    Raises
    ------
    CellsegError
        If the disk is full, the place is read-only, or the disk failed.

    Examples
    --------
    >>> with write_errors("out/a.tif"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    napari_cellseg.errors.CellsegError: out/a.tif: the disk is full; free some space or choose another folder
    """
    path = Path(path)
    try:
        yield
    except OSError as error:
        if not _concerns(error, path):
            raise
        if error.errno in FULL:
            raise CellsegError(
                f"{path}: the disk is full", remedy="free some space or choose another folder"
            ) from error
        if error.errno in DENIED:
            raise CellsegError(
                f"{path}: may not be written ({error.strerror})",
                remedy="choose another folder, or close the program that has it open",
            ) from error
        raise CellsegError(
            f"{path}: cannot be written ({error.strerror})", remedy="choose another folder"
        ) from error


def recover_whole(folder: Path, *, stale_seconds: float = STALE_SECONDS) -> list[Path]:
    """Return what was put back in `folder` after a kill in the middle of `replace_whole`.

    A former folder that was moved away and not yet replaced gets its name back; parts
    nobody finished are removed once they are older than `stale_seconds`, so that another
    program writing here right now is not disturbed.

    Parameters
    ----------
    folder : Path
        Where targets of `replace_whole` lie; nothing below it is looked at.
    stale_seconds : float
        Age in seconds from which a part counts as abandoned.
    """
    restored = []
    for old in sorted(folder.glob(".old-????????-*")):
        target = folder / old.name[len(".old-????????-") :]
        if target.exists():
            _remove(old)
            continue
        try:
            os.replace(old, target)
        except OSError as error:  # its writer is alive and was faster
            if error.errno not in RACED:
                raise
        else:
            restored.append(target)
    for part in folder.glob(".part-????????-*"):
        if _age_seconds(part) > stale_seconds:
            _remove(part)
    return restored


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{kind}-{uuid.uuid4().hex[:8]}-{path.name}")


def _concerns(error: OSError, path: Path) -> bool:
    """Tell whether `error` is about writing at `path` and not about another file."""
    if error.filename is None:
        return error.errno in FULL | DENIED | BROKEN
    if error.errno == errno.ENOENT:
        return False
    named, parent = Path(os.path.abspath(os.fsdecode(error.filename))), Path(os.path.abspath(path.parent))
    if parent.is_relative_to(named):
        return True
    first = named.relative_to(parent).parts[0] if named.is_relative_to(parent) else ""
    return first == path.name or (first.startswith((".part-", ".old-")) and first.endswith(f"-{path.name}"))


def _rename_over(part: Path, path: Path) -> None:
    if not part.is_dir() and not path.is_dir():
        os.replace(part, path)
        return
    old = _beside(path, "old")
    while True:  # a second writer may put its own in between: the last one wins
        with suppress(FileNotFoundError):
            os.replace(path, old)
        try:
            os.replace(part, path)
            break
        except OSError as error:
            if error.errno not in RACED - {errno.ENOENT}:
                if old.exists() and not path.exists():
                    os.replace(old, path)
                raise
            _remove(old)
    _remove(old)


def _flush(path: Path) -> None:
    if not path.is_dir():
        _flush_file(path)
        return
    inside = list(os.walk(path))
    files = [Path(folder, name) for folder, _, names in inside for name in names]
    with ThreadPoolExecutor(FLUSHES) as pool:  # disks take several at once: ten times faster for a zarr
        list(pool.map(_flush_file, files))
        list(pool.map(_flush_folder, [Path(folder) for folder, _, _ in inside]))


def _flush_file(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:  # not asked before: another writer may have put a folder there meanwhile
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):  # what Linux and the others say of a folder
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(path):  # gone: another one removed the folder after we had tried
            raise


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
