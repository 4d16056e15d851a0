"""What is worked out once for a model and kept beside it: conversions, measured speeds.

``.cellseg-cache/<hash>/`` in the model's folder, by the hash of the model's file, so a changed model
has nothing of the former one. Where that folder cannot be written the user's own cache is taken.
Everything in it can be deleted at any time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import write_whole

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model

NAME, FACTS = ".cellseg-cache", "facts.json"
HASH_LETTERS = 16


def cache_folder(model: Model) -> Path | None:
    """Return the folder that is kept for a model, made if need be; None for one that was never saved."""
    if model.path is None or not model.sha256:
        return None
    for folder in _folders(model.path, model.sha256):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def is_known(path: Path, sha256: str) -> bool:
    """Return whether something was worked out before for a model's file; so it was read, and is whole."""
    return any(read_facts(folder) for folder in _folders(path, sha256))


def _folders(path: Path, sha256: str) -> list[Path]:
    parents = (path.parent / NAME, _users_cache() / "napari-cellseg")
    return [parent / sha256[:HASH_LETTERS] for parent in parents]


def read_facts(folder: Path | None) -> dict[str, Any]:
    """Return what was noted of a model; nothing if there is nothing that can be understood."""
    if folder is None:
        return {}
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def note_fact(folder: Path | None, key: str, value: Any) -> None:
    """Note something of a model; a folder that is full or gone only costs doing it again.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> note_fact(folder, "seconds", 1.5)
    >>> read_facts(folder)
    {'seconds': 1.5}
    """
    if folder is None:
        return
    try:
        write_whole(folder / FACTS, json.dumps(read_facts(folder) | {key: value}, indent=1))
    except (CellsegError, OSError):
        return


def _users_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
