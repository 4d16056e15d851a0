import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import ModelSpec, load_model, new_model, read_spec, save_model, save_tensors
from napari_cellseg.train.checkpoint import TRAINING_KEY, Progress, load_checkpoint, save_checkpoint

SPEC = ModelSpec("unet", "resnet18", Classes.of("a"), stride=8, options={"depth": 3, "width": 4})
PROGRESS = Progress(3, 60, 1 / 3, 12.5, 2, 0.1 + 0.2, {"scale": 65536.0})


def parts(*, seed=0, fused=False, spec=SPEC):
    torch.manual_seed(seed)
    net = new_model(spec).net.train().to(memory_format=torch.channels_last)
    return net, torch.optim.AdamW(net.parameters(), lr=1e-2, fused=fused)


def step(net, optimiser, seed):
    images = torch.randn((2, 1, 16, 16), generator=torch.Generator().manual_seed(seed))
    net(images).square().mean().backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def same(one, two):
    assert one.keys() == two.keys()
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def saved(tmp_path):
    """Return the file of a network and optimiser after two steps, and both."""
    net, optimiser = parts()
    for seed in (1, 2):
        step(net, optimiser, seed)
    save_checkpoint(tmp_path / "last.safetensors", SPEC, net, optimiser, PROGRESS)
    return tmp_path / "last.safetensors", net, optimiser


def test_everything_comes_back(saved):
    path, net, optimiser = saved
    other, its_optimiser = parts(seed=9)
    assert load_checkpoint(path, other, its_optimiser) == PROGRESS
    assert same(net.state_dict(), other.state_dict())
    states, its_states = optimiser.state_dict()["state"], its_optimiser.state_dict()["state"]
    assert states.keys() == its_states.keys()
    for index in states:
        assert same(states[index], its_states[index])


@pytest.mark.parametrize("fused", [False, True])
def test_going_on_is_exact(tmp_path, fused):
    net, optimiser = parts(fused=fused)
    for seed in (1, 2):
        step(net, optimiser, seed)
    save_checkpoint(tmp_path / "last.safetensors", SPEC, net, optimiser, PROGRESS)
    other, its_optimiser = parts(seed=9, fused=fused)
    load_checkpoint(tmp_path / "last.safetensors", other, its_optimiser)
    for seed in (3, 4, 5):
        step(net, optimiser, seed)
        step(other, its_optimiser, seed)
    assert same(net.state_dict(), other.state_dict())


def test_before_the_first_step(tmp_path):
    net, optimiser = parts()
    save_checkpoint(tmp_path / "last.safetensors", SPEC, net, optimiser, Progress())
    other, its_optimiser = parts(seed=9)
    assert load_checkpoint(tmp_path / "last.safetensors", other, its_optimiser) == Progress()
    assert same(net.state_dict(), other.state_dict())
    step(other, its_optimiser, 1)


def test_a_checkpoint_is_a_model(saved):
    path, net, _ = saved
    assert read_spec(path) == SPEC
    assert same(load_model(path).net.state_dict(), net.state_dict())


def test_progress_keeps_every_digit():
    assert Progress(**json.loads(json.dumps(asdict(PROGRESS)))) == PROGRESS
    assert Progress(**json.loads(json.dumps(asdict(Progress())))) == Progress()


class TestWhatIsNoCheckpoint:
    def error_of(self, path, net, optimiser):
        with pytest.raises(CellsegError) as raised:
            load_checkpoint(path, net, optimiser)
        line = str(raised.value)
        assert path.name in line
        assert "\n" not in line
        return line

    def test_missing_empty_truncated(self, saved):
        path, net, optimiser = saved
        self.error_of(path.with_name("gone.safetensors"), net, optimiser)
        whole = path.read_bytes()
        for content in (b"", whole[:1000], whole[:-1], b"\0" * 500):
            path.write_bytes(content)
            self.error_of(path, net, optimiser)

    def test_a_model_and_a_foreign_file(self, tmp_path, saved):
        _, net, optimiser = saved
        save_model(tmp_path / "best.safetensors", SPEC, net)
        assert "no checkpoint" in self.error_of(tmp_path / "best.safetensors", net, optimiser)
        save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
        assert "no checkpoint" in self.error_of(tmp_path / "foreign.safetensors", net, optimiser)

    @pytest.mark.parametrize("header", ["", "{", "[]", '{"mood": 1}', "null"])
    def test_damaged_header(self, tmp_path, saved, header):
        _, net, optimiser = saved
        save_tensors(tmp_path / "a.safetensors", net.state_dict(), {TRAINING_KEY: header})
        self.error_of(tmp_path / "a.safetensors", net, optimiser)

    def test_another_network(self, saved):
        path, _, _ = saved
        wider = ModelSpec("unet", "resnet18", Classes.of("a"), stride=8, options={"depth": 3, "width": 8})
        assert "not of this network" in self.error_of(path, *parts(spec=wider))
