"""The command line without a process of its own: what it prints, returns and leaves on the disk."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.nets.model import read_spec

TINY = (  # noqa: SIM905
    "--epochs 1 --steps 1 --batch 2 --window-px 32 --depth 3 --width 4 --no-pretrained --device cpu "
    "--validation 0.3"
).split()


def write_pair(folder: Path, name: str, seed: int) -> None:
    """A noisy image with a bright square, and its mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((96, 96), np.uint8)
    mask[16:48, 8 + seed : 72] = mask[64:80, 16:80] = 255
    image = rng.normal(100, 10, mask.shape) + 0.2 * mask
    tifffile.imwrite(folder / f"{name}.tif", image.astype(np.float32))
    tifffile.imwrite(folder / f"{name}_mask.tif", mask)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two images with masks and a model that was trained on them for one step."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "images").mkdir()
    for seed, name in enumerate(("a", "b")):
        write_pair(folder / "images", name, seed)
    assert main(["train", str(folder / "m.safetensors"), *files(folder), *TINY]) == 0
    return folder


def files(folder: Path) -> list[str]:
    images = folder / "images"
    return ["--images", str(images / "[ab].tif"), "--masks", str(images / "*_mask.tif")]


def one_line(capsys) -> str:
    """The only line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("napari-cellseg: ")
    return lines[0]


def test_help_names_the_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("demo", "info", "list", "train", "segment", "evaluate"):
        assert command in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bogus"], "bogus"),
        (["train"], "neither MODEL nor --run"),
        (["train", "m.safetensors"], "no --images"),
        (["train", "m.pt", "--images", "a", "--masks", "b"], "m.pt"),
        (["train", "m.safetensors", "--epochs", "0"], "--epochs = 0"),
        (["train", "m.safetensors", "--window-px", "x"], "--window-px = x"),
        (["train", "--run", "nowhere", "--epochs", "2"], "beside --run"),
        (["train", "--run", "nowhere"], "nowhere"),
        (["train", "m.safetensors", "--preset", "nonsense", "--images", "a", "--masks", "b"], "nonsense"),
        (["segment", "m.safetensors", "a.tif"], "--out"),
        (["segment", "m.safetensors", "nowhere.tif", "--out", "o"], "nowhere.tif"),
        (["segment", "m", "a.tif", "--out", "o", "--resume", "--overwrite"], "both"),
        (["evaluate", "a.tif", "b.tif", "--out", "s.json"], "a.tif"),
        (["info", "nowhere.tif"], "nowhere.tif"),
        (["list", "colours"], "colours"),
    ],
)
def test_a_wrong_request_is_one_line_and_code_2(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert says in one_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["architectures", "encoders", "losses", "presets", "readers", "backends"])
def test_list_reads_the_registries(kind, capsys):
    assert main(["list", kind, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries
    assert all(entry["name"] and entry["description"] for entry in entries)
    assert main(["list", kind]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(entries)


def test_info_tells_image_model_and_run(folder, capsys):
    paths = [folder / "images/a.tif", folder / "m.safetensors", folder / "m.run"]
    assert main(["info", *map(str, paths), "--json"]) == 0
    image, model, run = json.loads(capsys.readouterr().out)
    assert (image["kind"], image["shape"], image["dtype"]) == ("image", [96, 96], "float32")
    assert (model["kind"], model["architecture"]) == ("model", "unet")
    assert (run["kind"], run["trained"]) == ("run", True)
    assert main(["info", str(paths[0])]) == 0
    assert "96, 96" in capsys.readouterr().out


def test_info_of_one_bad_file_among_many_is_1(folder, capsys):
    assert main(["info", str(folder / "images/a.tif"), str(folder / "nowhere.tif")]) == 1
    assert "nowhere.tif" in one_line(capsys)


def test_train_says_the_polarity_and_names_classes(folder, capsys, tmp_path):
    model = tmp_path / "named.safetensors"
    assert main(["train", str(model), *files(folder), *TINY, "--classes", "square"]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(model)
    assert "the brighter side is the class" in err
    assert read_spec(model).classes.targets == ("square",)
    assert (tmp_path / "named.run/events.jsonl").is_file()


def test_train_warns_when_the_darker_side_looks_like_the_class(folder, tmp_path, capsys):
    for name in ("a", "b"):
        mask = tifffile.imread(folder / f"images/{name}_mask.tif")
        tifffile.imwrite(tmp_path / f"{name}_inverted.tif", 255 - mask)
    arguments = ["--images", str(folder / "images/[ab].tif"), "--masks", str(tmp_path / "*_inverted.tif")]
    assert main(["train", str(tmp_path / "m.safetensors"), *arguments, *TINY]) == 0
    assert "warning" in capsys.readouterr().err


def test_train_refuses_to_overwrite_unasked(folder, capsys):
    model = folder / "m.safetensors"
    before = model.read_bytes()
    assert main(["train", str(model), *files(folder), *TINY]) == 2
    assert "exists already" in one_line(capsys)
    assert model.read_bytes() == before


def test_preset_values_give_way_to_given_flags(folder, tmp_path):
    model = tmp_path / "m.safetensors"
    given = ["--preset", "filament-best", "--noise", "0"]
    assert main(["train", str(model), *files(folder), *TINY, *given]) == 0
    settings = json.loads((tmp_path / "m.run/settings.json").read_text())
    assert settings["noise"] == 0
    assert settings["rotation_degrees"] == 180
    assert settings["epochs"] == 1


def test_a_run_resumes_and_prints_events(folder, tmp_path, capsys):
    model = tmp_path / "m.safetensors"
    assert main(["train", str(model), *files(folder), *TINY]) == 0
    run = tmp_path / "m.run"
    settings = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(settings | {"epochs": 2}))
    capsys.readouterr()
    assert main(["train", "--run", str(run)]) == 2
    assert "--resume" in one_line(capsys)
    assert main(["train", "--run", str(run), "--resume", "--events"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["started", "step", "epoch", "finished"]


def interrupt_at_the_first_step(run: Path) -> None:
    events = run / "events.jsonl"
    while not (events.is_file() and '"step"' in events.read_text()):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_keeps_the_best_model_and_says_so(folder, tmp_path, capsys):
    many = ["--epochs", "500", *TINY[2:]]
    before = signal.getsignal(signal.SIGINT)  # a shell's background job ignores it
    threading.Thread(target=interrupt_at_the_first_step, args=(tmp_path / "m.run",), daemon=True).start()
    assert main(["train", str(tmp_path / "m.safetensors"), *files(folder), *many]) == 130
    assert "--resume" in capsys.readouterr().err
    assert read_spec(tmp_path / "m.safetensors").classes.targets == ("object",)
    assert signal.getsignal(signal.SIGINT) is before


def test_segment_writes_labels_and_a_summary(folder, tmp_path, capsys):
    images = [str(folder / "images/a.tif"), str(folder / "images/b.tif")]
    out = tmp_path / "out"
    command = ["segment", str(folder / "m.safetensors"), *images, "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    assert str(out / "a_labels.tif") in capsys.readouterr().out
    labels = tifffile.imread(out / "a_labels.tif")
    assert labels.shape == (96, 96)
    assert set(np.unique(labels)) <= {1, 2}
    with (out / "summary.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done", "done"]
    assert main(command) == 2
    one_line(capsys)
    assert main([*command, "--resume"]) == 0
    assert "2 skipped" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_segment_names_what_failed_and_does_the_rest(folder, tmp_path, capsys):
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0nonsense")
    out = tmp_path / "out"
    images = [str(bad), str(folder / "images/a.tif"), str(tmp_path / "gone.tif")]
    assert (
        main(["segment", str(folder / "m.safetensors"), *images, "--out", str(out), "--device", "cpu"]) == 1
    )
    err = capsys.readouterr().err
    assert "bad.tif" in err
    assert "gone.tif" in err
    with (out / "summary.csv").open() as file:
        status = {Path(row["path"]).name: row["status"] for row in csv.DictReader(file)}
    assert status == {"bad.tif": "failed", "gone.tif": "failed", "a.tif": "done"}


def test_segment_interrupted_says_how_to_go_on(folder, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("napari_cellseg.predict.batch.segment_files", interrupted)
    command = ["segment", str(folder / "m.safetensors"), str(folder / "images/a.tif"), "--out", str(tmp_path)]
    assert main(command) == 130
    assert "--resume" in capsys.readouterr().err


def test_evaluate_scores_one_and_many(folder, tmp_path, capsys):
    for name in ("a", "b"):
        mask = tifffile.imread(folder / f"images/{name}_mask.tif")
        labels = np.where(mask, 2, 1).astype(np.uint8)
        labels[:16] = 2  # wrong: 16 rows of 96
        tifffile.imwrite(tmp_path / f"{name}_labels.tif", labels)
    one = ["evaluate", str(tmp_path / "a_labels.tif"), str(folder / "images/a_mask.tif")]
    assert main([*one, "--out", str(tmp_path / "one.json"), "--classes", "square"]) == 0
    assert "square" in capsys.readouterr().out
    assert main([*one, "--out", str(tmp_path / "one.json")]) == 2
    one_line(capsys)
    many = ["evaluate", str(tmp_path / "*_labels.tif"), str(folder / "images/*_mask.tif")]
    assert main([*many, "--out", str(tmp_path / "many.json"), "--polarity", "bright"]) == 0
    scores = json.loads((tmp_path / "many.json").read_text())
    assert len(scores["images"]) == 2
    wrong = 1 - 16 / 96
    assert scores["pooled"]["accuracy"] == pytest.approx(wrong)
    assert scores["pooled"]["classes"]["class 1"]["recall"] == 1


def test_evaluate_refuses_planes_of_other_size(folder, tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a_labels.tif", np.ones((8, 9), np.uint8))
    truth = str(folder / "images/a_mask.tif")
    assert main(["evaluate", str(tmp_path / "a_labels.tif"), truth, "--out", str(tmp_path / "s.json")]) == 2
    assert "8 x 9" in one_line(capsys)
    assert not (tmp_path / "s.json").exists()


def test_a_closed_pipe_is_no_error():
    code = "import sys; from napari_cellseg.cli import main; sys.exit(main(['list', 'losses', '--json']))"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 0


def test_being_terminated_is_being_interrupted():
    code = (
        "import os, signal, sys; from napari_cellseg.cli import app, main;"
        "app.command(lambda: os.kill(os.getpid(), signal.SIGTERM), name='end'); sys.exit(main(['end']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 130
    assert ended.stderr.splitlines() == ["napari-cellseg: interrupted; what was finished is kept"]
