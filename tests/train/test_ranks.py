"""Trainings that several processes share, on CPUs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
import torch

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.model import load_model
from napari_cellseg.settings import TrainSettings
from napari_cellseg.train import ranks
from napari_cellseg.train.ranks import OTHERS_ENDED, Ranks, check_devices, run_ranks

STEP = """
import sys
import torch
from napari_cellseg.train.passes import Passes
from napari_cellseg.train.ranks import Ranks

ranks = Ranks("cpu", "float32")
torch.manual_seed(0)
net = torch.nn.Conv2d(1, 2, 3, padding=1)
images, targets = torch.randn(8, 1, 6, 7), torch.randint(0, 2, (8, 6, 7))
net, optimiser = ranks.fabric.setup(net, torch.optim.SGD(net.parameters(), lr=0.5))
share = ranks.share(8)
mine = slice(ranks.number * share, (ranks.number + 1) * share)
loss = torch.nn.functional.cross_entropy
at_a_time = 2 if ranks.number else None  # where memory is short on one of them
passes = Passes(net, loss, ranks.fabric.backward, at_a_time, lambda here: ranks.alone(net, here=here))
found = ranks.sums(*passes(images[mine], targets[mine]))
optimiser.step()
assert ranks.any(ranks.number == ranks.count - 1)
assert not ranks.any(False)
assert ranks.from_first(ranks.number) == 0
if ranks.first:
    torch.save([net.module.weight.data, found[0] / ranks.count, *found[1:]], sys.argv[1])
"""


def stepped(folder, count) -> list:
    """What a step on the same windows gives, shared by so many processes."""
    shared = {
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": 1,
    }
    shared["MASTER_PORT"] = 20_000 + os.getpid() % 20_000
    (folder / "step.py").write_text(STEP)
    target = folder / f"{count}.pt"
    processes = [
        subprocess.Popen(
            [sys.executable, str(folder / "step.py"), str(target)],
            env=os.environ
            | {key: str(value) for key, value in (shared | {"RANK": k, "LOCAL_RANK": k}).items()},
        )
        for k in range(count)
    ]
    assert [process.wait(60) for process in processes] == [0] * count
    return torch.load(target, weights_only=True)


def test_a_shared_step_is_the_step_of_one(tmp_path):
    alone, shared = stepped(tmp_path, 1), stepped(tmp_path, 2)
    torch.testing.assert_close(shared[0], alone[0])
    assert shared[1:] == pytest.approx(alone[1:])


def test_one_process_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    one = Ranks("cpu", "float32")
    assert (one.count, one.number, one.first, one.share(7)) == (1, 0, True, 7)
    assert one.sums(1.5, 2) == [1.5, 2]
    assert one.any(True)
    assert one.from_first("x") == "x"
    np.testing.assert_array_equal(one.stream(3, 4).random(5), np.random.default_rng([3, 4]).random(5))
    net = torch.nn.BatchNorm2d(2)
    assert one.prepared(net) is net


@pytest.mark.parametrize(
    ("count", "settings", "said"),
    [
        (2, {"batch": 3}, "3 windows a step for 2 devices.*--batch 4"),
        (0, {}, "0 devices; expected 1 to"),
        (10_000, {}, "10000 devices; expected 1 to"),
    ],
)
def test_what_cannot_be_shared(count, settings, said):
    with pytest.raises(CellsegError, match=said):
        check_devices(count, TrainSettings(device="cpu", **settings))


def test_one_card_is_not_several(monkeypatch):
    monkeypatch.setattr(ranks, "pick_device", lambda device: device)
    with pytest.raises(CellsegError, match="--device mps; expected --device cuda or cpu"):
        check_devices(2, TrainSettings(device="mps"))


def command(folder, text, monkeypatch) -> Path:
    """Have a script in place of the program."""
    script = folder / "program"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return folder / "stop"


@pytest.mark.skipif(os.name != "posix", reason="the script is for sh")
@pytest.mark.parametrize(
    ("text", "code"),
    [("exit 0", 0), ("exit 2", 2), ("[ $RANK = 0 ] && exit 130; exit 0", 130)],
)
def test_the_code_is_that_of_the_first(text, code, tmp_path, monkeypatch):
    assert run_ranks([], 3, command(tmp_path, text, monkeypatch)) == code


@pytest.mark.skipif(os.name != "posix", reason="the script is for sh")
def test_one_that_fails_ends_all_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "SAY_SECONDS", 0.5)
    text = f"""
[ $RANK = 2 ] && echo more >&2 && echo 'napari-cellseg: no memory' >&2 && exit 2
[ $RANK = 1 ] && exit {OTHERS_ENDED}
exec sleep 100"""
    start = time.monotonic()
    with pytest.raises(CellsegError, match="device 3 of 3: no memory"):
        run_ranks([], 3, command(tmp_path, text, monkeypatch))
    assert time.monotonic() - start < 30
    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcd":
        truth = np.zeros((64, 80), np.uint8)
        truth[8:28, 10:30] = truth[36:56, 44:70] = 255
        tifffile.imwrite(tmp_path / f"{name}.tif", (rng.normal(100, 5, truth.shape) + truth / 4).astype("f4"))
        tifffile.imwrite(tmp_path / f"{name}_mask.tif", truth)
    return tmp_path


def test_two_processes_train_and_go_on(folder, capfd):
    """Ended by the time limit, which the first one tells all, and gone on with by one."""
    options = "--architecture unet-light --depth 2 --width 8 --window-px 32 --batch 4 --steps 8 --device cpu"
    files = ["--images", str(folder / "[a-d].tif"), "--masks", str(folder / "*_mask*")]
    model = folder / "m.safetensors"
    shared = [*options.split(), "--epochs", "1000", "--minutes", "0.02", "--devices", "2"]
    assert main(["train", str(model), *files, *shared]) == 0
    said = capfd.readouterr()
    assert said.out.splitlines() == [str(model)]
    assert "time after" in said.err
    assert "Dice object" in said.err
    run = folder / "m.run"
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events].count("finished") == 1
    steps = [event["step"] for event in events if event["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert json.loads((run / "environment.json").read_text())["devices"] == 2
    assert not list(run.glob("cache*"))
    assert load_model(model).spec.provenance["devices"] == 2
    assert (run / "last.safetensors").exists()
    assert main(["train", str(model), "--resume", "--events"]) == 0


def test_a_run_that_is_only_prepared(folder, capsys):
    files = ["--images", str(folder / "[a-d].tif"), "--masks", str(folder / "*_mask*")]
    assert main(["train", str(folder / "m.safetensors"), *files, "--prepare-only"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(folder / "m.run")]
    assert not (folder / "m.run" / "events.jsonl").exists()
    assert not (folder / "m.safetensors").exists()
