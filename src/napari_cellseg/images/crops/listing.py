"""The files below a folder: found in one walk, in natural order, kept small."""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (folder below the root with ``/``, file name) of every file; hidden ones are left out.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "A").mkdir()
    >>> (root / "A" / "1.png").touch()
    >>> list(walk(root))
    [('A', '1.png')]
    """
    for parent, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        inner = os.path.relpath(parent, folder).replace(os.sep, "/")
        inner = "" if inner == "." else inner
        yield from ((inner, name) for name in sorted(names) if not name.startswith("."))


def class_and_sample(inner: str) -> tuple[str, str]:
    """Return what the folders of a crop say: the last one its class, those above it the sample.

    Examples
    --------
    >>> class_and_sample("Chaetoceros"), class_and_sample("day 1/Chaetoceros"), class_and_sample("")
    (('Chaetoceros', ''), ('Chaetoceros', 'day 1'), ('', ''))
    """
    above, _, last = inner.rpartition("/")
    return last, above
