"""Pages and the pictures in them."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture_

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.figures import (
    draw_curves,
    draw_differences,
    draw_image,
    draw_labels,
    draw_strokes,
    shrink,
)
from napari_cellseg.report.page import Page, Picture, Section, Table, render_page, write_page

COLORS = ("#000000", "#ffffff", "#ff0000")


class Tags(HTMLParser):
    """Checks that every tag that is opened is closed in order."""

    void = frozenset({"meta", "img", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Picture_.open(io.BytesIO(data)).convert("RGB")).astype(int)


def full_page() -> Page:
    picture = Picture("Image", "what is to be seen", draw_image(np.eye(20)))
    table = Table(("class", "F1"), (("filament", "0.900"), ("<b>", "-")))
    section = Section("Result", ("A & B",), (picture, picture), (table,), ("napari-cellseg info 'a b.tif'",))
    return Page("Title", "Lead", (("0.9", "F1"),), (section,), "today")


def test_the_page_is_whole_and_needs_no_other_file():
    html = render_page(full_page())
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert tags.seen.count("img") == 2
    assert not re.findall(r"(?:src|href)=\"(?!data:)", html)
    assert "<script" not in html
    assert 'name="viewport"' in html


def test_text_is_escaped():
    html = render_page(full_page())
    assert "A &amp; B" in html
    assert "&lt;b&gt;" in html
    assert "info &#39;a b.tif&#39;" in html


def test_pictures_are_embedded_as_they_are():
    data = draw_image(np.eye(20))
    address = Picture("a", "b", data).address
    assert address.startswith("data:image/jpeg;base64,")
    assert base64.b64decode(address.partition(",")[2]) == data


def test_an_empty_page_is_a_page():
    assert "<h1>only a title</h1>" in render_page(Page("only a title", ""))


def test_write_page_replaces_whole(tmp_path):
    write_page(tmp_path / "report.html", full_page())
    write_page(tmp_path / "report.html", Page("second", ""))
    assert "second" in (tmp_path / "report.html").read_text()
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(CellsegError):
        write_page(tmp_path / "report.html" / "below", full_page())


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((1, 1)),
        np.full((3, 500), 7, np.uint16),
        np.full((5, 5), np.nan),
        np.array([[np.inf, 1], [np.nan, 3]]),
        np.arange(40, dtype=np.uint8).reshape(40, 1),
    ],
)
def test_degenerate_planes_are_drawn(plane):
    drawn = pixels(draw_image(plane, side_px=16))
    assert max(drawn.shape[:2]) <= 16
    assert min(drawn.shape[:2]) >= 1


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 30))
def test_shrinking_fits_and_keeps_the_range(height, width, side):
    plane = np.random.default_rng(height * 61 + width).uniform(-1, 1, (height, width))
    small = shrink(plane, side)
    assert max(small.shape) <= side
    assert plane.min() - 1e-6 <= small.min() <= small.max() <= plane.max() + 1e-6


def test_labels_have_their_colours():
    labels = np.ones((8, 8), np.uint8)
    labels[:4] = 2
    drawn = pixels(draw_labels(labels, COLORS))
    assert drawn[0, 0].tolist() == [255, 0, 0]
    assert max(drawn[7, 7]) < 40


def test_differences_tell_right_missed_and_added():
    plane = np.full((24, 8), 0.5)
    truth, predicted = np.zeros((24, 8), bool), np.zeros((24, 8), bool)
    truth[:16] = True
    predicted[8:] = True
    drawn = pixels(draw_differences(plane, predicted, truth))
    missed, right, added = drawn[3, 4], drawn[12, 4], drawn[20, 4]
    assert missed[0] > missed[2] + 50  # yellow
    assert right[2] > right[0] + 50  # blue
    assert added[0] > added[1] + 50  # red-purple


def test_strokes_lie_over_the_image():
    labels = np.zeros((8, 24), np.uint8)
    labels[:, :8], labels[:, 16:] = 1, 2
    drawn = pixels(draw_strokes(np.full((8, 24), 0.5), labels, COLORS))
    assert drawn[4, 4].min() > 170
    assert drawn[4, 20, 0] > drawn[4, 20, 1] + 80
    assert np.ptp(drawn[4, 12]) < 10


def test_curves_are_drawn_even_of_nothing():
    for epochs, values in (([], []), ([1], [0.5]), ([1, 2, 3], [0.9, 0.5, 0.4])):
        data = draw_curves(epochs, {"training": values}, {"filament": values})
        assert pixels(data).shape[1] > 800
