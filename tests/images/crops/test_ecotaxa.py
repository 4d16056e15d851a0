"""Archives of EcoTaxa: read without unpacking, and nothing outside is reached."""

import zipfile

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import LeftOut, ecotaxa, read_crops, read_each

ROWS = [
    ("a 1", "x/1.png", "Ceratium furca", "validated", "station 1"),
    ("b", "2.png", "藻類", "predicted", "station 2"),
    ("c", "3.png", "", "", "station 2"),
]


@pytest.mark.parametrize("types", [True, False])
def test_zip_and_folder(tmp_path, ecotaxa_zip, types):
    archive = ecotaxa_zip(tmp_path / "cells.zip", ROWS, types=types)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "folder")
    for path in (archive, tmp_path / "folder", tmp_path / "folder" / "ecotaxa_test.tsv"):
        crops = read_crops(path)
        assert crops.ids.tolist() == ["a 1", "b", "c"]
        assert crops.labels.tolist() == ["Ceratium furca", "藻類", ""]
        assert crops.samples.tolist() == ["station 1", "station 2", "station 2"]
        assert [int(pixels.max()) for pixels in read_each(crops)] == [0, 1, 2]
        assert read_crops(path, group="object_annotation_status").samples.tolist()[0] == "validated"


def test_the_first_image_of_an_object_counts(tmp_path, ecotaxa_zip):
    rows = [ROWS[0], ("a 1", "2.png", "", "", "")]
    assert read_crops(ecotaxa_zip(tmp_path / "cells.zip", rows)).labels.tolist() == ["Ceratium furca"]


def test_names_that_point_outside_reach_nothing(tmp_path, ecotaxa_zip, save):
    save(tmp_path / "secret.png", np.zeros((3, 3), np.uint8))
    outside = ["../secret.png", str(tmp_path / "secret.png"), "x/../../secret.png", "C:/secret.png"]
    rows = [ROWS[0], *((str(k), name, "", "", "") for k, name in enumerate(outside))]
    archive = ecotaxa_zip(tmp_path / "cells.zip", rows)
    crops = read_crops(archive)
    assert crops.ids.tolist() == ["a 1"]
    assert len(crops.left_out) == 4
    folder = tmp_path / "folder"
    save(folder / "x" / "1.png", np.zeros((3, 3), np.uint8))
    with zipfile.ZipFile(archive) as opened:
        (folder / "ecotaxa_test.tsv").write_bytes(opened.read("ecotaxa_test.tsv"))
    assert read_crops(folder).ids.tolist() == ["a 1"]


def test_a_member_that_would_fill_the_memory(tmp_path, ecotaxa_zip, monkeypatch):
    archive = ecotaxa_zip(tmp_path / "cells.zip", ROWS, images={"x/1.png": b"0" * 5000, "2.png": b"0" * 10})
    monkeypatch.setitem(ecotaxa.MOST_BYTES, "image", 1000)
    with pytest.raises(CellsegError, match="would take 5,000 bytes"):
        read_crops(archive)


def test_damaged_members_are_named(tmp_path, ecotaxa_zip):
    archive = ecotaxa_zip(tmp_path / "cells.zip", ROWS)
    content = bytearray(archive.read_bytes())
    at = content.index(b"2.png\x89PNG") + 30
    content[at : at + 20] = b"\0" * 20
    archive.write_bytes(content)
    bad = [one for one in read_each(read_crops(archive)) if isinstance(one, LeftOut)]
    assert [one.id for one in bad] == ["b"]


def test_refused(tmp_path):
    for name, content, said in (
        ("other.tsv", "a", "no table in it"),
        ("ecotaxa_x.tsv", "object_id\na", "no column img_file_name"),
        ("ecotaxa_x.tsv", "object_id\timg_file_name\na\tnone.png", "none of its images is there"),
        ("ecotaxa_x.tsv", "object_id\timg_file_name\na\té.png".encode("latin-1"), "not in UTF-8"),
    ):
        with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
            archive.writestr(name, content)
        with pytest.raises(CellsegError, match=said):
            read_crops(tmp_path / "cells.zip")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4")
    with pytest.raises(CellsegError, match="no zip file"):
        read_crops(tmp_path / "broken.zip", format="ecotaxa")
