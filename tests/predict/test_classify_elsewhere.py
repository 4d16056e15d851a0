"""Cells named in other processes come back in their order."""

import uuid
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_cellseg.cli import main
from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import read_crops
from napari_cellseg.images.remote import Url, fetch, names_in, send
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.model import load_model, new_model, save_model
from napari_cellseg.predict import classify_elsewhere as module
from napari_cellseg.predict.classify import classify, classify_to_table
from napari_cellseg.predict.classify_elsewhere import ClassifyPart, classify_elsewhere, read_fetched
from napari_cellseg.predict.staging import staged


@pytest.fixture
def work(tmp_path):
    spec = ClassifierSpec("cells-small", "linear", ("a", "b"), ("grey",), (16, 16), ((0.0, 999.0),))
    model = save_model(tmp_path / "m.safetensors", spec, new_model(spec).net)
    folder = tmp_path / "cells"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        tifffile.imwrite(folder / f"{number}.tif", rng.integers(0, 999, (9, 12), np.uint16))
    (folder / "3.tif").write_bytes(b"no image")
    return ClassifyPart(model, folder)


def test_the_table_is_the_same(work, tmp_path):
    crops, model = read_crops(work.crops, channels=("grey",)), load_model(work.model, task="classify")
    batches = classify_elsewhere(crops, work, "local:1", part=2)
    list(classify_to_table(crops, model, tmp_path / "spread.csv", batches=batches))
    list(classify_to_table(crops, model, tmp_path / "alone.csv"))
    assert (tmp_path / "spread.csv").read_text() == (tmp_path / "alone.csv").read_text()
    for name in ("alone", "spread"):
        assert "3" in (tmp_path / f"{name}_left_out.csv").read_text()


def test_parts_may_end_in_any_order_and_one_be_given_up(work, monkeypatch):
    crops, model = read_crops(work.crops, channels=("grey",)), load_model(work.model, task="classify")

    def run_files(parts, work, *, scheduler, lost):
        for part in reversed(parts):
            yield (lost(part, "its worker died") if part == (4, 6) else work(part)), None

    monkeypatch.setattr(module, "run_files", run_files)
    found = list(classify_elsewhere(crops, work, "local:1", part=2))
    indices = np.concatenate([batch.indices for batch in found])
    assert indices.tolist() == [0, 1, 2, 6]
    assert {one.id for batch in found for one in batch.left_out if "died" in one.reason} == {"4", "5"}
    expected = np.concatenate([batch.probabilities for batch in classify(crops, model)])
    got = np.concatenate([batch.probabilities for batch in found if len(batch.indices)])
    np.testing.assert_allclose(got, expected[[0, 1, 2, 5]], atol=1e-5)


def test_no_cells_and_no_scheduler(work):
    none = read_crops(work.crops).take([])
    with pytest.raises(CellsegError, match="local:N"):
        list(classify_elsewhere(none, work, "moon:1"))


@pytest.fixture
def store(work):
    """The same cells in a store in memory."""
    place = Url(f"memory://{uuid.uuid4().hex}")
    send(work.crops, place / "cells")
    return place


def test_cells_in_a_store_are_those_on_this_machine(work, store, tmp_path):
    far, model = replace(work, crops=store / "cells"), load_model(work.model, task="classify")
    tables = []
    for one in (work, far):
        with staged() as stage:
            crops = read_fetched(one.crops, stage, channels=("grey",))
            list(classify_to_table(crops, model, tmp_path / "t.csv"))
            list(classify_to_table(crops, model, tmp_path / "parts.csv", batches=map_parts(one, len(crops))))
        tables.append((tmp_path / "t.csv").read_text())
        assert (tmp_path / "parts.csv").read_text() == tables[-1]
        tables.append((tmp_path / "t_left_out.csv").read_text())
    assert "memory://" in tables[2]
    assert "memory://" in tables[3]
    assert [text.replace(store, str(tmp_path)) for text in tables[2:]] == tables[:2]


def map_parts(work, count):
    for first in range(0, count, 3):
        yield from work((first, min(first + 3, count)))[1]


def test_cells_that_are_not_in_the_store(work, store):
    with staged() as stage, pytest.raises(CellsegError, match=f"{store}/none: no such object"):
        read_fetched(store / "none", stage)
    send(work.model, store / "odd/odd.bin")
    with staged() as stage, pytest.raises(CellsegError, match=f"{store}/odd"):
        read_fetched(store / "odd", stage)


def test_from_store_to_store(work, store, tmp_path, capsys):
    call = ["classify", str(work.model), store / "cells", "--out", store / "new/t.csv", "--device", "cpu"]
    assert main(call) == 1
    said = capsys.readouterr()
    assert f"see {store}/new/t_left_out.csv" in said.err
    assert store / "new/t.csv" in said.out.splitlines()
    assert names_in(store / "new") == {"t.csv", "t_left_out.csv"}
    assert store / "cells/2.tif" in fetch(store / "new/t.csv", tmp_path).read_text()
    assert main(call) == 2
    assert "exists already" in capsys.readouterr().err
