"""Images and results in a store: fsspec's in memory, and an S3 server on this machine."""

import csv
import io
import uuid
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.remote import Url, fetch, is_there, names_in, send
from napari_cellseg.nets.model import ModelSpec, new_model, save_model
from napari_cellseg.predict import segment_away
from napari_cellseg.predict.batch import segment_files
from napari_cellseg.predict.chain import parse_chain
from napari_cellseg.predict.segment_file import FileDone
from napari_cellseg.predict.trace import trace_files
from napari_cellseg.settings import SegmentSettings

SETTINGS = SegmentSettings(backend="numpy", block_px=64)
NAMES = ("a.ome.zarr", "a_labels.tif", "b.ome.zarr", "b_labels.tif", "summary.csv")


@pytest.fixture
def folder(tmp_path, local_model, monkeypatch):
    """data/a.tif and data/b.tif, and a model that needs no file."""
    rng = np.random.default_rng(0)
    for name, shape in {"a": (100, 130), "b": (70, 64)}.items():
        (tmp_path / "data").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"data/{name}.tif", rng.integers(0, 999, shape, np.uint16))
    monkeypatch.setattr(
        "napari_cellseg.nets.model.load_model", lambda path: replace(local_model(), path=path)
    )
    return tmp_path


@pytest.fixture
def store(folder):
    """The same images in a store in memory."""
    store = Url(f"memory://{uuid.uuid4().hex}")
    for path in (folder / "data").iterdir():
        send(path, store / f"data/{path.name}")
    return store


def run(images, out, **arguments) -> list[FileDone]:
    steps = segment_files(images, "model", out, settings=SETTINGS, **arguments)
    return [step for step in steps if isinstance(step, FileDone)]


def images_in(place) -> list:
    return [place / "data" / "a.tif", place / "data" / "b.tif"]


def content(path: Path) -> dict[str, bytes]:
    """Everything in a folder but the summary, whose seconds are never the same."""
    files = (one for one in path.rglob("*") if one.is_file() and one.name != "summary.csv")
    return {str(one.relative_to(path)): one.read_bytes() for one in files}


def rows(out: Url) -> dict[str, dict[str, str]]:
    with fsspec.open(out / "summary.csv", "rb") as file:
        table = csv.DictReader(io.StringIO(file.read().decode()))
        return {row["path"].rpartition("/")[2]: row for row in table}


def test_results_in_a_store_are_those_on_this_machine(folder, store):
    run(images_in(folder), folder / "near")
    done = run(images_in(store), store / "out")
    assert [one.status for one in done] == ["done", "done"]
    assert [one.path for one in done] == images_in(store)
    assert done[0].outputs == (store / "out/a.ome.zarr", store / "out/a_labels.tif")
    assert names_in(store / "out") == set(NAMES)
    assert content(fetch(store / "out", folder / "far")) == content(folder / "near")
    assert rows(store / "out")["a.tif"]["path"] == store / "data/a.tif"
    assert float(rows(store / "out")["b.tif"]["share_filament"]) > 0


@pytest.mark.parametrize("away", ["images", "results"])
def test_only_one_of_both_is_in_a_store(away, folder, store):
    run(images_in(folder), folder / "near")
    if away == "images":
        run(images_in(store), str(folder / "out"))
        assert content(folder / "out") == content(folder / "near")
    else:
        run(images_in(folder), str(store / "out"))
        assert content(fetch(store / "out", folder / "far")) == content(folder / "near")
    with pytest.raises(CellsegError, match="exists"):
        run(images_in(folder), folder / "out" if away == "images" else store / "out")


def test_nothing_is_left_on_this_machine(folder, store, monkeypatch, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    seen = []
    for record in segment_files(images_in(store), "model", store / "out", settings=SETTINGS):
        seen.append(len(list(scratch.rglob("*.tif"))))
        if isinstance(record, FileDone) and record.path.endswith("a.tif"):
            assert "a.tif" in rows(store / "out")
    assert max(seen) > 0
    assert list(scratch.iterdir()) == []


def test_going_on_does_what_is_missing(folder, store):
    run(images_in(store)[:1], store / "out")
    before = rows(store / "out")["a.tif"]
    with pytest.raises(CellsegError, match=r"out/a.* exists; expected no result.*--resume"):
        run(images_in(store), store / "out")
    assert [one.status for one in run(images_in(store), store / "out", resume=True)] == ["skipped", "done"]
    assert rows(store / "out")["a.tif"] == before
    send(folder / "data/b.tif", store / "data/a.tif")
    (failed, _) = run(images_in(store), store / "out", resume=True)
    assert "a.ome.zarr: made from another image" in failed.message
    assert failed.message.startswith("memory://")
    again = run(images_in(store), store / "out", overwrite=True)
    assert [one.status for one in again] == ["done", "done"]


def test_labels_are_cleaned_up_later_without_the_network(folder, store):
    chain = parse_chain("remove-small:area_px=20")
    run(images_in(store), store / "out")
    assert {one.status for one in run(images_in(store), store / "out", resume=True, post=chain)} == {"done"}
    run(images_in(folder), folder / "near", post=chain)
    far = fetch(store / "out", folder / "far")
    for name in ("a_labels.tif", "b_labels.tif"):
        np.testing.assert_array_equal(tifffile.imread(far / name), tifffile.imread(folder / "near" / name))
    assert {one.status for one in run(images_in(store), store / "out", resume=True, post=chain)} == {
        "skipped"
    }


def test_a_bad_image_stops_no_other(store, folder):
    (folder / "bad.tif").write_bytes(b"no image")
    send(folder / "bad.tif", store / "data/bad.tif")
    wanted = [store / "data/bad.tif", store / "data/gone.tif", *images_in(store)]
    assert [one.status for one in run(wanted, store / "out")] == ["failed", "failed", "done", "done"]
    said = rows(store / "out")
    assert "no such object" in said["gone.tif"]["message"]
    assert str(store) in said["gone.tif"]["message"]
    assert "cellseg-planes" not in said["bad.tif"]["message"]


def test_a_store_that_goes_away_ends_the_run_and_loses_nothing(store, monkeypatch):
    first, second = images_in(store)
    run([first], store / "out")

    def gone(near, url):
        raise CellsegError(f"{url}: the store does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(segment_away, "send", gone)
        with pytest.raises(CellsegError, match="does not answer"):
            run([first, second], store / "out", resume=True)
    assert is_there(store / "out/a.ome.zarr/zarr.json")
    assert not is_there(store / "out/b.ome.zarr/zarr.json")
    assert [one.status for one in run([first, second], store / "out", resume=True)] == ["skipped", "done"]


def test_a_result_that_was_half_sent_is_made_anew(store, folder):
    run(images_in(store), store / "out")
    fsspec.filesystem("memory").rm_file(f"{store}/out/a.ome.zarr/zarr.json")
    assert [one.status for one in run(images_in(store), store / "out", resume=True)] == ["done", "skipped"]
    run(images_in(folder), folder / "near")
    assert content(fetch(store / "out", folder / "far")) == content(folder / "near")


def test_two_images_of_one_name(store):
    with pytest.raises(CellsegError, match="would both become 'a"):
        run([store / "data/a.tif", store / "more/a.tif"], store / "out")
    assert names_in(store / "out") == set()


def test_filaments_are_traced_from_a_store_into_a_store(store, folder):
    run(images_in(store), store / "out")
    results = [store / "out/a.ome.zarr", store / "out/b.ome.zarr", store / "out/gone.ome.zarr"]
    done = list(trace_files(results, store / "picks", format="csv"))
    assert [one.status for one in done] == ["done", "done", "failed"]
    assert names_in(store / "picks") == {done[0].output.name, done[1].output.name, "summary.csv"}
    run(images_in(folder), folder / "near")
    list(trace_files([folder / "near/a.ome.zarr"], folder / "picks", format="csv"))
    far = fetch(done[0].output, folder / "far")
    assert far.read_text() == (folder / "picks" / far.name).read_text()
    with pytest.raises(CellsegError, match="exists already"):
        list(trace_files(results, store / "picks", format="csv"))


@pytest.fixture(scope="module")
def bucket():
    """s3://cells on a server of this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            patch.setenv(name, "us-east-1")
        fsspec.filesystem("s3").mkdir("cells")
        yield Url("s3://cells")
    server.stop()


@pytest.mark.parametrize("scheduler", ["", "local:2"])
def test_s3(scheduler, bucket, tmp_path, capsys):
    spec = ModelSpec("unet-light", "", Classes.of("cell"), stride=4, options={"depth": 2, "width": 4})
    model = str(save_model(tmp_path / "m.safetensors", spec, new_model(spec).net))
    place = bucket / uuid.uuid4().hex
    for name in "ab":
        pixels = np.random.default_rng(ord(name)).integers(0, 99, (40, 50), np.uint8)
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
        send(tmp_path / f"{name}.tif", place / f"data/deep/{name}.tif")
    more = ["--device", "cpu", "--precision", "float32", "--backend", "torch"]
    assert main(["segment", model, str(tmp_path / "[ab].tif"), "--out", str(tmp_path / "near"), *more]) == 0
    more += ["--scheduler", scheduler] if scheduler else []
    far = ["segment", model, f"{place}/data/**/*.tif", "--out", f"{place}/out", *more]
    capsys.readouterr()
    assert main(far) == 0
    assert f"{place}/out/b_labels.tif" in capsys.readouterr().out.splitlines()
    assert content(fetch(place / "out", tmp_path / "far")) == content(tmp_path / "near")
    assert main(far) == 2
    assert main([*far, "--resume"]) == 0
    assert "2 skipped" in capsys.readouterr().err


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there(capsys, tmp_path):
    assert main(["segment", "m.safetensors", "s3://nobody/a.tif", "--out", str(tmp_path / "out")]) == 2
    assert "s3://nobody/a.tif" in capsys.readouterr().err
