"""What all tests share: the folder of real images, quiet hypothesis settings, few threads."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Tiny networks are slower on many threads; read by torch in this process and in child processes.
os.environ.setdefault("OMP_NUM_THREADS", "2")

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("steady")

DATA = Path(os.environ.get("NAPARI_CELLSEG_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of real images; without it the test skips, or fails where CI=true."""
    if DATA.is_dir():
        return DATA
    reason = f"no real images in {DATA}; set NAPARI_CELLSEG_DATA to their folder"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)
