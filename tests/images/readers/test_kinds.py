"""Each kind of file: how it is stored, what is refused, where damage shows."""

import mrcfile
import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import read_image, smaller_copies

from ..sample_files import EVERYTHING, noise, write_ome_zarr


class TestTiff:
    @pytest.mark.parametrize(
        "how",
        [
            {},
            {"bigtiff": True},
            {"byteorder": ">"},
            {"tile": (64, 32)},
            {"tile": (64, 32), "compression": "zlib"},
            {"compression": "lzw", "rowsperstrip": 7},
            {"compression": "zlib", "predictor": True, "rowsperstrip": 1000},
            {"rowsperstrip": 1},
        ],
        ids=str,
    )
    def test_plain_tiled_and_compressed(self, tmp_path, how):
        pixels = noise(150, 213)
        tifffile.imwrite(tmp_path / "a.tif", pixels, **how)
        image = read_image(tmp_path / "a.tif")
        assert (image.shape, image.channels, image.data.dtype) == ((150, 213), 1, np.uint16)
        np.testing.assert_array_equal(image.read(*EVERYTHING), pixels[np.newaxis])
        np.testing.assert_array_equal(image.data[10:90:3, ::-1].compute(), pixels[10:90:3, ::-1])
        np.testing.assert_array_equal(image.data[7, [3, 200, 5]].compute(), pixels[7, [3, 200, 5]])

    def test_large_strips_are_read_in_bands(self, tmp_path, monkeypatch):
        from napari_cellseg.images.readers import tiff

        monkeypatch.setattr(tiff, "DECODED_BYTES", 1000)
        pixels = noise(400, 50)
        tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib", rowsperstrip=16)
        np.testing.assert_array_equal(
            read_image(tmp_path / "a.tif").read(slice(90, 130), slice(3, 9))[0], pixels[90:130, 3:9]
        )

    @pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_rgb_and_alpha(self, tmp_path, planar, how):
        pixels = noise(40, 50, 4, dtype="uint8")
        stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
        tifffile.imwrite(
            tmp_path / "a.tif",
            stored,
            photometric="rgb",
            planarconfig=planar,
            extrasamples=["unassalpha"],
            **how,
        )
        image = read_image(tmp_path / "a.tif")
        assert (image.channels, image.shape) == (3, (40, 50))
        np.testing.assert_array_equal(image.read(*EVERYTHING), np.moveaxis(pixels[..., :3], -1, 0))

    @pytest.mark.parametrize("kind", [{"imagej": True}, {"ome": True}, {}], ids=str)
    def test_channels(self, tmp_path, kind):
        pixels = noise(5, 30, 41)
        tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "CYX"}, **kind)
        image = read_image(tmp_path / "a.ome.tif")
        assert image.name == "a"
        np.testing.assert_array_equal(image.read(slice(2, 9), slice(0, 5)), pixels[:, 2:9, 0:5])

    def test_a_few_unnamed_pages_are_channels(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", noise(2, 30, 41), photometric="minisblack", metadata=None)
        assert read_image(tmp_path / "a.tif").channels == 2

    @pytest.mark.parametrize(("axes", "count"), [("ZYX", 3), ("TYX", 2), ("QYX", 30)])
    def test_stack(self, tmp_path, axes, count):
        tifffile.imwrite(
            tmp_path / "a.tif", noise(count, 20, 30), photometric="minisblack", metadata={"axes": axes}
        )
        with pytest.raises(
            CellsegError, match=f"stack of images .*{axes[0].lower()} = {count}.*file of its own"
        ):
            read_image(tmp_path / "a.tif")

    def test_the_full_resolution_of_a_pyramid(self, tmp_path):
        pixels = noise(256, 320)
        with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
            tif.write(pixels, subifds=1, tile=(64, 64), compression="zlib")
            tif.write(pixels[::2, ::2], subfiletype=1, tile=(64, 64), compression="zlib")
        image = read_image(tmp_path / "a.ome.tif")
        np.testing.assert_array_equal(image.read(slice(60, 200), slice(50, 70))[0], pixels[60:200, 50:70])

    @pytest.mark.parametrize("channels", [(), (3,)])
    def test_smaller_copies_of_a_pyramid(self, tmp_path, channels):
        pixels, axes = noise(*channels, 64, 96), "CYX"[-2 - len(channels) :]
        with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
            writer.write(pixels, subifds=2, tile=(16, 16), photometric="minisblack", metadata={"axes": axes})
            for step in (2, 4):
                writer.write(
                    pixels[..., ::step, ::step], subfiletype=1, tile=(16, 16), photometric="minisblack"
                )
        copies = smaller_copies(read_image(tmp_path / "a.ome.tif"))
        assert len(copies) == 2
        for step, copy in zip((2, 4), copies, strict=True):
            np.testing.assert_array_equal(copy.compute(), pixels[..., ::step, ::step])

    def test_one_bit(self, tmp_path):
        pixels = noise(20, 30) > 100
        tifffile.imwrite(tmp_path / "a.tif", pixels)
        image = read_image(tmp_path / "a.tif")
        assert image.data.dtype == np.uint8
        np.testing.assert_array_equal(image.read(*EVERYTHING)[0], pixels)

    def test_truncated(self, tmp_path):
        for how in ({}, {"compression": "zlib"}, {"tile": (64, 64)}):
            path = tmp_path / "a.tif"
            tifffile.imwrite(path, noise(300, 310), **how)
            whole = path.read_bytes()
            for share in (0.001, 0.01, 0.5, 0.99):
                path.write_bytes(whole[: int(len(whole) * share) + 1])
                with pytest.raises(CellsegError, match=r"a\.tif: (truncated|cannot be opened)"):
                    read_image(path)

    def test_damaged_pixels_are_reported_where_they_are_read(self, tmp_path):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, noise(256, 256), tile=(64, 64), compression="zlib")
        content = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as tif:
            start, count = tif.pages.first.dataoffsets[0], tif.pages.first.databytecounts[0]
        content[start : start + count] = bytes(count)
        path.write_bytes(content)
        image = read_image(path)
        assert image.read(slice(100, 200), slice(100, 200)).any()
        with pytest.raises(CellsegError, match=r"a\.tif: rows 0-10, columns 0-20 cannot be read"):
            image.read(slice(0, 10), slice(0, 20))
        with pytest.raises(CellsegError, match="cannot be read"):
            image.data.compute()

    def test_xml_entities_are_refused(self, tmp_path):
        bomb = '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "b">]><OME xmlns="http://www.openmicroscopy.org/">&a;</OME>'
        tifffile.imwrite(tmp_path / "a.tif", noise(5, 6), description=bomb, metadata=None)
        with pytest.raises(CellsegError, match="XML entities"):
            read_image(tmp_path / "a.tif")


class TestMrc:
    @pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
    def test_modes(self, tmp_path, dtype):
        pixels = noise(37, 53, dtype=dtype)
        mrcfile.write(tmp_path / "a.mrc", pixels)
        image = read_image(tmp_path / "a.mrc")
        assert image.data.dtype == dtype
        np.testing.assert_array_equal(image.read(*EVERYTHING)[0], pixels)

    def test_a_map_is_an_mrc_file(self, tmp_path):
        with mrcfile.new(tmp_path / "a.map") as file:
            file.set_data(noise(5, 6))
        assert read_image(tmp_path / "a.map").shape == (5, 6)

    def test_a_stack_of_one(self, tmp_path):
        mrcfile.write(tmp_path / "a.mrcs", noise(1, 20, 30, dtype="int16"))
        assert read_image(tmp_path / "a.mrcs").data.shape == (20, 30)

    def test_stack(self, tmp_path):
        mrcfile.write(tmp_path / "a.mrcs", noise(3, 20, 30, dtype="int16"))
        with pytest.raises(CellsegError, match="stack of images"):
            read_image(tmp_path / "a.mrcs")

    def test_transform(self, tmp_path):
        mrcfile.write(tmp_path / "a.mrc", noise(20, 30).astype(np.complex64))
        with pytest.raises(CellsegError, match="complex64"):
            read_image(tmp_path / "a.mrc")

    def test_big_endian_and_extended_header(self, tmp_path):
        pixels = noise(20, 30, dtype="int16")
        with mrcfile.new(tmp_path / "a.mrc") as mrc:
            mrc.set_data(pixels.astype(">i2"))
            mrc.set_extended_header(np.zeros(100, "V1"))
            mrc.voxel_size = 2.5
        image = read_image(tmp_path / "a.mrc")
        np.testing.assert_array_equal(image.read(*EVERYTHING)[0], pixels)
        assert image.pixel_nm == pytest.approx(0.25)

    def test_truncated_and_foreign(self, tmp_path):
        path = tmp_path / "a.mrc"
        mrcfile.write(path, noise(50, 60, dtype="int16"))
        whole = path.read_bytes()
        for length in (10, 1023, 1024, 3000, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(CellsegError, match=r"a\.mrc: truncated"):
                read_image(path)
        path.write_bytes(b"no micrograph " * 200)
        with pytest.raises(CellsegError, match=r"a\.mrc: no MRC header"):
            read_image(path)

    def test_no_byte_follows_the_map_word(self, tmp_path):
        path = tmp_path / "a.mrc"
        mrcfile.write(path, noise(50, 60, dtype="int16"))
        content = bytearray(path.read_bytes())
        content[208:212] = bytes(4)
        path.write_bytes(content)
        assert read_image(path).shape == (50, 60)


class TestPictures:
    @pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
    def test_grey_png(self, tmp_path, dtype):
        pixels = noise(30, 41) > 100 if dtype == "bool" else noise(30, 41, dtype=dtype)
        PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
        image = read_image(tmp_path / "a.png")
        assert image.data.dtype == ("uint8" if dtype == "bool" else dtype)
        np.testing.assert_array_equal(image.read(slice(3, 9), slice(20, 41))[0], pixels[3:9, 20:41])

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK"])
    def test_colours_and_transparency(self, tmp_path, mode):
        pixels = noise(30, 41, 3, dtype="uint8")
        picture = PIL.Image.fromarray(pixels).convert(mode)
        path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
        picture.save(path)
        image = read_image(path)
        assert image.data.shape == ((30, 41) if mode == "LA" else (3, 30, 41))
        if mode.startswith("RGB"):
            np.testing.assert_array_equal(image.read(*EVERYTHING), np.moveaxis(pixels, -1, 0))

    def test_16_bit_colours_keep_their_bits(self, tmp_path):
        import imagecodecs

        pixels = noise(30, 41, 3) * 300
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
        image = read_image(tmp_path / "a.png")
        np.testing.assert_array_equal(image.read(*EVERYTHING), np.moveaxis(pixels, -1, 0))

    def test_truncated(self, tmp_path):
        for name in ("a.png", "a.jpg"):
            path = tmp_path / name
            PIL.Image.fromarray(noise(200, 300, dtype="uint8")).save(path)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            image = read_image(path)
            with pytest.raises(CellsegError, match="cannot be read"):
                image.read(slice(0, 5), slice(0, 5))

    def test_bomb(self, tmp_path):
        import struct
        import zlib

        header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
        chunk = b"IHDR" + header
        png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        (tmp_path / "a.png").write_bytes(png + struct.pack(">I", 0) + b"IDAT" + bytes(4))
        with pytest.raises(CellsegError, match="tiled TIFF or OME-Zarr"):
            read_image(tmp_path / "a.png")


class TestOmeZarr:
    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    @pytest.mark.parametrize("axes", ["yx", "cyx", "tczyx", "zyx"])
    def test_versions_and_axes(self, tmp_path, version, axes):
        pixels = noise(3, 70, 90) if "c" in axes else noise(70, 90)
        shape = tuple(
            1 if axis in "tz" else dict(zip("cyx", (3, 70, 90), strict=True))[axis] for axis in axes
        )
        path = write_ome_zarr(
            tmp_path / "a.ome.zarr",
            pixels.reshape(shape),
            axes,
            version,
            chunks=tuple(min(32, n) for n in shape),
        )
        image = read_image(path)
        assert (image.name, image.data.shape) == ("a", pixels.shape)
        np.testing.assert_array_equal(
            image.read(slice(20, 60), slice(5, 90)), np.atleast_3d(pixels.T).T[:, 20:60, 5:90]
        )

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_smaller_copies(self, tmp_path, version):
        pixels = noise(40, 60)
        path = write_ome_zarr(tmp_path / "a.ome.zarr", pixels, "yx", version)
        assert smaller_copies(read_image(path)) == []
        group = zarr.open_group(str(path), mode="r+")
        stored = group.create_array("s1", shape=(20, 30), dtype=pixels.dtype)
        stored[...] = pixels[::2, ::2]
        attributes = group.attrs.asdict()
        scale = [{"type": "scale", "scale": [2.0, 2.0]}]
        multiscale = attributes.get("ome", attributes)["multiscales"][0]
        multiscale["datasets"].append({"path": "s1", "coordinateTransformations": scale})
        group.attrs.update(attributes)
        (copy,) = smaller_copies(read_image(path))
        np.testing.assert_array_equal(copy.compute(), pixels[::2, ::2])
        (path / "s1").rename(path / "gone")
        assert smaller_copies(read_image(path)) == []

    def test_plain_array(self, tmp_path):
        for shape in ((20, 30), (2, 20, 30)):
            zarr.save_array(str(tmp_path / "a.zarr"), noise(*shape), mode="w")
            assert read_image(tmp_path / "a.zarr").data.shape == shape

    def test_bio_formats_layout(self, tmp_path):
        zarr.open_group(
            str(tmp_path / "a.zarr"), mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3}
        )
        write_ome_zarr(tmp_path / "a.zarr" / "0", noise(20, 30), "yx", "0.4")
        assert read_image(tmp_path / "a.zarr").shape == (20, 30)

    def test_stack(self, tmp_path):
        write_ome_zarr(tmp_path / "a.zarr", noise(4, 20, 30), "zyx")
        with pytest.raises(CellsegError, match="z = 4"):
            read_image(tmp_path / "a.zarr")

    def test_group_without_an_image_and_plain_folder(self, tmp_path):
        zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_group("inner")
        with pytest.raises(CellsegError, match=r"a zarr group without an image.*inner"):
            read_image(tmp_path / "a.zarr")
        with pytest.raises(CellsegError, match="folder without zarr metadata"):
            read_image(tmp_path)

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_missing_chunks_are_empty_and_damaged_ones_an_error(self, tmp_path, version):
        path = write_ome_zarr(
            tmp_path / "a.zarr", noise(64, 64) + np.uint16(1), "yx", version, chunks=(32, 32)
        )
        chunks = sorted(file for file in path.rglob("*") if file.is_file() and file.name[-1].isdigit())
        assert len(chunks) == 4
        chunks[0].unlink()
        chunks[3].write_bytes(chunks[3].read_bytes()[:20])
        image = read_image(path)
        assert not image.read(slice(0, 32), slice(0, 32)).any()
        with pytest.raises(CellsegError, match=r"a\.zarr: rows 40-50.* cannot be read"):
            image.read(slice(40, 50), slice(40, 50))

    def test_damaged_metadata(self, tmp_path):
        path = write_ome_zarr(tmp_path / "a.zarr", noise(64, 64), "yx")
        (path / "0" / "zarr.json").write_text('{"zarr_format": 3, "node_')
        with pytest.raises(CellsegError, match="cannot be opened"):
            read_image(path)
