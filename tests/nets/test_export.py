"""What is written for other programs says what the network says."""

import json
import zipfile

import numpy as np
import pytest
import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets import export
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.export import EXPORTERS, export_model
from napari_cellseg.nets.model import ModelSpec, load_model, new_model, save_model

ENDINGS = {name: exporter.ending for name, exporter in EXPORTERS.items()}
WINDOW = np.random.default_rng(0).normal(size=(1, 2, 64, 104)).astype(np.float32)


@pytest.fixture
def saved(model_file):
    return load_model(model_file)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    spec = ClassifierSpec(
        "cells-small",
        "linear",
        ("a", "b", "c"),
        ("Ch4", "Ch6"),
        (16, 24),
        ((0.0, 1.0),) * 2,
        measured="size",
        temperature=2.0,
        views=4,
        options={"measurements": 2},
    )
    path = tmp_path_factory.mktemp("classifier") / "cells.safetensors"
    save_model(path, spec, new_model(spec).net)
    return load_model(path, task="classify")


def exact(model, *pictures):
    with torch.no_grad():
        return model.net(*map(torch.from_numpy, pictures)).softmax(1).numpy()


def test_onnx_takes_any_size_and_tells_what_it_is(saved, tmp_path):
    import onnx
    import onnxruntime

    done = export_model(saved, "onnx", tmp_path / "m.onnx")
    assert done.path == tmp_path / "m.onnx"
    assert done.size is None
    assert done.difference < 1e-4
    session = onnxruntime.InferenceSession(done.path)
    (found,) = session.run(["probabilities"], {"image": WINDOW})
    np.testing.assert_allclose(found, exact(saved, WINDOW), atol=1e-4)
    (told,) = [prop.value for prop in onnx.load(done.path).metadata_props if prop.key == "napari-cellseg"]
    assert ModelSpec.from_json(json.loads(told)) == saved.spec


def test_openvino(saved, tmp_path):
    import openvino

    done = export_model(saved, "openvino", tmp_path / "m.xml")
    assert sorted(path.name for path in tmp_path.glob("m.*")) == ["m.bin", "m.xml"]
    network = openvino.Core().read_model(done.path)
    found = openvino.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(WINDOW)[0]
    np.testing.assert_allclose(found, exact(saved, WINDOW), atol=1e-4)
    told = json.loads(network.get_rt_info(["napari-cellseg", "spec"]).astype(str))
    assert ModelSpec.from_json(told) == saved.spec


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files open
def test_bioimageio_opens_in_its_own_library(saved, tmp_path):
    from bioimageio.core import load_model_description, test_model

    done = export_model(saved, "bioimageio", tmp_path / "m.zip")
    assert [path.name for path in tmp_path.glob("m.*")] == ["m.zip"]
    names = zipfile.ZipFile(done.path).namelist()
    assert {"model.onnx", "input.npy", "output.npy", "cover.png", "README.md"} <= set(names)
    described = load_model_description(done.path)
    assert described.outputs[0].axes[1].channel_names == ["background", "filament", "carbon"]
    assert described.inputs[0].axes[2].scale == pytest.approx(0.0006)
    assert test_model(done.path).status == "passed"


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_classifiers_with_their_temperature_and_views(to, classifier, tmp_path):
    done = export_model(classifier, to, tmp_path / f"cells{ENDINGS[to]}")
    assert done.difference < 1e-4


def test_bioimageio_has_no_form_for_classifiers(classifier, tmp_path):
    with pytest.raises(CellsegError, match="no form for it; use --to onnx"):
        export_model(classifier, "bioimageio", tmp_path / "m.zip")


def test_a_network_of_one_size(tmp_path):
    options = {"depth": 3, "width": 4}
    model = new_model(ModelSpec("unet", "resnet18", Classes.of("a"), input_px=64, options=options, stride=8))
    assert export_model(model, "onnx", tmp_path / "m.onnx").size == (64, 64)


def test_one_that_can_only_be_written_for_one_size_says_so(tmp_path):
    model = new_model(ModelSpec("pspnet", "resnet18", Classes.of("a"), stride=8, options={}))
    assert export_model(model, "onnx", tmp_path / "m.onnx").size == (256, 256)


def test_other_probabilities_are_refused_and_leave_nothing(saved, tmp_path, monkeypatch):
    run = export._run_onnx
    monkeypatch.setattr(export, "_run_onnx", lambda path: lambda pictures: run(path)(pictures) + 0.01)
    with pytest.raises(CellsegError, match=r"differ by up to 0\.01 from PyTorch's; expected at most 0\.001"):
        export_model(saved, "onnx", tmp_path / "m.onnx")
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.parametrize(
    ("to", "name", "says"),
    [
        ("papyrus", "m.onnx", "one of onnx, openvino, bioimageio"),
        ("onnx", "m.zip", "ends in .onnx"),
        ("onnx", "there.onnx", "--overwrite"),
    ],
)
def test_wrong_requests(to, name, says, saved, tmp_path):
    (tmp_path / "there.onnx").write_text("somebody's")
    with pytest.raises(CellsegError, match=says):
        export_model(saved, to, tmp_path / name)
    assert (tmp_path / "there.onnx").read_text() == "somebody's"


def test_what_is_not_installed_is_named(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_absent", lambda name: name == "onnxscript")
    with pytest.raises(CellsegError, match=r"onnxscript missing \(pip install 'napari-cellseg\[export\]'\)"):
        export_model(saved, "onnx", tmp_path / "m.onnx")
