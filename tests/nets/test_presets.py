import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.losses import LOSSES
from napari_cellseg.nets.presets import PRESETS, settings_from
from napari_cellseg.nets.segmenters import ARCHITECTURES, ENCODERS
from napari_cellseg.settings import TrainSettings


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name):
    settings = settings_from(name)
    assert settings.preset == name
    assert settings.architecture in ARCHITECTURES
    assert settings.encoder in ENCODERS
    assert settings.loss in LOSSES
    assert settings.window_px % 2**settings.depth == 0
    assert PRESETS[name].description
    assert set(PRESETS[name].values) <= set(TrainSettings.model_fields) - {"preset"}


def test_what_is_given_wins_over_the_preset_and_that_over_the_default():
    plain, preset = settings_from("default"), settings_from("filament")
    given = settings_from("filament", {"noise": 0.0, "pixel_nm": None})
    assert (plain.noise, preset.noise, given.noise) == (TrainSettings().noise, 0.3, 0.0)
    assert (preset.pixel_nm, given.pixel_nm) == (0.6, None)
    assert given.rotation_degrees == preset.rotation_degrees != plain.rotation_degrees
    assert preset.epochs == plain.epochs


def test_default_preset_changes_nothing():
    assert settings_from("default") == TrainSettings()


def test_the_name_of_the_preset_cannot_be_given_twice():
    assert settings_from("filament", {"preset": "default"}).preset == "filament"


def test_presets_are_not_changed_by_use():
    before = {name: dict(preset.values) for name, preset in PRESETS.items()}
    settings_from("filament", {"pixel_nm": 9.0})
    assert {name: preset.values for name, preset in PRESETS.items()} == before


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(CellsegError, match="unknown preset 'hair'; expected one of default, filament"):
        settings_from("hair")


@pytest.mark.parametrize("given", [{"epochs": 0}, {"epochs": "many"}, {"speed": 3}, {"validation": 1.0}])
def test_bad_values_name_the_setting(given):
    with pytest.raises(CellsegError, match=f"setting {next(iter(given))} ="):
        settings_from("default", given)
