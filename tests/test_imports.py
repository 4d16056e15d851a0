"""In a fresh process: what importing costs, and what it must not pull in."""

import json
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile

import napari_cellseg
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, new_model, save_model

VIEWER = {"napari", "qtpy", "magicgui", "superqt", "vispy", "PyQt5", "PyQt6", "PySide2", "PySide6"}
HEAVY = {"torch", "torchvision", "segmentation_models_pytorch", "lightning_fabric", "timm", "captum"}
NETWORKS = {"napari_cellseg.nets.unets", "napari_cellseg.nets.cell_nets"}  # torch: imported to build one
CHEAP = ("cli", "errors", "settings", "formats", "images", "nets", "predict", "report")


def top_level_after(code: str) -> set[str]:
    """Top-level modules that a fresh process holds after running `code`."""
    code += "\nimport json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def modules(*, gui: bool) -> list[str]:
    """Names of all modules of the package, of gui or of the rest."""
    walk = pkgutil.walk_packages(napari_cellseg.__path__, "napari_cellseg.")
    names = [module.name for module in walk if not module.name.endswith("__main__")]
    return [name for name in names if (name.split(".")[1] == "gui") == gui]


def test_the_package_imports_little():
    held = top_level_after("import napari_cellseg")
    assert not held & (VIEWER | HEAVY | {"numpy", "dask", "zarr", "matplotlib", "pydantic"})


def test_modules_that_open_files_and_forms_do_not_wait_for_torch():
    names = [name for name in modules(gui=False) if name.split(".")[1] in CHEAP and name not in NETWORKS]
    held = top_level_after("import " + ", ".join(names))
    assert not held & (VIEWER | HEAVY)


def test_no_module_outside_gui_imports_napari():
    held = top_level_after("import " + ", ".join(modules(gui=False)))
    assert not held & VIEWER


def test_reading_an_image_does_not_import_torch(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint16))
    held = top_level_after(
        f"import napari_cellseg\nnapari_cellseg.read_image({str(path)!r}).data.compute(scheduler='sync')"
    )
    assert not held & (VIEWER | HEAVY)


def test_a_network_that_was_converted_before_runs_without_torch(tmp_path):
    spec = ModelSpec("unet-light", "", Classes.of("cell"), stride=4, options={"depth": 2, "width": 4})
    save_model(tmp_path / "m.safetensors", spec, new_model(spec).net)
    tifffile.imwrite(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 99, (64, 64), np.uint8))
    files = [str(tmp_path / "m.safetensors"), str(tmp_path / "a.tif"), "--out", str(tmp_path / "out")]
    arguments = ["segment", *files, "--backend", "openvino", "--device", "cpu", "--overwrite"]
    run = f"from napari_cellseg.cli import main\nassert main({arguments!r}) == 0"
    assert "torch" in top_level_after(run)
    assert not top_level_after(run) & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["list", "architectures"]])
def test_the_command_line_answers_without_torch(arguments):
    held = top_level_after(
        "from napari_cellseg.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code"
    )
    assert not held & (VIEWER | HEAVY)


def test_public_names_exist():
    missing = [name for name in napari_cellseg.__all__ if not hasattr(napari_cellseg, name)]
    assert not missing
