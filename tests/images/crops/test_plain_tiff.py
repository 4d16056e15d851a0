"""The fast way through a TIFF gives what tifffile gives, and leaves the rest to it."""

import io
import logging

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops import plain_tiff
from napari_cellseg.images.crops.plain_tiff import decode_tiff, description_of
from napari_cellseg.images.readers.pixels import DAMAGE
from napari_cellseg.images.simulate.ideas_export import ideas_tiff

NOISE = np.random.default_rng(0).integers(0, 4096, (90, 70)).astype(np.uint16)


def written(pixels, **how):
    content = io.BytesIO()
    tifffile.imwrite(content, pixels, **how)
    return content.getvalue()


@given(
    arrays(
        st.sampled_from(["u1", "u2", "u4", "i2", "f4", "f8"]),
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.integers(0, 100),
    ),
    st.sampled_from("<>"),
)
def test_any_type_and_byte_order(pixels, order):
    content = written(pixels, byteorder=order, photometric="minisblack")
    found = decode_tiff(content, "a.tif")
    assert (found.dtype, found.shape) == (pixels.dtype, (1, *pixels.shape))
    np.testing.assert_array_equal(found[0], pixels)


@pytest.mark.parametrize(
    "how", [{}, {"rowsperstrip": 7}, {"compression": "zlib"}, {"compression": "lzw", "predictor": True},
            {"tile": (16, 16)}, {"bigtiff": True}, {"description": "<OME/>"}], ids=str
)  # fmt: skip
def test_ways_of_storing(how):
    np.testing.assert_array_equal(decode_tiff(written(NOISE, **how), "a.tif")[0], NOISE)


def test_what_is_plain_needs_no_tifffile(monkeypatch):
    monkeypatch.setattr(plain_tiff, "_by_tifffile", None)
    for content in (written(NOISE), written(NOISE, rowsperstrip=7), ideas_tiff(NOISE, 4, 12, "a")):
        np.testing.assert_array_equal(decode_tiff(content, "a.tif")[0], NOISE)
    colours = np.stack([NOISE % 256] * 3, -1).astype(np.uint8)
    np.testing.assert_array_equal(
        decode_tiff(written(colours, photometric="rgb"), "a.tif"), colours.transpose(2, 0, 1)
    )


def test_alpha_is_left_out_and_pages_are_channels():
    colours = np.stack([NOISE % 256] * 4, -1).astype(np.uint8)
    content = written(colours, photometric="rgb", extrasamples=["unassalpha"])
    assert decode_tiff(content, "a.tif").shape == (3, 90, 70)
    pages = written(np.stack([NOISE, NOISE + 1]), photometric="minisblack")
    assert decode_tiff(pages, "a.tif").shape == (2, 90, 70)


def test_a_real_ideas_file_is_malformed_and_read_in_silence(tmp_path, caplog):
    (tmp_path / "1_Ch4.ome.tif").write_bytes(ideas_tiff(NOISE, 4, 12, "a"))
    with caplog.at_level(logging.DEBUG, "tifffile"):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "1_Ch4.ome.tif"), NOISE)
        assert len(caplog.records) == 2  # what tifffile says of it
        caplog.clear()
        compressed = written(NOISE, compression="zlib", description="<OME><x:a/></OME>", metadata=None)
        decode_tiff(compressed, "a.tif")
        assert not caplog.records
    assert description_of(tmp_path / "1_Ch4.ome.tif").endswith(b"</OME>")


def test_empty_and_cut_off():
    whole = written(NOISE)
    with pytest.raises(CellsegError, match="cut off"):
        decode_tiff(whole[:-100], "a.tif")
    for content in (b"", b"II", b"II*\0", whole[:8], b"no tiff at all"):
        with pytest.raises(DAMAGE):
            decode_tiff(content, "a.tif")


@given(st.data())
def test_damage_anywhere_is_an_error_or_pixels(data):
    content = bytearray(ideas_tiff(NOISE[:6, :5], 4, 12, "a"))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    try:
        decode_tiff(bytes(content), "a.tif")
    except (*DAMAGE, CellsegError):
        pass
