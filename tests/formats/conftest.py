import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def relion_folder(data_folder) -> Path:
    """Coordinate files with what RELION made of them."""
    folder = data_folder.parent / "relion"
    if folder.is_dir():
        return folder
    reason = f"no files of RELION in {folder}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)
