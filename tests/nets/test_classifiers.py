import pytest
import torch
from safetensors.torch import save_file

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.classifier_presets import CLASSIFIER_PRESETS, EVERY_PRESET, classifier_settings
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.classifiers import (
    BACKBONES,
    HEADS,
    build_classifier,
    find_backbone,
    find_backbone_weights,
    load_backbone_weights,
)
from napari_cellseg.nets.model import load_model, new_model, read_spec, save_model
from napari_cellseg.nets.presets import PRESETS

SMALL = "resnet10t"  # of timm


def spec_of(architecture="cells-small", head="linear", channels=1, size=(16, 24), **more):
    names = tuple(f"Ch{number}" for number in range(1, channels + 1))
    return ClassifierSpec(architecture, head, ("a", "b", "c"), names, size, ((0.0, 1.0),) * channels, **more)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_a_logit_a_class(head):
    net = build_classifier(spec_of(head=head)).eval()
    assert net(torch.zeros(2, 1, 16, 24)).shape == (2, 3)
    widths = [layer.out_features for layer in net.heads[0] if isinstance(layer, torch.nn.Linear)]
    assert tuple(widths) == (*HEADS[head].widths, 3)


def test_the_published_heads_are_as_published():
    hidden = {name: HEADS[name].widths for name in ("I", "II", "III", "IV")}
    assert hidden == {
        "I": (512,),
        "II": (512, 256, 128),
        "III": (512, 256, 128),
        "IV": (512, 256, 128, 128),
    }
    net = build_classifier(spec_of(head="III"))
    kinds = [type(layer).__name__ for layer in net.heads[0]]
    block = ["Linear", "ReLU"]
    assert kinds == [*block, "Dropout", *block, "Dropout", *block, "Linear"]
    assert {layer.p for layer in net.heads[0] if isinstance(layer, torch.nn.Dropout)} == {0.2}


@pytest.mark.parametrize("channels", [1, 2, 3, 12])
@pytest.mark.parametrize("architecture", ["cells-small", SMALL])
def test_any_number_of_channels(architecture, channels):
    net = build_classifier(spec_of(architecture, channels=channels, size=(32, 32))).eval()
    assert net(torch.rand(2, channels, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_are_known_by_name(name):
    assert find_backbone(name) is BACKBONES[name]


def test_what_does_not_fit_is_one_line():
    for spec, line in (
        (spec_of("resnet51"), "unknown network for cells 'resnet51'.*resnet50"),
        (spec_of(head="V"), "unknown head 'V'; expected one of linear, I"),
        (spec_of(channels=13), "13 channels; expected 1 to 12"),
        (spec_of(channels=2, options={"rgb": True}), "2 channels .* as RGB"),
        (spec_of("inception_v3", size=(16, 16)), "inception_v3 for cells of 16 x 16"),
    ):
        with pytest.raises(CellsegError, match=line):
            build_classifier(spec)


def test_one_channel_as_rgb_is_the_channel_three_times():
    torch.manual_seed(1)
    grey = build_classifier(spec_of(SMALL, size=(32, 32), options={"rgb": True})).eval()
    colour = build_classifier(spec_of(SMALL, channels=3, size=(32, 32))).eval()
    colour.load_state_dict(grey.state_dict())
    picture = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(grey(picture), colour(picture.repeat(1, 3, 1, 1)))


def test_members_and_views_are_averaged():
    net = build_classifier(spec_of(size=(16, 16), options={"members": 2})).eval()
    picture = torch.rand(3, 1, 16, 16)
    both = net.decide(net.embed(picture))
    assert len(both) == 2
    assert not torch.equal(*both)
    torch.testing.assert_close(net(picture), torch.stack(both).mean(0))
    turned = net(picture.transpose(2, 3).flip(3), None, 8)
    torch.testing.assert_close(net(picture, None, 8), turned)


def test_measurements_reach_the_head():
    net = build_classifier(spec_of(options={"measurements": 2})).eval()
    pictures = torch.rand(2, 1, 16, 24)
    assert not torch.equal(net(pictures, torch.zeros(2, 2)), net(pictures, torch.ones(2, 2)))
    with pytest.raises(ValueError, match="measurements"):
        net(pictures)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    import timm

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "resnet10t.safetensors"
    save_file(timm.create_model(SMALL, pretrained=False).state_dict(), path)
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_local_weights_are_adapted_to_the_channels(weights_file, channels):
    net = build_classifier(spec_of(SMALL, channels=channels, size=(32, 32))).eval()
    load_backbone_weights(net, SMALL, weights_file)
    if channels == 1:  # grey looks as it does to the network of three colours
        colour = build_classifier(spec_of(SMALL, channels=3, size=(32, 32))).eval()
        load_backbone_weights(colour, SMALL, weights_file)
        grey = torch.rand(1, 1, 32, 32)
        torch.testing.assert_close(
            net.embed(grey), colour.embed(grey.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-4
        )


def test_weights_that_are_none(tmp_path, weights_file):
    net = build_classifier(spec_of(SMALL, size=(32, 32)))
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    for path in (tmp_path / "missing", tmp_path / "foreign"):
        with pytest.raises(CellsegError, match="no weights of resnet10t"):
            load_backbone_weights(net, SMALL, path)


def test_where_weights_are_found(monkeypatch, weights_file):
    monkeypatch.setattr("napari_cellseg.nets.classifiers.hub_file", lambda name: (None, "no network"))
    assert find_backbone_weights(SMALL) == (None, "no network")
    assert find_backbone_weights(SMALL, weights_file=str(weights_file)) == (weights_file, "")
    assert find_backbone_weights("cells-small") == (None, "there are none")
    with pytest.raises(CellsegError, match="cells-small"):
        find_backbone_weights("cells-small", weights_file=str(weights_file))


@pytest.mark.parametrize("architecture", ["cells-small", "resnet18", SMALL])
def test_a_model_file_round_trips(tmp_path, architecture):
    classes = ("Größe β", "b c", "a")  # their order is theirs
    spec = ClassifierSpec(
        architecture,
        "II",
        classes,
        ("Ch4", "Ch12"),
        (32, 16),
        ((0.0, 4095.0), (10.0, 20.0)),
        temperature=1.5,
        thresholds=(0.5, 0.0, 1.0),
        provenance={"settings": {"seed": 1}},
    )
    made = new_model(spec)
    path = save_model(tmp_path / "m.safetensors", spec, made.net)
    assert read_spec(path, task="classify") == read_spec(path, task="any") == spec
    loaded = load_model(path, task="classify")
    assert loaded.spec.classes == classes
    assert loaded.id == f"m-{loaded.sha256[:8]}"
    pictures = torch.rand(2, 2, 32, 16)
    torch.testing.assert_close(loaded.net(pictures), made.net(pictures))


def test_a_model_of_the_other_task_is_refused(tmp_path, model_file):
    path = save_model(tmp_path / "c.safetensors", spec_of(), build_classifier(spec_of()))
    with pytest.raises(CellsegError, match=r"a model that can classify; .* `napari-cellseg classify`"):
        load_model(path)
    with pytest.raises(CellsegError, match=r"a model that can segment; .* `napari-cellseg segment`"):
        load_model(model_file, task="classify")
    assert load_model(model_file, task="any").spec.task == "segment"


def test_specs_that_are_wrong():
    with pytest.raises(CellsegError, match="at least two"):
        ClassifierSpec("cells-small", "linear", ("a",), ("x",), (8, 8), ((0.0, 1.0),))
    with pytest.raises(CellsegError, match="unclassified"):
        ClassifierSpec("cells-small", "linear", ("a", "unclassified"), ("x",), (8, 8), ((0.0, 1.0),))
    with pytest.raises(CellsegError, match="2 bounds for 1 channels"):
        ClassifierSpec("cells-small", "linear", ("a", "b"), ("x",), (8, 8), ((0.0, 1.0),) * 2)
    values = spec_of().to_json()
    for changed in (values | {"schema": 2}, values | {"size": 3}, values | {"new": 1}):
        with pytest.raises(CellsegError, match="model spec"):
            ClassifierSpec.from_json(changed)


@pytest.mark.parametrize("name", CLASSIFIER_PRESETS)
def test_presets_are_valid_and_name_what_there_is(name):
    settings = classifier_settings(name)
    assert settings.architecture in BACKBONES
    assert settings.head in HEADS
    assert settings.preset == name
    assert name not in PRESETS
    assert EVERY_PRESET[name].description


def test_published_presets_are_as_published():
    settings = classifier_settings("phyto-resnet50-III")
    assert (settings.height_px, settings.width_px, settings.epochs, settings.validation) == (64, 32, 10, 0.3)
    assert settings.frozen
    assert settings.best_by == "loss"
    assert settings.patience
    assert (settings.calibration, settings.test) == (0.0, 0.0)
    assert "phyto-vgg16-IV" not in CLASSIFIER_PRESETS


def test_unknown_presets():
    with pytest.raises(CellsegError, match=r"unknown preset: 'cells-bets'; expected .*cells-best"):
        classifier_settings("cells-bets")
    with pytest.raises(CellsegError, match="a preset that segments: 'vessels'"):
        classifier_settings("vessels")
