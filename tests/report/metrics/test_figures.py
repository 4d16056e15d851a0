from pathlib import Path

import numpy as np
import pytest

import napari_cellseg
from napari_cellseg.report.metrics.figures import FIGURES, json_number, nested, ratio


def test_ratio_of_nothing_is_not_a_number():
    assert np.isnan(ratio(0, 0))
    assert ratio([[1, 2]], [4]).tolist() == [[0.25, 0.5]]
    assert json_number(float("nan")) is None


def test_nested():
    assert nested({}) == {}
    assert nested({("a", "b"): 1, ("a", "c"): 2, ("d",): 3}) == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize("key", FIGURES)
def test_every_figure_is_explained(key):
    pages = Path(napari_cellseg.__file__).parents[2] / "docs/metrics.md"
    if not pages.exists():
        pytest.skip("the pages are not installed")
    assert f"| `{key}` |" in pages.read_text(encoding="utf-8")
