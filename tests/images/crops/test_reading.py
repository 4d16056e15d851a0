"""Which reader takes what, and what is said when none does."""

import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import READERS, read_crops

GREY = np.full((4, 5), 7, np.uint8)


def test_empty_folder(tmp_path):
    with pytest.raises(CellsegError, match="the folder is empty"):
        read_crops(tmp_path)
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "A").mkdir()
    with pytest.raises(CellsegError, match="the folder is empty"):
        read_crops(tmp_path)


@pytest.mark.parametrize("name", ["run.cif", "run.rif", "run.daf"])
def test_raw_files_of_the_instrument_say_how_to_export(tmp_path, name):
    (tmp_path / name).touch()
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(CellsegError, match=r"Export \.tif Images"):
            read_crops(path)


def test_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(CellsegError, match="no images of single cells known here"):
        read_crops(tmp_path)
    with pytest.raises(CellsegError, match="no reader 'x' of crops; expected ideas or ifcb"):
        read_crops(tmp_path, format="x")


@pytest.mark.parametrize("format", READERS)
def test_every_reader_refuses_a_folder_without_its_files(tmp_path, format):
    (tmp_path / "notes.txt").write_text("nothing")
    assert not READERS[format].sniff(tmp_path)
    if format != "table":
        with pytest.raises(CellsegError):
            read_crops(tmp_path, format=format)


def test_each_layout_finds_its_reader(
    tmp_path, export, save, ifcb_bin, flowcam_run, ecotaxa_zip, monkeypatch
):
    ifcb_bin(tmp_path / "ifcb", "D20220519T124533_IFCB134", [(4, 5)])
    flowcam_run(tmp_path / "flowcam", "run", [(1, 2, 3, 4)])
    ecotaxa_zip(tmp_path / "e.zip", [("a", "a.png", "", "", "")])
    save(tmp_path / "folders" / "A" / "1.png", GREY)
    (tmp_path / "table.csv").write_text("path\nfolders/A/1.png\n")
    paths = {
        "ideas": export.folder,
        "ifcb": tmp_path / "ifcb",
        "flowcam": tmp_path / "flowcam",
        "ecotaxa": tmp_path / "e.zip",
        "table": tmp_path / "table.csv",
        "class-folders": tmp_path / "folders",
    }
    assert set(paths) == set(READERS)
    for format, path in paths.items():
        assert next(name for name, reader in READERS.items() if reader.sniff(path)) == format
        by_name, found = read_crops(path, format=format), read_crops(path)
        assert (found.ids == by_name.ids).all()
        assert found.channels == by_name.channels
        assert found.read(0).ndim == 3
