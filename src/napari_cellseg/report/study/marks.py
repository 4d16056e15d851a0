"""YAML whose values know their line and column."""

from pathlib import Path
from typing import Any

from napari_cellseg.errors import CellsegError

Place = tuple[str | int, ...]


class Marks:
    """Where in a file each value stands.

    Parameters
    ----------
    path : Path
        The file.
    root : yaml.Node
        What PyYAML composed of it.
    """

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self.root = path, root

    def error(self, place: Place, found: str, expected: str = "", remedy: str = "") -> CellsegError:
        """Return an error that names line and column of the value at `place`, a path of keys.

        Where a part of the path is not in the file, the last one that is counts.
        """
        node, mark = self.root, self.root.start_mark
        for step in place:
            if node.id == "sequence" and isinstance(step, int):
                node = node.value[step]
                mark = node.start_mark
            elif node.id == "mapping":
                pair = next((pair for pair in node.value if pair[0].value == str(step)), None)
                if pair is not None:
                    mark, node = pair[0].start_mark, pair[1]
        return located(self.path, mark, found, expected, remedy)


def located(path: Path, mark: Any, found: str, expected: str = "", remedy: str = "") -> CellsegError:
    """Return an error that names the line and column of a mark, both counted from 1."""
    where = f"{path}, line {mark.line + 1}, column {mark.column + 1}"
    return CellsegError(f"{where}: {found}", expected, remedy)


def read_yaml(path: Path) -> tuple[dict[str, Any], Marks]:
    """Return the mapping in a YAML file, and where its values stand.

    Raises
    ------
    CellsegError
        If the file cannot be read, is no YAML, holds no mapping, or a key twice in one; with
        line and column.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise CellsegError(f"{path}: cannot be read ({reason})", "a YAML file", "check the path") from None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        _refuse_twice(path, root, set())
        values = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        said = error.problem or error.context or "a mistake"
        raise located(path, error.problem_mark or error.context_mark, said, "YAML") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        where = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
        raise CellsegError(f"{path}, {where}: {error.reason}", "printable text") from None
    if not isinstance(values, dict):
        raise CellsegError(f"{path}, line 1, column 1: no keys", "lines such as `images: images/*.tif`")
    return values, Marks(path, root)


def _refuse_twice(path: Path, node: Any, seen: set[int]) -> None:
    """Raise where a key occurs twice in a mapping: YAML would silently take the last."""
    if node is None or node.id == "scalar" or id(node) in seen:
        return
    seen.add(id(node))  # an alias may lead back to where it stands
    keys = set[str]()
    for child in node.value:
        if node.id == "mapping":
            key, child = child
            if key.id == "scalar" and key.value in keys:
                raise located(path, key.start_mark, f"key {key.value!r} occurs twice", "it once")
            keys.add(str(key.value))
        _refuse_twice(path, child, seen)
