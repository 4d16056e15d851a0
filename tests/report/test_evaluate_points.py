"""Files of points against true ones."""

import json

import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.evaluate_points import evaluate_points
from napari_cellseg.report.figures import draw_spacings


@pytest.fixture
def files(tmp_path):
    texts = {
        "a_points.csv": "X,Y,on_filament,along_px\n10,10,1,0\n50,10,1,40\n",
        "a_troponin.csv": "X,Y\n11,10\n90,90\n",
        "b_points.csv": "X,Y\n",
        "b_troponin.csv": "X,Y\n5,5\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return [tmp_path / name for name in texts]


def test_images_are_pooled(files):
    scores = evaluate_points(files[::2], files[1::2], tolerance_px=4, spacing_px=38.5)
    told = json.loads(json.dumps(scores.to_json()))
    assert told["pooled"] == {
        "found": 2,
        "true": 3,
        "matched": 1,
        "precision": 0.5,
        "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(0.4),
    }
    assert [image["f1"] for image in told["images"]] == [0.5, 0]
    assert told["spacings_px"] == [40]


def test_files_without_a_partner(files):
    with pytest.raises(CellsegError, match="no partner for b"):
        evaluate_points(files[::2], [files[1]], tolerance_px=4, spacing_px=38.5)


@pytest.mark.parametrize("values", [[], [38.0, 39.0, 77.0, 900.0]])
def test_spacings_are_drawn(values):
    import numpy as np

    assert draw_spacings(np.array(values), 38.5).startswith(b"\x89PNG")
