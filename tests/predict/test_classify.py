import csv

import numpy as np
import pytest
import tifffile

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import Crops, read_crops
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.nets.model import load_model, new_model, save_model
from napari_cellseg.predict.classify import TableDone, classify, classify_to_table, told_of
from napari_cellseg.settings import ClassifySettings

CLASSES = ("round cell", "Größe β")
FAST = ClassifySettings(device="cpu", precision="float32", batch=4)


def some_cells(count=10, channels=("Ch4", "Ch5"), seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(9, 30, (count, 2))
    arrays = [rng.integers(0, 4096, (len(channels), *size), dtype=np.uint16) for size in sizes]
    return Crops.from_arrays(arrays, channels=channels)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    spec = ClassifierSpec(
        "cells-small", "linear", CLASSES, ("Ch5", "Ch4"), (16, 12), ((0.0, 4095.0),) * 2, temperature=2.0
    )
    path = save_model(tmp_path_factory.mktemp("model") / "m.safetensors", spec, new_model(spec).net)
    return load_model(path, task="classify")


def probabilities(crops, model, **more):
    return np.concatenate([one.probabilities for one in classify(crops, model, settings=FAST, **more)])


def test_no_cells_give_nothing(model):
    assert list(classify(some_cells().take([]), model, settings=FAST)) == []


def test_cells_come_in_their_order_whatever_the_batch(model):
    crops = some_cells()
    batches = list(classify(crops, model, settings=FAST))
    assert np.concatenate([one.indices for one in batches]).tolist() == list(range(10))
    assert [len(one.labels) for one in batches] == [4, 4, 2]
    one_by_one = np.concatenate([probabilities(crops.take([index]), model) for index in range(10)])
    np.testing.assert_allclose(np.concatenate([one.probabilities for one in batches]), one_by_one, atol=1e-5)


def test_channels_are_found_by_name_in_any_order(model):
    crops = some_cells(channels=("Ch4", "Ch5", "Ch6"))
    swapped = crops.with_channels(("Ch6", "Ch5", "Ch4"))
    np.testing.assert_allclose(probabilities(crops, model), probabilities(swapped, model), atol=1e-6)
    with pytest.raises(CellsegError, match=r"channels Ch4, Ch6; expected Ch5, Ch4, which the model"):
        list(classify(crops.with_channels(("Ch4", "Ch6")), model))


def test_doubtful_cells_stay_without_label(model):
    crops = some_cells()
    every = ClassifySettings(device="cpu", threshold=1.0)
    labels = [label for one in classify(crops, model, settings=every) for label in one.labels]
    assert set(labels) == {"unclassified"}
    labels = [label for one in classify(crops, model, settings=FAST) for label in one.labels]
    assert set(labels) <= set(CLASSES)


def test_what_is_told_beside_the_picture():
    assert told_of(np.zeros((2, 8, 8)), "none").shape == (0,)
    assert np.isfinite(told_of(np.zeros((2, 8, 8)), "all")).all()


@pytest.fixture
def export(tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "cells").mkdir()
    for number in range(6):
        for channel in (4, 5):
            plane = rng.integers(0, 4096, (12, 9), dtype=np.uint16)
            tifffile.imwrite(tmp_path / "cells" / f"run_{number}_Ch{channel}.ome.tif", plane)
    return tmp_path / "cells"


def table_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table(model, export, tmp_path):
    crops = read_crops(export, channels=model.spec.channels)
    *progress, done = classify_to_table(crops, model, tmp_path / "t.csv", settings=FAST)
    assert [record.done for record in progress] == [4, 6]
    assert isinstance(done, TableDone)
    assert sum(done.counts.values()) == 6
    assert done.left_out_table is None
    rows = table_of(tmp_path / "t.csv")
    named = [f"p_{name}" for name in CLASSES]
    assert list(rows[0]) == ["path", "id", "sample", "label", "confidence", *named, "model"]
    assert rows[0]["model"].startswith("m-")
    for row in rows:
        shares = [float(row[name]) for name in named]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert float(row["confidence"]) == max(shares)
        assert row["label"] == CLASSES[int(np.argmax(shares))]


def test_what_is_damaged_or_lacks_a_channel_is_named(model, export, tmp_path):
    damaged = export / "run_2_Ch5.ome.tif"
    damaged.write_bytes(damaged.read_bytes()[:150])
    (export / "run_4_Ch4.ome.tif").unlink()
    crops = read_crops(export, channels=model.spec.channels)
    *_, done = classify_to_table(crops, model, tmp_path / "t.csv", settings=FAST)
    assert len(table_of(tmp_path / "t.csv")) == 4
    said = table_of(done.left_out_table)
    assert done.left_out_table.name == "t_left_out.csv"
    assert len(said) == len(done.left_out) == 2
    assert any("run_2" in row["path"] for row in said)
    assert any("Ch4" in row["reason"] for row in said)


def test_stopping_early_leaves_no_table(model, tmp_path):
    steps = classify_to_table(some_cells(), model, tmp_path / "t.csv", settings=FAST)
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []
