"""Small sets of crops in every layout."""

import struct
import zipfile

import numpy as np
import PIL.Image
import pytest
import tifffile

from napari_cellseg.images.simulate import IdeasExportSettings, simulate_ideas_export


@pytest.fixture
def save():
    """Write an array as a picture, making its folder."""

    def write(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tif":
            tifffile.imwrite(path, pixels)
        else:
            PIL.Image.fromarray(pixels).save(path)

    return write


@pytest.fixture(scope="session")
def export(tmp_path_factory):
    """A simulated export of 30 cells, three of them twice, three lacking a channel."""
    settings = IdeasExportSettings(cells=30, samples=2, missing=0.1, duplicates=0.1)
    return simulate_ideas_export(tmp_path_factory.mktemp("export"), settings=settings, seed=3)


@pytest.fixture
def ifcb_bin():
    """Write a bin of 8 bit images of the given (height, width) sizes."""

    def write(folder, name, sizes, *, header=True):
        folder.mkdir(parents=True, exist_ok=True)
        rows, pixels = [], b""
        for number, (height, width) in enumerate(sizes, start=1):
            rows.append(",".join(map(str, [number, *[0.5] * 12, 7, 9, width, height, len(pixels), 0, 0])))
            pixels += bytes([number]) * (height * width)
        names = "trigger#, " + "x, " * 12 + "RoiX, RoiY, RoiWidth, RoiHeight, StartByte, a, b"
        if header:
            (folder / f"{name}.hdr").write_text(f"SoftwareVersion: 2\nADCFileFormat: {names}\n")
        (folder / f"{name}.adc").write_text("\n".join(rows) + "\n" * bool(rows))
        (folder / f"{name}.roi").write_bytes(pixels)
        return folder / f"{name}.adc"

    return write


@pytest.fixture
def flowcam_run():
    """Write a run: a collage of noise, its mask, a table of places (x, y, w, h)."""

    def write(folder, name, places, *, colour=True):
        folder.mkdir(parents=True, exist_ok=True)
        shape = (40, 60, 3) if colour else (40, 60)
        collage = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        tifffile.imwrite(
            folder / f"{name}_000001.tif", collage, photometric="rgb" if colour else "minisblack"
        )
        mask = np.zeros((40, 60), np.uint8)
        mask[5:9, 5:9] = 255
        tifffile.imwrite(folder / f"{name}_000001_bin.tif", mask)
        fields = ["id|int32", "collage_file|string", "image_x|int32", "image_y|int32", "image_w|int32"]
        fields += ["image_h|int32", "ppc|double"]
        rows = [
            f"{k}|{name}_000001.tif|{'|'.join(map(str, place))}|0.5"
            for k, place in enumerate(places, start=1)
        ]
        text = "\n".join(["017", f"num-fields|{len(fields)}", *fields, *rows])
        (folder / f"{name}.lst").write_text(text + "\n")
        return collage

    return write


@pytest.fixture
def ecotaxa_zip():
    """Write an archive of the given rows (id, image, category, status, sample)."""

    def write(path, rows, *, images=None, types=True):
        head = "object_id\timg_file_name\tobject_annotation_category\tobject_annotation_status\tsample_id"
        lines = [head, *["[t]\t[t]\t[t]\t[t]\t[t]"] * types, *("\t".join(row) for row in rows)]
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ecotaxa_test.tsv", "\n".join(lines))
            for name, content in (images or {row[1]: grey_png(k) for k, row in enumerate(rows)}).items():
                archive.writestr(name, content)
        return path

    return write


def grey_png(level):
    import io

    content = io.BytesIO()
    PIL.Image.fromarray(np.full((4 + level, 5), level, np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def huge_png():
    """A PNG whose header promises 100,000 x 100,000 pixels."""
    head = bytearray(grey_png(0))
    head[16:24] = struct.pack(">II", 100_000, 100_000)
    return bytes(head)
