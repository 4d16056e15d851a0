"""EcoTaxa archives, both ways."""

import io
import zipfile

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_table import STATUSES, UNCLASSIFIED, ClassTable
from napari_cellseg.formats.ecotaxa import read_ecotaxa, write_ecotaxa
from napari_cellseg.images.crops import Crops, LeftOut, read_crops

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=8).filter(
    lambda name: name == name.strip() and name != UNCLASSIFIED
)


@settings(max_examples=15)
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.data())
def test_a_round_trip_keeps_names_labels_statuses_and_pixels(tmp_path_factory, classes, data):
    count = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 255, (3, 4 + k, 5)).astype(np.uint8) for k in range(count)]
    crops = Crops.from_arrays(arrays, samples=[data.draw(NAMES) for _ in arrays])
    table = ClassTable.of(
        crops,
        tuple(classes),
        labels=[data.draw(st.sampled_from([*classes, UNCLASSIFIED])) for _ in arrays],
        statuses=[data.draw(st.sampled_from(STATUSES)) for _ in arrays],
        probabilities=rng.dirichlet(np.ones(len(classes)), count),
        model="m 1",
    )
    path = tmp_path_factory.mktemp("eco") / "cells.zip"
    assert write_ecotaxa(path, table, crops) == ()
    back, pictures = read_ecotaxa(path, tuple(classes)), read_crops(path)
    assert (back.classes, back.model) == (tuple(classes), "m 1")
    for key in ("ids", "samples", "labels"):
        assert getattr(back, key).tolist() == getattr(table, key).tolist()
    known = table.labels != UNCLASSIFIED
    assert back.statuses[known].tolist() == table.statuses[known].tolist()
    assert pictures.ids.tolist() == crops.ids.tolist()
    for k, pixels in enumerate(arrays):
        np.testing.assert_array_equal(pictures.read(k), pixels)


def test_the_table_is_what_ecotaxa_imports(tmp_path):
    crops = Crops.from_arrays([np.zeros((2, 2), np.uint8)] * 2, name="my cells/1")
    table = ClassTable.of(crops, ("a\tb",), labels=["a\tb", UNCLASSIFIED], statuses=["validated", "dubious"])
    write_ecotaxa(tmp_path / "cells.zip", table, crops)
    with zipfile.ZipFile(tmp_path / "cells.zip") as archive:
        assert "ecotaxa_my_cells_1.tsv" in archive.namelist()
        lines = archive.read("ecotaxa_my_cells_1.tsv").decode().splitlines()
    head, types, first, second = (line.split("\t") for line in lines)
    assert set(types) == {"[t]", "[f]"}
    row = dict(zip(head, first, strict=True))
    assert (row["object_annotation_category"], row["object_annotation_status"]) == ("a b", "validated")
    assert dict(zip(head, second, strict=True))["object_annotation_status"] == ""


def test_channels_of_16_bit_are_images_of_their_own(tmp_path):
    crops = Crops.from_arrays(
        [np.stack([np.full((4, 6), 1000 * k), np.full((4, 6), 7)]).astype(np.uint16) for k in range(3)],
        channels=("Ch4", "Ch5"),
    )
    table = ClassTable.of(crops, ("a",), labels=["a"] * 3)
    write_ecotaxa(tmp_path / "cells.zip", table, crops)
    with zipfile.ZipFile(tmp_path / "cells.zip") as archive:
        levels = [
            int(np.asarray(PIL.Image.open(io.BytesIO(archive.read(f"{k:06d}_Ch4.png")))).max())
            for k in (1, 2, 3)
        ]
    assert levels == [0, 128, 255]
    assert read_ecotaxa(tmp_path / "cells.zip").ids.tolist() == crops.ids.tolist()
    assert len(read_crops(tmp_path / "cells.zip")) == 3


def test_crops_that_cannot_be_read_are_named(tmp_path):
    crops = Crops.from_arrays([np.zeros((1, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8)])
    table = ClassTable.of(crops, ("a",), labels=["a", "a"])
    left_out = write_ecotaxa(tmp_path / "cells.zip", table, crops)
    assert [type(one) for one in left_out] == [LeftOut]
    assert len(read_crops(tmp_path / "cells.zip")) == 1


def test_refused(tmp_path):
    crops = Crops.from_arrays([np.zeros((2, 2), np.uint8)] * 2)
    table = ClassTable.of(crops, ("a",), labels=["a", "a"])
    with pytest.raises(CellsegError, match="a table of other cells"):
        write_ecotaxa(tmp_path / "cells.zip", table, crops.take([1, 0]))
    (tmp_path / "cells.zip").touch()
    with pytest.raises(CellsegError, match="exists already"):
        write_ecotaxa(tmp_path / "cells.zip", table, crops)
