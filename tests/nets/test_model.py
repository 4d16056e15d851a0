import copy
import errno
import json
import pickle
import resource
import signal
import struct
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import (
    HEADER_KEY,
    ModelSpec,
    file_sha256,
    load_model,
    new_model,
    read_header,
    read_spec,
    save_model,
    save_tensors,
)
from napari_cellseg.nets.model_cache import cache_folder, note_fact

WINDOW = torch.linspace(-1, 1, 2 * 32 * 40).reshape(1, 2, 32, 40)
FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


def write_spec(path, text, tensors=None):
    """Write a safetensors file with `text` where the spec stands."""
    save_file(tensors or {"a": torch.zeros(1)}, path, {HEADER_KEY: text})
    return path


def error_of(action, path):
    """Return the one line that `action` raises about `path`."""
    with pytest.raises(CellsegError) as raised:
        action(path)
    line = str(raised.value)
    assert path.name in line
    assert "\n" not in line
    return line


def test_model_comes_back_as_it_was(model_file, spec, model):
    loaded = load_model(model_file)
    assert loaded.spec == spec == read_spec(model_file)
    assert (loaded.path, loaded.sha256) == (model_file, file_sha256(model_file))
    assert not loaded.net.training
    assert loaded.net.state_dict().keys() == model.net.state_dict().keys()
    for name, tensor in loaded.net.state_dict().items():
        assert tensor.dtype == model.net.state_dict()[name].dtype
        assert torch.equal(tensor, model.net.state_dict()[name])
    with torch.no_grad():
        assert torch.equal(loaded.net(WINDOW), model.net(WINDOW))


def test_the_network_of_a_model_that_was_used_before_is_read_when_it_is_asked_for(model_file, model):
    note_fact(cache_folder(load_model(model_file)), "seconds", 1.0)
    loaded = load_model(model_file)
    assert "net" not in vars(loaded)
    sent = copy.copy(loaded)  # as what is sent to another process
    assert "net" not in vars(sent)
    with torch.no_grad():
        for one in (loaded, sent, replace(loaded, path=None)):
            assert torch.equal(one.net(WINDOW), model.net(WINDOW))
    assert loaded.net is loaded.net
    with pytest.raises(AttributeError, match="network"):
        _ = loaded.network


def test_writing_the_same_model_twice_gives_the_same_file(tmp_path, model_file, spec, model):
    again = save_model(tmp_path / "again.safetensors", spec, model.net)
    assert file_sha256(again) == file_sha256(model_file)


def test_missing_folders_are_made_and_no_part_is_left(tmp_path, spec, model):
    path = save_model(tmp_path / "new" / "folder" / "m.safetensors", spec, model.net)
    assert [p.name for p in path.parent.iterdir()] == ["m.safetensors"]


@given(
    targets=st.lists(st.text(min_size=1, max_size=9).filter(str.strip), max_size=4, unique=True),
    channels=st.integers(1, 5),
    pixel_nm=st.none() | st.floats(1e-3, 1e4),
    halo_px=st.integers(0, 512),
    provenance=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none()),
)
def test_spec_round_trip(targets, channels, pixel_nm, halo_px, provenance):
    targets = [name for name in targets if name not in ("background", "not annotated")]
    spec = ModelSpec("unet", "resnet18", Classes.of(*targets), channels, pixel_nm, halo_px=halo_px)
    spec = replace(spec, provenance=provenance)
    assert ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.outputs == len(targets) + 1


def test_spec_is_read_without_torch(model_file):
    code = (
        "import sys; from napari_cellseg.nets.model import read_spec;"
        "print(read_spec(sys.argv[1]).classes.targets);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning_fabric', 'napari')))"
    )
    result = subprocess.run([sys.executable, "-c", code, str(model_file)], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip() == "('filament', 'carbon')"


class TestWhatIsNoModel:
    """Each costs one line that names the file."""

    @pytest.mark.parametrize("action", [read_header, read_spec, load_model])
    def test_missing(self, tmp_path, action):
        assert "no such model file" in error_of(action, tmp_path / "a.safetensors")
        (tmp_path / "folder.safetensors").mkdir()
        error_of(action, tmp_path / "folder.safetensors")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0",
            b"not a model",
            bytes(range(256)) * 8,
            b"\xff" * 64,
            struct.pack("<Q", 2) + b"{}" + b"more",
            struct.pack("<Q", 4) + b"nope",
        ],
        ids=["empty", "one byte", "text", "bytes", "huge header", "trailing", "no JSON"],
    )
    @pytest.mark.parametrize("action", [read_spec, load_model])
    def test_other_bytes(self, tmp_path, action, content):
        path = tmp_path / "a.safetensors"
        path.write_bytes(content)
        assert "damaged or not a model file" in error_of(action, path)

    @given(content=st.binary(max_size=200))
    def test_random_bytes(self, tmp_path_factory, content):
        path = tmp_path_factory.mktemp("random") / "a.safetensors"
        path.write_bytes(content)
        error_of(load_model, path)

    @pytest.mark.parametrize("kept", [4, 100, 5000, -1])
    @pytest.mark.parametrize("action", [read_spec, load_model])
    def test_truncated(self, model_file, action, kept):
        model_file.write_bytes(model_file.read_bytes()[:kept])
        assert "damaged" in error_of(action, model_file)

    def test_pickle_is_never_opened(self, tmp_path, model):
        class Trap:
            def __reduce__(self):
                return open, (str(tmp_path / "sprung"), "w")

        pickled, saved = tmp_path / "a.pkl", tmp_path / "b.pt"
        pickled.write_bytes(pickle.dumps(Trap()))
        torch.save(model.net.state_dict(), saved)
        for path in (pickled, saved):
            assert "pickled models" in error_of(load_model, path)
        assert not (tmp_path / "sprung").exists()

    def test_safetensors_of_somebody_else(self, tmp_path):
        for header in (None, {"format": "pt"}):
            save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", header)
            assert "without a napari-cellseg spec" in error_of(load_model, tmp_path / "a.safetensors")

    @pytest.mark.parametrize("text", ["", "{", '{"schema": 1', "\0", "NaN?"])
    def test_damaged_spec(self, tmp_path, text):
        assert "damaged" in error_of(read_spec, write_spec(tmp_path / "a.safetensors", text))

    @pytest.mark.parametrize("text", ["[]", "3", "null", '"unet"', "{}", '[["schema", 1]]'])
    def test_spec_of_another_kind(self, tmp_path, text):
        error_of(read_spec, write_spec(tmp_path / "a.safetensors", text))

    def test_later_version(self, tmp_path, spec):
        text = json.dumps(spec.to_json() | {"schema": 99, "hologram": True})
        line = error_of(read_spec, write_spec(tmp_path / "a.safetensors", text))
        assert "schema 99" in line
        assert "update napari-cellseg" in line

    @pytest.mark.parametrize(
        "changes",
        [
            {"classes": None},
            {"classes": {"names": ["a"], "colors": ["#000000"]}},
            {"hologram": True},
            {"architecture": "transformer9"},
            {"encoder": "vgg"},
            {"channels": "three"},
            {"channels": 3},
            {"channels": -1},
            {"options": {"depth": 4, "width": 4}},
            {"options": {"depth": 9}},
            {"options": {"depth": "deep"}},
            {"options": []},
            {"classes": Classes.of("one").to_json()},
        ],
        ids=str,
    )
    def test_spec_that_does_not_fit_the_weights(self, tmp_path, spec, model, changes):
        text = json.dumps(spec.to_json() | changes)
        path = write_spec(tmp_path / "a.safetensors", text, model.net.state_dict())
        error_of(load_model, path)

    def test_spec_without_a_key(self, tmp_path, spec):
        for key in ("classes", "architecture", "schema"):
            values = spec.to_json()
            del values[key]
            error_of(read_spec, write_spec(tmp_path / "a.safetensors", json.dumps(values)))

    def test_weights_missing(self, tmp_path, spec, model):
        tensors = dict(model.net.state_dict())
        del tensors["encoder.conv1.weight"]
        path = write_spec(tmp_path / "a.safetensors", json.dumps(spec.to_json()), tensors)
        line = error_of(load_model, path)
        assert "do not fit" in line
        assert "encoder.conv1.weight" in line


class TestFullDisk:
    """What was there stays there, and nothing half-written is left."""

    @pytest.mark.parametrize(
        "error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError(FULL)]
    )
    def test_former_model_is_kept(self, model_file, spec, model, monkeypatch, error):
        def fill_disk(tensors, path, header):
            path.write_bytes(b"half")
            raise error

        before = model_file.read_bytes()
        monkeypatch.setattr("safetensors.torch.save_file", fill_disk)
        assert "the disk is full" in error_of(lambda path: save_model(path, spec, model.net), model_file)
        assert model_file.read_bytes() == before
        assert [p.name for p in model_file.parent.iterdir()] == [model_file.name]

    def test_error_of_the_library_itself_passes(self, tmp_path, monkeypatch):
        def refuse(*_):
            raise SafetensorError("no such dtype")

        monkeypatch.setattr("safetensors.torch.save_file", refuse)
        with pytest.raises(SafetensorError, match="dtype"):
            save_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {})
        assert not list(tmp_path.iterdir())

    def test_the_system_refuses_to_write_more(self, model_file, spec, model):
        before = model_file.read_bytes()
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
            line = error_of(lambda path: save_model(path, spec, model.net), model_file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert "cannot be written" in line
        assert model_file.read_bytes() == before


def test_tensors_of_any_layout_are_written_as_they_are(tmp_path):
    tensors = {
        "last": torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        "step": torch.tensor(7),
        "half": torch.ones(2, dtype=torch.bfloat16, requires_grad=True),
        "turned": torch.arange(6).reshape(2, 3).T,
    }
    loaded = load_file(save_tensors(tmp_path / "a.safetensors", tensors, {"note": "ä"}))
    assert all(
        torch.equal(loaded[name], tensors[name]) and loaded[name].dtype == tensors[name].dtype
        for name in tensors
    )
    assert read_header(tmp_path / "a.safetensors") == {"note": "ä"}


def test_same_seed_gives_the_same_weights(spec):
    nets = []
    for _ in range(2):
        torch.manual_seed(3)
        nets.append(new_model(spec).net.state_dict())
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
