import pickle

import mrcfile
import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import READERS, Image, find_images, read_image, read_planes, stem
from napari_cellseg.images.readers import pixels as pixels_module

from .sample_files import EVERYTHING, noise


class TestOpening:
    def test_reads_no_pixels(self, tmp_path, monkeypatch):
        for name, how in (
            ("plain", {}),
            ("strips", {"compression": "zlib"}),
            ("tiled", {"tile": (256, 256)}),
        ):
            tifffile.imwrite(tmp_path / f"{name}.tif", noise(3710, 3838), **how)
        mrcfile.write(tmp_path / "a.mrc", noise(300, 310, dtype="int16"))
        PIL.Image.fromarray(noise(300, 310, dtype="uint8")).save(tmp_path / "a.png")
        zarr.create_array(str(tmp_path / "a.zarr"), shape=(100_000, 100_000), chunks=(512, 512), dtype="u2")

        def read(*_):
            raise AssertionError("pixels were read")

        monkeypatch.setattr(pixels_module.Pixels, "_open", read)
        shapes = [read_image(path).shape for path in find_images(tmp_path)]
        assert shapes == [(300, 310), (300, 310), (100_000, 100_000), *[(3710, 3838)] * 3]

    def test_a_region_reads_only_what_it_touches(self, tmp_path, monkeypatch):
        zarr.create_array(str(tmp_path / "a.zarr"), shape=(100_000, 100_000), chunks=(512, 512), dtype="u2")
        regions = []
        original = pixels_module.Pixels._read

        def spy(self, channels, rows, cols):
            regions.append((rows.start, rows.stop, cols.start, cols.stop))
            return original(self, channels, rows, cols)

        monkeypatch.setattr(pixels_module.Pixels, "_read", spy)
        image = read_image(tmp_path / "a.zarr")
        assert image.read(slice(50_000, 50_010), slice(99_990, 200_000)).shape == (1, 10, 10)
        assert image.data[2000:2100, 1000:1050].compute(scheduler="synchronous").shape == (100, 50)
        assert sorted(regions) == [
            (2000, 2048, 1000, 1024),
            (2000, 2048, 1024, 1050),
            (2048, 2100, 1000, 1024),
            (2048, 2100, 1024, 1050),
            (50_000, 50_010, 99_990, 100_000),
        ]

    @pytest.mark.parametrize("name", ["a.tif", "a.png", "a.mrc", "a.zarr"])
    def test_travels_to_another_process(self, tmp_path, name):
        pixels = noise(40, 50, dtype="uint8")
        path = tmp_path / name
        if name == "a.tif":
            tifffile.imwrite(path, pixels, tile=(16, 16))
        elif name == "a.png":
            PIL.Image.fromarray(pixels).save(path)
        elif name == "a.mrc":
            mrcfile.write(path, pixels.astype(np.int16))
        else:
            zarr.save_array(str(path), pixels)
        image = read_image(path)
        image.read(*EVERYTHING)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(image)).read(*EVERYTHING)[0], pixels)  # noqa: S301


class TestBadFiles:
    def test_missing(self, tmp_path):
        with pytest.raises(CellsegError, match="no such file"):
            read_image(tmp_path / "a.tif")

    @pytest.mark.parametrize("suffix", [suffix for reader in READERS.values() for suffix in reader.suffixes])
    def test_empty_and_not_an_image(self, tmp_path, suffix):
        path = tmp_path / f"a{suffix}"
        path.touch()
        with pytest.raises(CellsegError, match=r"file is empty|known kind"):
            read_image(path)
        path.write_text("this is no image at all\n")
        with pytest.raises(CellsegError, match=r"cannot be opened|known kind|truncated"):
            read_image(path)

    def test_unknown_suffix_lists_the_readers(self, tmp_path):
        (tmp_path / "a.docx").write_text("x")
        with pytest.raises(CellsegError, match=r"tiff \(.*mrc \(.*png/jpg \(.*ome-zarr \("):
            read_image(tmp_path / "a.docx")

    @pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
    def test_no_pixels(self, tmp_path, shape):
        zarr.save_array(str(tmp_path / "a.zarr"), np.zeros(shape, np.uint8))
        with pytest.raises(CellsegError, match="without pixels"):
            read_image(tmp_path / "a.zarr")

    def test_one_dimension(self, tmp_path):
        zarr.save_array(str(tmp_path / "a.zarr"), np.zeros(7, np.uint8))
        with pytest.raises(CellsegError, match="rows and columns"):
            read_image(tmp_path / "a.zarr")

    def test_bytes_flipped_anywhere_in_the_header(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", noise(20, 30), compression="zlib")
        mrcfile.write(tmp_path / "a.mrc", noise(20, 30, dtype="int16"))
        PIL.Image.fromarray(noise(20, 30, dtype="uint8")).save(tmp_path / "a.png")
        rng = np.random.default_rng(1)
        for path in sorted(tmp_path.iterdir()):
            whole = path.read_bytes()
            for _ in range(150):
                content = bytearray(whole)
                for position in rng.integers(0, min(len(whole), 1100), 2):
                    content[position] = int(rng.integers(256))
                path.write_bytes(content)
                try:
                    image = read_image(path)
                    if np.prod(image.data.shape) < 1e7:
                        image.read(*EVERYTHING)
                except CellsegError:
                    pass


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([[7]], np.uint8),
        np.full((3, 4), np.nan, np.float32),
        np.array([[0, 65535], [65535, 0]], np.uint16),
        np.array([[1e300, -1e300]]),
        np.array([[2**63 - 1, -1]]),
    ],
    ids=["1x1", "nan", "wild 16 bit", "wild float", "wild integer"],
)
def test_odd_images_are_read_as_they_are(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    zarr.save_array(str(tmp_path / "a.zarr"), pixels)
    for name in ("a.tif", "a.zarr"):
        np.testing.assert_array_equal(read_image(tmp_path / name).read(*EVERYTHING)[0], pixels)


PIXELS = st.one_of(
    *(
        arrays(dtype, st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)))
        for dtype in ("uint8", "int16", "uint16", "float32")
    )
)
STARTS = st.integers(0, 25)


@pytest.mark.filterwarnings("ignore:Data array contains")  # mrcfile about infinite values
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # and what it computes of them
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIXELS, STARTS, STARTS, STARTS, STARTS)
def test_a_written_image_reads_like_the_array(tmp_path, pixels, top, bottom, left, right):
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata={"axes": "CYX"})
    tifffile.imwrite(
        tmp_path / "b.tif", pixels, photometric="minisblack", metadata={"axes": "CYX"}, tile=(16, 16)
    )
    zarr.save_array(str(tmp_path / "a.zarr"), pixels, mode="w")
    rows, cols = slice(top, bottom), slice(left, right)
    for name in ("a.tif", "b.tif", "a.zarr"):
        image = read_image(tmp_path / name)
        assert image.data.dtype == pixels.dtype
        np.testing.assert_array_equal(image.read(rows, cols), pixels[:, rows, cols])
        np.testing.assert_array_equal(
            image.data[..., rows, cols].compute(),
            pixels[:, rows, cols].reshape(image.data[..., rows, cols].shape),
        )
    if pixels.dtype != np.uint8:
        mrcfile.write(tmp_path / "a.mrc", pixels[0], overwrite=True)
        np.testing.assert_array_equal(read_image(tmp_path / "a.mrc").read(rows, cols), pixels[:1, rows, cols])


class TestImage:
    def test_from_array(self):
        image = Image.from_array(np.zeros((2, 5, 6)), "x", pixel_nm=3)
        assert (image.shape, image.channels, image.name, image.pixel_nm, image.path) == (
            (5, 6),
            2,
            "x",
            3,
            None,
        )

    @pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (0, 3)])
    def test_shape_is_checked(self, shape):
        with pytest.raises(CellsegError, match=r"\(y, x\) or \(c, y, x\)"):
            Image.from_array(np.zeros(shape))

    @pytest.mark.parametrize("pixel_nm", [0, -1, float("nan"), float("inf")])
    def test_pixel_size_is_checked(self, pixel_nm):
        with pytest.raises(CellsegError, match="pixel size"):
            Image.from_array(np.zeros((2, 2)), pixel_nm=pixel_nm)


class TestReadPlanes:
    @pytest.mark.parametrize("name", ["a.mrcs", "a.tif", "a.zarr"])
    def test_a_stack_is_read_as_it_is_stored(self, tmp_path, name):
        pixels, path = noise(7, 5, 6), tmp_path / name
        if name == "a.mrcs":
            mrcfile.write(path, pixels, voxel_size=2.0)
        elif name == "a.tif":
            tifffile.imwrite(path, pixels, photometric="minisblack", compression="zlib")
        else:
            zarr.save_array(str(path), pixels)
        planes, pixel_nm = read_planes(path)
        np.testing.assert_array_equal(planes.compute(), pixels)
        assert planes.chunks[0] == (1,) * 7
        assert pixel_nm == (pytest.approx(0.2) if name == "a.mrcs" else None)

    def test_rows_and_columns_come_last(self, tmp_path):
        pixels = noise(7, 5, 6, 3, dtype="uint8")
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
        np.testing.assert_array_equal(read_planes(tmp_path / "a.tif")[0], pixels.transpose(0, 3, 1, 2))

    def test_damage_is_a_line(self, tmp_path):
        (tmp_path / "a.mrcs").write_bytes(bytes(2000))
        with pytest.raises(CellsegError, match=r"a\.mrcs"):
            read_planes(tmp_path / "a.mrcs")


class TestFindImages:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in (
            "mic_10.mrc",
            "mic_2.mrc",
            "notes.txt",
            "._mic_2.mrc",
            "deep/er/b.TIF",
            "deep/notes.txt",
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        zarr.save_array(str(tmp_path / "z.ome.zarr"), noise(5, 6))
        (tmp_path / "z.ome.zarr" / "inner.png").touch()
        return tmp_path

    def names(self, folder, *patterns):
        return [str(path.relative_to(folder)) for path in find_images([folder / one for one in patterns])]

    def test_folder_pattern_and_file(self, folder):
        direct = ["mic_2.mrc", "mic_10.mrc", "z.ome.zarr"]
        assert self.names(folder, ".") == direct
        assert self.names(folder, "*") == direct
        assert self.names(folder, "**/*") == ["deep/er/b.TIF", *direct]
        assert self.names(folder, "mic_10.mrc", "*.mrc", "deep/er") == [
            "deep/er/b.TIF",
            "mic_2.mrc",
            "mic_10.mrc",
        ]
        assert find_images(str(folder / "notes.txt")) == [folder / "notes.txt"]
        assert find_images(folder / "z.ome.zarr") == [folder / "z.ome.zarr"]

    @pytest.mark.parametrize("pattern", ["*.png", "nowhere", "deep", "missing.tif"])
    def test_nothing_there(self, folder, pattern):
        with pytest.raises(CellsegError, match=r"no (images|such file)"):
            find_images(folder / pattern)

    def test_nothing_asked(self):
        with pytest.raises(CellsegError, match="no images named"):
            find_images([])

    def test_brackets_in_a_name(self, folder):
        (folder / "a[1].tif").touch()
        assert self.names(folder, "a[1].tif") == ["a[1].tif"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mic.tif", "mic"),
        ("x/mic_001.ome.TIFF", "mic_001"),
        ("a.b.mrc", "a.b"),
        ("a.zarr/", "a"),
        ("a", "a"),
        (".tif", ".tif"),
        ("14_35_0.5um", "14_35_0.5um"),
        ("x.tar.gz", "x"),
    ],
)
def test_stem(name, expected):
    assert stem(name) == expected
    assert stem(expected) == expected


def test_real_images(data_folder):
    untidy = read_image(data_folder / "cryoem-mrc" / "Ucsf_stack_1142_DW.mrc")
    assert (untidy.shape, untidy.data.dtype, untidy.pixel_nm) == ((927, 959), np.float32, None)
    assert untidy.read(*EVERYTHING).mean() == pytest.approx(6802, abs=1)
    retina = read_image(data_folder / "chasedb1" / "Image_01L.jpg")
    assert (retina.channels, retina.shape) == (3, (960, 999))
    for path in find_images(
        [data_folder / "bbbc007-sparse" / "**" / "*", data_folder / "dsb2018-nuclei" / "**" / "*"]
    ):
        image = read_image(path)
        assert image.read(*EVERYTHING).shape == (1, *image.shape)
