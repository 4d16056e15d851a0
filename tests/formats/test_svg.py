import numpy as np
import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import read_coordinates


def drawn(folder, content, attributes="", before=""):
    path = folder / "a.svg"
    path.write_text(f'{before}<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{content}</svg>')
    return read_coordinates(path)


@pytest.mark.parametrize(
    "content", ["", "<g/>", '<path d=""/>', "<path/>", '<polyline points="3,4"/>', '<path d="M 3 4"/>']
)
def test_nothing_drawn_is_nothing(content, tmp_path):
    found = drawn(tmp_path, content)
    assert (found.filaments, len(found.points)) == ((), 0)


def test_every_kind_of_line_is_a_filament(tmp_path):
    found = drawn(
        tmp_path,
        '<line x1="1" y1="2" x2="3" y2="4"/><polyline points="1,2 3,4, 5 7"/>'
        '<polygon points="0,0 9,0 9,9"/><path d="m1 2 l2 2 M 10,10 h5 v5"/>',
    )
    assert [one.path.tolist() for one in found.filaments] == [
        [[2, 1], [4, 3]],
        [[2, 1], [4, 3], [7, 5]],
        [[0, 0], [0, 9], [9, 9], [0, 0]],
        [[2, 1], [4, 3]],
        [[10, 10], [10, 15], [15, 15]],
    ]
    assert [one.id for one in found.filaments] == [1, 2, 3, 4, 5]


def test_transforms_are_nested_from_the_outside_in(tmp_path):
    found = drawn(
        tmp_path,
        '<g transform="translate(100,200)"><g transform="scale(2) rotate(90)">'
        '<line x1="0" y1="0" x2="10" y2="0"/></g><circle cx="1" cy="2" r="9"/></g>',
    )
    np.testing.assert_allclose(found.filaments[0].path, [[200, 100], [220, 100]], atol=1e-9)
    assert found.points.tolist() == [[202, 101]]


def test_curves_are_followed(tmp_path):
    # a quarter of a circle as an arc, and its usual cubic
    for d in ("M 100 0 A 100 100 0 0 1 0 100", "M 100 0 C 100 55.2285 55.2285 100 0 100"):
        (curve,) = drawn(tmp_path, f'<path d="{d}"/>').filaments
        np.testing.assert_allclose(np.hypot(*curve.path.T), 100, atol=0.03)
        assert curve.length_px == pytest.approx(50 * np.pi, abs=0.05)
        np.testing.assert_allclose(curve.ends, [[0, 100], [100, 0]], atol=1e-9)


def test_an_arc_without_a_radius_is_a_line(tmp_path):
    (line,) = drawn(tmp_path, '<path d="M 0 0 A 0 0 0 0 1 9 8"/>').filaments
    assert line.path.tolist() == [[0, 0], [8, 9]]


def test_what_is_not_shown_as_it_stands_is_left_out(tmp_path):
    line = '<path d="M0 0 L5 5"/>'
    found = drawn(
        tmp_path, f"<defs>{line}</defs><symbol>{line}</symbol><!-- c --><rect width='5' height='5'/>{line}"
    )
    assert len(found.filaments) == 1
    assert found.notices == ("1 x <rect> left out",)


def test_the_size_is_that_of_the_drawing(tmp_path):
    assert drawn(tmp_path, "", 'viewBox="0 0 3838 3710"').shape == (3710, 3838)
    assert drawn(tmp_path, "", 'width="3838px" height="3710"').shape == (3710, 3838)
    assert drawn(tmp_path, "", 'width="10cm" height="5cm"').shape is None


BOMB = """<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>"""
OUTSIDE = """<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>"""


@pytest.mark.parametrize("before", [BOMB, OUTSIDE])
def test_entities_are_refused(before, tmp_path):
    with pytest.raises(CellsegError, match="refused, it declares entities"):
        drawn(tmp_path, "<title>&a;</title>", before=before)


@pytest.mark.parametrize(
    "content",
    [
        "<script>alert(1)</script>",
        '<g onload="alert(1)"/>',
        '<a href="javascript:alert(1)"><path d="M0 0 L5 5"/></a>',
        "<foreignObject/>",
    ],
)
def test_scripts_are_refused(content, tmp_path):
    with pytest.raises(CellsegError, match="refused, it holds a script"):
        drawn(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        '<path d="M 0"/>',
        '<path d="hello"/>',
        '<path d="M 0 0 L 1e400 3"/>',
        '<path d="Z"/>',
        '<circle cx="inf"/>',
        '<polyline data-score="x" points="1,2 3,4"/>',
        '<polyline points="1,2 3"/>',
        '<polyline points="1,2 3,nan"/>',
        '<line x1="x"/>',
        '<g transform="foo(3)"/>',
        '<g transform="rotate(1,2)"/>',
        "<g>",
    ],
)
def test_what_cannot_be_read_is_one_line(content, tmp_path):
    with pytest.raises(CellsegError, match=r"a\.svg"):
        drawn(tmp_path, content)
