"""IFCB class scores: what the dashboard needs is there, and comes back."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.class_scores import read_class_scores, write_class_scores
from napari_cellseg.formats.class_table import STATUSES, ClassTable

BIN = "D20220519T124533_IFCB134"


def table(rois, classes=("Tripos", "Водоросль x"), bins=None, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(len(classes)), len(rois)).astype(np.float32).astype(float)
    names = bins or [BIN] * len(rois)
    labels = [
        classes[k] if row.max() > 0.7 else "unclassified"
        for k, row in zip(scores.argmax(1), scores, strict=True)
    ]
    return ClassTable(
        classes,
        ids=np.array([f"{name}_{roi:05d}" for name, roi in zip(names, rois, strict=True)], np.str_),
        paths=np.array([f"{name}.roi" for name in names], np.str_),
        samples=np.array(names, np.str_),
        labels=np.array(labels, np.str_),
        statuses=np.array([STATUSES[k % 3] for k in range(len(rois))], np.str_),
        probabilities=scores,
        model="phyto 1",
    )


@given(
    st.lists(st.integers(1, 99_999), min_size=1, max_size=8, unique=True).map(sorted),
    st.lists(st.text("abü 藻_", min_size=1, max_size=5), min_size=1, max_size=4, unique=True),
)
def test_a_round_trip_keeps_scores_and_the_order_of_classes(tmp_path_factory, rois, classes):
    written = table(rois, tuple(classes))
    (path,) = write_class_scores(tmp_path_factory.mktemp("scores"), written)
    back = read_class_scores(path)
    assert (back.classes, back.model) == (written.classes, "phyto 1")
    for key in ("ids", "labels", "statuses", "samples", "paths"):
        assert getattr(back, key).tolist() == getattr(written, key).tolist()
    np.testing.assert_array_equal(back.probabilities, written.probabilities)


def test_what_the_dashboard_reads(tmp_path):
    (path,) = write_class_scores(tmp_path, table([7, 2, 30]))
    assert path.name == f"{BIN}_class.h5"
    with h5py.File(path) as file:
        assert file["metadata"].attrs["version"] == "v3"
        assert file["roi_numbers"][:].tolist() == [2, 7, 30]
        assert file["class_labels"].asstr()[:].tolist() == ["Tripos", "Водоросль x"]
        assert file["output_scores"].shape == (3, 2)


def test_a_file_for_each_bin_and_none_replaced(tmp_path):
    other = BIN.replace("134", "135")
    paths = write_class_scores(tmp_path, table([1, 1, 2], bins=[BIN, other, other]))
    assert [len(read_class_scores(path)) for path in paths] == [1, 2]
    with pytest.raises(CellsegError, match="exists already"):
        write_class_scores(tmp_path, table([1], bins=[other]))


def test_refused(tmp_path):
    plain = table([1])
    with pytest.raises(CellsegError, match="id 'cell'"):
        write_class_scores(
            tmp_path,
            ClassTable(**{**vars(plain), "ids": np.array(["cell"])}),
        )
    with pytest.raises(CellsegError, match="cells without probabilities"):
        write_class_scores(tmp_path, ClassTable(**{**vars(plain), "probabilities": np.full((1, 2), np.nan)}))
    assert not list(tmp_path.iterdir())
    (tmp_path / "a_class.h5").write_bytes(b"nothing")
    with pytest.raises(CellsegError, match="cannot be read"):
        read_class_scores(tmp_path / "a_class.h5")
    with h5py.File(tmp_path / "b_class.h5", "w") as file:
        file["output_scores"] = np.zeros((1, 2))
    with pytest.raises(CellsegError, match="no class_labels"):
        read_class_scores(tmp_path / "b_class.h5")


def test_files_of_other_programs(tmp_path):
    """As WHOI's classifier writes it: half floats, no class_name, labels as fixed bytes."""
    with h5py.File(tmp_path / f"{BIN}_class.h5", "w") as file:
        file.create_dataset("output_scores", data=np.array([[0.25, 0.75]], np.float16), compression="gzip")
        file.create_dataset("class_labels", data=np.array([b"a", b"b"]))
        file.create_dataset("roi_numbers", data=np.array([9], np.uint16))
    back = read_class_scores(tmp_path / f"{BIN}_class.h5")
    assert (back.ids.tolist(), back.labels.tolist(), back.model) == ([f"{BIN}_00009"], ["b"], "")
