"""`measure` and `write-classes` on a small folder of cells."""

import csv

import numpy as np
import PIL.Image
import pytest

from napari_cellseg.cli import main
from napari_cellseg.formats.class_kinds import CLASS_WRITERS
from napari_cellseg.formats.class_table import ClassTable, write_class_table
from napari_cellseg.images.crops import read_crops


@pytest.fixture
def cells(tmp_path):
    for number in (1, 2):
        (tmp_path / "in").mkdir(exist_ok=True)
        name = f"D20220519T124533_IFCB134_{number:05d}.png"
        pixels = np.full((9, 8), 200, np.uint8)
        pixels[3:6, 2:6] = 40
        PIL.Image.fromarray(pixels).save(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def table(tmp_path, cells):
    crops = read_crops(cells)
    said = ClassTable.of(
        crops, ("b", "a x"), labels=["a x", "unclassified"], probabilities=np.array([[0.1, 0.9], [0.5, 0.5]])
    )
    write_class_table(tmp_path / "said.csv", said)
    return tmp_path / "said.csv"


def test_measure(tmp_path, cells, capsys):
    out = tmp_path / "sizes.csv"
    assert main(["measure", str(cells), "--out", str(out), "--pixel-nm", "500"]) == 0
    row = next(csv.DictReader(out.read_text().splitlines()))
    assert float(row["area_um2"]) == pytest.approx(12 / 4, abs=1)
    assert main(["measure", str(cells), "--out", str(out)]) == 2
    (cells / "3.png").write_bytes(b"nothing")
    assert main(["measure", str(cells), "--out", str(out), "--overwrite"]) == 1
    assert "3: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("format", CLASS_WRITERS)
def test_write_classes(tmp_path, cells, table, format):
    out = tmp_path / f"out{CLASS_WRITERS[format].suffix}"
    asked = ["write-classes", str(table), str(cells), "--format", format, "--out", str(out)]
    assert main(asked) == 0
    assert out.exists()
    assert main(asked) == 2


def test_what_cannot_be_written(tmp_path, cells, table, capsys):
    asked = ["write-classes", str(table), str(cells), "--out", str(tmp_path / "out")]
    assert main([*asked, "--format", "x"]) == 2
    assert main([*asked, "--format", "csv"]) == 2
    next(cells.iterdir()).unlink()
    capsys.readouterr()
    assert main([*asked, "--format", "class-folders"]) == 2
    assert "1 cells that are not in" in capsys.readouterr().err
