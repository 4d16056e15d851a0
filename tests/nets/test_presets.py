import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.encoders import check_encoder
from napari_cellseg.nets.losses import LOSSES
from napari_cellseg.nets.presets import PRESETS, settings_from
from napari_cellseg.nets.segmenters import find_architecture
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train.run import OPTIONS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name):
    settings = settings_from(name)
    assert settings.preset == name
    architecture = find_architecture(settings.architecture)
    check_encoder(settings.encoder)
    assert settings.loss in LOSSES
    options = architecture.completed({name: getattr(settings, name) for name in OPTIONS})
    assert settings.window_px % architecture.stride(options) == 0
    assert PRESETS[name].description
    assert set(PRESETS[name].values) <= set(TrainSettings.model_fields) - {"preset"}


def test_what_is_given_wins_over_the_preset_and_that_over_the_default():
    plain, preset = settings_from("default"), settings_from("filament-best")
    given = settings_from("filament-best", {"noise": 0.0, "pixel_nm": None})
    assert (plain.noise, preset.noise, given.noise) == (TrainSettings().noise, 0.3, 0.0)
    assert (preset.pixel_nm, given.pixel_nm) == (0.8, None)
    assert given.rotation_degrees == preset.rotation_degrees != plain.rotation_degrees
    assert preset.weight_decay == plain.weight_decay


def test_default_preset_changes_nothing():
    assert settings_from("default") == TrainSettings()


def test_the_name_of_the_preset_cannot_be_given_twice():
    assert settings_from("filament-best", {"preset": "default"}).preset == "filament-best"


def test_presets_are_not_changed_by_use():
    before = {name: dict(preset.values) for name, preset in PRESETS.items()}
    settings_from("filament-best", {"pixel_nm": 9.0})
    assert {name: preset.values for name, preset in PRESETS.items()} == before


def test_unknown_preset_lists_near_ones_or_all():
    with pytest.raises(CellsegError, match="unknown preset 'hair'; expected one of default, deeplabv3plus"):
        settings_from("hair")
    with pytest.raises(CellsegError, match="unknown preset 'membrain'; expected one of membrane"):
        settings_from("membrain")


def test_every_published_system_is_there_as_published_and_on_tiles():
    published = {name for name, preset in PRESETS.items() if preset.published}
    assert published == {"vgg16-pspnet", "unet-vanilla", "unet-nested", "unet-augmented", "fastai-unet"}
    for name in published:
        whole, tiled = settings_from(name), settings_from(f"{name}-tiles")
        assert (whole.prepare, tiled.prepare) == ("resize", "tiles")
        same = ("architecture", "encoder", "optimiser", "learning_rate", "schedule", "loss", "epochs")
        assert [getattr(whole, key) for key in same] == [getattr(tiled, key) for key in same]


@pytest.mark.parametrize("given", [{"epochs": 0}, {"epochs": "many"}, {"speed": 3}, {"validation": 1.0}])
def test_bad_values_name_the_setting(given):
    with pytest.raises(CellsegError, match=f"setting {next(iter(given))} ="):
        settings_from("default", given)
