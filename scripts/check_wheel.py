"""Check that a wheel holds the whole package, the manifest and nothing else.

Usage: python check_wheel.py SRC [WHEEL]; without WHEEL it is the one that tox built.
"""

import os
import sys
import zipfile
from pathlib import Path

NAME = "napari_cellseg"


def check_wheel(src: Path, wheel: Path) -> None:
    """Compare the wheel's files with those of the source tree.

    Raises
    ------
    SystemExit
        With a line naming what is missing or too much.
    """
    wanted = {
        path.relative_to(src).as_posix()
        for path in (src / NAME).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    held = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in held if not name.split("/")[0].endswith(".dist-info")}
    if wanted ^ packed:
        raise SystemExit(
            f"{wheel.name}: missing {sorted(wanted - packed)}, too much {sorted(packed - wanted)}"
        )
    for name in (f"{NAME}/napari.yaml", f"{NAME}/py.typed", f"{NAME}/_version.py"):
        if name not in packed:
            raise SystemExit(f"{wheel.name}: no {name}")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in held):
        raise SystemExit(f"{wheel.name}: no licence")
    print(f"{wheel.name}: {len(packed)} files, manifest in it")


if __name__ == "__main__":
    src, wheel = [*sys.argv[1:], os.environ.get("TOX_PACKAGE")][:2]
    check_wheel(Path(src), Path(wheel))
