"""Object storage: `s3://`, `gs://`, `abfs://` and whatever else fsspec knows, as files to fetch and to send.

The rest of the program works on local files. A file in a store is a `Url`, which is fetched, worked on
and sent; its bytes are never read in place. A folder that is a zarr has its root's `zarr.json` sent last
and deleted first: what lacks it is not whole.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from glob import has_magic
from pathlib import Path
from typing import Any, TypeAlias

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import FULL

ROOT_NOTE = "zarr.json"
LOCAL = ("file", "local")
DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
"""What fsspec needs for a kind of address."""

DRIVER_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
    "gcsfs.retry": ("HttpError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "azure.core.exceptions": ("AzureError",),
}
"""What drivers raise beside the system's errors, by module."""


class Url(str):
    """The address of a file or folder in a store, used as a path is.

    Examples
    --------
    >>> out = Url("s3://bucket/out")
    >>> out / "a.mrc", (out / "a.mrc").name
    ('s3://bucket/out/a.mrc', 'a.mrc')
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The last part."""
        return self.rsplit("/", 1)[-1]

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self}/{name}")

    def with_name(self, name: str) -> Url:
        """Return the address of what is called so beside it."""
        return Url(self.removesuffix(self.name) + name)

    def absolute(self) -> Url:
        """Itself: it means the same in every folder and on every machine."""
        return self


Place: TypeAlias = Path | Url
"""Where a file is: on this machine or in a store."""


def is_remote(place: str | Path) -> bool:
    r"""Return whether something names a file in a store rather than one on this machine.

    Examples
    --------
    >>> [is_remote(place) for place in ("s3://bucket/key", "a/b.mrc", r"C:\b.mrc", "file:///b.mrc")]
    [True, False, False, False]
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", place) if isinstance(place, str) else None
    return scheme is not None and scheme[1].lower() not in LOCAL


def placed(place: str | Path) -> Place:
    """Return a path, or a `Url` where that is what is named.

    Examples
    --------
    >>> placed("s3://bucket/out/"), placed("file:///tmp/a b.mrc") == Path("/tmp/a b.mrc")
    ('s3://bucket/out', True)
    """
    if isinstance(place, Path):
        return place
    if is_remote(place):
        return Url(place.rstrip("/"))
    scheme, colon, _ = place.partition("://")
    if colon and scheme.lower() in LOCAL:
        from fsspec.implementations.local import LocalFileSystem

        return Path(LocalFileSystem._strip_protocol(place))
    return Path(place)


def is_there(place: Place) -> bool:
    """Return whether there is a file or a folder of that name."""
    return place.exists() if isinstance(place, Path) else _kind(place) is not None


def names_in(folder: Place) -> set[str]:
    """Return the names of what lies in a folder; of one that is not there, none."""
    if isinstance(folder, Path):
        return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    files, path = _opened(folder)
    with _errors(folder):
        try:
            return {name.rsplit("/", 1)[-1] for name in files.ls(path, detail=False)}
        except FileNotFoundError:
            return set()


def list_images(url: Url, suffixes: tuple[str, ...]) -> list[Url]:
    """Return the files that an address, a folder or a pattern names, by their suffix.

    A folder called ``NAME.zarr`` is taken as a file, and nothing in it is one.

    Parameters
    ----------
    url : Url
        Of a folder the files directly in it; in a pattern ``**`` stands for any depth.
    suffixes : tuple of str
        What is taken of folders and patterns.

    Raises
    ------
    CellsegError
        If the store cannot be asked.
    """
    files, path = _opened(url)
    root = url
    if has_magic(url):
        root = Url(url[: url.rfind("/", 0, re.search(r"[*?[]", url).start())])  # type: ignore[union-attr]
        if root.endswith("/"):
            raise CellsegError(f"{url}: a pattern for buckets", "one bucket", "name it")
    elif (kind := _kind(url)) != "directory" or url.name.endswith(".zarr"):
        return [url] if kind else []
    base = str(files._strip_protocol(root))
    with _errors(url):
        entries = files.glob(path, detail=True).values() if root != url else files.ls(path, detail=True)
    found = []
    for entry in entries:
        *parents, name = entry["name"][len(base) :].strip("/").split("/")
        inside = any(part.endswith(".zarr") for part in (*root.split("/"), *parents))
        wanted = (".zarr",) if entry["type"] == "directory" else suffixes
        if not inside and not name.startswith(".") and name.lower().endswith(wanted):
            found.append(root / "/".join((*parents, name)))
    return found


def fetch(url: Url, folder: Path) -> Path:
    """Return where a file or folder lies that was fetched into a folder under its own name.

    Raises
    ------
    CellsegError
        If it is not there, may not be read, the store does not answer or the disk is full.
    """
    files, path = _opened(url)
    target = folder / url.name
    with _errors(url, folder):
        folder.mkdir(parents=True, exist_ok=True)
        if _kind(url) != "directory":
            files.get_file(path, str(target))
            return target
        names = files.find(path)
        targets = [target / name[len(path) :].strip("/") for name in names]
        for parent in {one.parent for one in targets}:
            parent.mkdir(parents=True, exist_ok=True)
        files.get(names, [str(one) for one in targets])
    return target


def send(path: Path, url: Url) -> None:
    """Put a file or a folder into a store, in place of what has its name.

    A file is there whole or not at all, as far as the store does so; S3 does. A folder without its
    ``zarr.json`` was not sent to its end.

    Raises
    ------
    CellsegError
        If it may not be written or the store does not answer.
    """
    files, target = _opened(url)
    if path.is_file():
        with _errors(url):
            files.put_file(str(path), target)
        return
    inside = sorted(one for one in path.rglob("*") if one.is_file())
    note = path / ROOT_NOTE
    first = [one for one in inside if one != note]
    targets = [f"{target}/{one.relative_to(path).as_posix()}" for one in first]
    delete(url)
    with _errors(url):
        files.put([str(one) for one in first], targets)
        if note in inside:
            files.put_file(str(note), f"{target}/{ROOT_NOTE}")


def delete(url: Url) -> None:
    """Take away a file or a folder, if it is there; of a folder its `zarr.json` first."""
    files, path = _opened(url)
    kind = _kind(url)
    with _errors(url):
        if kind == "directory" and _kind(url / ROOT_NOTE):
            files.rm_file(f"{path}/{ROOT_NOTE}")
        if kind and (kind == "file" or _kind(url)):  # there may have been nothing but the note
            files.rm(path, recursive=kind == "directory")


def _kind(url: Url) -> str | None:
    """Return "file", "directory" or None."""
    files, path = _opened(url)
    with _errors(url):
        try:
            return str(files.info(path)["type"])
        except FileNotFoundError:
            return None


def _opened(url: Url) -> tuple[Any, str]:
    """Return the store of an address, asked anew each time, and what the store calls it."""
    import fsspec

    scheme = url.partition("://")[0]
    try:
        files, path = fsspec.url_to_fs(str(url), use_listings_cache=False)
    except ImportError as error:
        driver = DRIVERS.get(scheme)
        remedy = f"pip install {driver}" if driver else f"install what it needs ({error})"
        raise CellsegError(f"{url}: no driver for {scheme}:// is installed", remedy=remedy) from error
    except ValueError as error:
        raise CellsegError(f"{url}: {error}", "an address such as s3://BUCKET/KEY") from error
    return files, path


@contextmanager
def _errors(url: Url, folder: Path | None = None) -> Iterator[None]:
    """Turn what a driver says about an address, or the disk about a folder, into a line for the user."""
    try:
        yield
    except _driver_errors() as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if folder is not None and isinstance(error, OSError) and error.errno in FULL:
            found, remedy = f"{folder}: the disk is full", "free some space, or name another folder in TMPDIR"
        elif isinstance(error, FileNotFoundError):
            found, remedy = f"{url}: no such object or bucket", "check the address"
        elif isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
            found = f"{url}: the store refuses ({reason})"
            remedy = "give credentials as its driver reads them (AWS_ACCESS_KEY_ID ... for s3) that allow it"
        else:
            found = f"{url}: the store does not answer as it should ({reason})"
            remedy = "check the network and the address; go on with --resume"
        raise CellsegError(found, remedy=remedy) from error


def _driver_errors() -> tuple[type[BaseException], ...]:
    """Return what drivers raise that were loaded."""
    loaded = [(sys.modules[name], kinds) for name, kinds in DRIVER_ERRORS.items() if name in sys.modules]
    return (OSError, *(getattr(module, kind) for module, kinds in loaded for kind in kinds))
