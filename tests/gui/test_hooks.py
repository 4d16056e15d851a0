import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

import napari_cellseg
from napari_cellseg.gui.hooks import (
    FOLDERS,
    SUFFIXES,
    get_reader,
    read_layers,
    simulated_cells,
    simulated_micrograph,
)
from napari_cellseg.gui.layers import link_of
from napari_cellseg.gui.preferences import DEFAULTS, preference
from napari_cellseg.images.micrographs import READERS

MANIFEST = Path(napari_cellseg.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_everything_the_manifest_names_is_there(manifest):
    manifest.validate_imports()


def test_titles_read_well_in_the_palette(manifest):
    for command in manifest.contributions.commands:
        assert command.title[0].isupper()
        assert len(command.title.split()) >= 3


def test_every_setting_has_the_same_default_without_a_settings_page(manifest):
    declared = {
        (page, key): entry.default
        for page, configuration in manifest.contributions.configurations.items()
        for key, entry in configuration.properties.items()
    }
    assert declared == DEFAULTS
    assert preference("annotate", "autosave_seconds") <= 4


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("a.mrc", True),
        ("a.TIF", True),
        ("a.ome.zarr", True),
        ("a.zarr", True),
        ("a.btf", True),
        ("a.png", False),
        (["a.tif", "b.txt"], False),
        ([], False),
    ],
)
def test_only_what_is_read_better_is_taken(path, ours):
    assert (get_reader(path) is not None) == ours


def test_every_suffix_that_is_taken_can_be_read(manifest):
    readable = {suffix for reader in READERS.values() for suffix in reader.suffixes}
    assert set(SUFFIXES) <= readable
    patterns = manifest.contributions.readers[0].filename_patterns
    assert {f"*{suffix}" for suffix in (*SUFFIXES, *FOLDERS)} <= set(patterns)


def test_a_stack_is_shown_plane_by_plane(tmp_path):
    pixels = np.arange(7 * 5 * 6, dtype=np.float32).reshape(7, 5, 6)
    mrcfile.write(tmp_path / "a.mrcs", pixels, voxel_size=2.0)
    ((data, keywords, kind),) = read_layers(str(tmp_path / "a.mrcs"))
    layer = ViewerModel().add_image(data, **keywords)
    assert (kind, layer.name, layer.data.shape) == ("image", "a", (7, 5, 6))
    np.testing.assert_allclose(layer.scale, (1, 0.2, 0.2))
    assert [str(unit) for unit in layer.units] == ["pixel", "nanometer", "nanometer"]


def test_an_image_file_opens_with_its_pixel_size(images):
    ((data, keywords, kind),) = read_layers(str(images[0]))
    assert (kind, data.shape, keywords["name"]) == ("image", (64, 80), "bar_1")
    assert keywords["scale"][0] == pytest.approx(0.5)


def test_a_project_opens_with_its_first_image(make_napari_viewer_proxy, project):
    viewer = make_napari_viewer_proxy()
    data, keywords, _ = read_layers(str(project.path))[0]
    link = link_of(viewer.add_image(data, **keywords))
    assert (link.project, link.image) == (project.path, "bar_1")


@pytest.mark.parametrize("sample", [simulated_micrograph, simulated_cells])
def test_samples_come_with_their_truth(sample):
    (image, _, first), (truth, keywords, second) = sample()
    assert (first, second) == ("image", "labels")
    assert image.shape == truth.shape
    assert set(np.unique(truth)) == {1, 2}
    assert keywords["scale"][0] > 0


def test_docks_open_without_torch():
    code = """
import sys
import napari
viewer = napari.Viewer(show=False)
from importlib import import_module
for name in ("annotate", "train", "segment", "filaments", "study"):
    module = import_module(f"napari_cellseg.gui.{name}")
    viewer.window.add_dock_widget(getattr(module, f"{name.title()}Dock")(viewer), name=name)
print("torch", "torch" in sys.modules, "dask.array", "dask.array" in sys.modules)
viewer.close()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert "torch False" in done.stdout
