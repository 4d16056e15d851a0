import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05 import Image as OmeImage
from ome_zarr_models.v05 import ImageLabel, Labels

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import Image
from napari_cellseg.predict.labels import labels_from
from napari_cellseg.predict.segment import segment, segment_with_uncertainty
from napari_cellseg.predict.store import LOG, Result, part_path
from napari_cellseg.predict.stream import segment_to
from napari_cellseg.settings import SegmentSettings

SETTINGS = SegmentSettings(backend="numpy", block_px=128)


@pytest.fixture
def image() -> Image:
    pixels = np.random.default_rng(0).normal(100, 20, (700, 515)).astype(np.float32)
    return Image.from_array(pixels, "noise", pixel_nm=0.25)


@pytest.fixture
def model(local_model):
    return local_model()


def test_every_level_is_the_mean_of_the_one_below(image, model, tmp_path):
    out = tmp_path / "noise.ome.zarr"
    blocks = list(segment_to(image, model, out, settings=SETTINGS))
    assert [block.done for block in blocks] == list(range(1, 31))
    assert {block.total for block in blocks} == {30}
    assert blocks[-1].seconds_left == 0
    expected = segment(image, model, settings=SETTINGS).compute(scheduler="synchronous")
    group = zarr.open_group(out, mode="r")
    for level in range(2):
        probabilities = group[f"probabilities/{level}"][:].astype(float) / 255
        assert abs(probabilities - expected).max() <= (1 + level) * 0.5 / 255 + 1e-6
        exact = labels_from(expected if level == 0 else group[f"probabilities/{level}"][:])
        np.testing.assert_array_equal(group[f"labels/segmentation/{level}"][:], exact)
        expected = np.pad(expected, [(0, 0), (0, 0), (0, expected.shape[2] % 2)], mode="edge")
        expected = expected.reshape(2, expected.shape[1] // 2, 2, -1, 2).mean((2, 4))
    assert "2" not in group["probabilities"]  # 350 x 258 px need no coarser one


def test_it_is_a_valid_ome_zarr_and_opens(image, model, tmp_path):
    out = tmp_path / "noise.ome.zarr"
    list(segment_to(image, model, out, settings=SETTINGS))
    group = zarr.open_group(out, mode="r")
    for place in (group, group["probabilities"]):
        levels = OmeImage.from_zarr(place).attributes.ome.multiscales[0].datasets
        scale, shift = levels[1].coordinateTransformations
        assert scale.scale == [1, 0.5, 0.5]
        assert shift.translation == [0, 0.125, 0.125]
    Labels.from_zarr(group["labels"])
    label = ImageLabel.from_zarr(group["labels/segmentation"]).attributes.ome.image_label
    assert label.properties[2].model_dump() == {"label_value": 2, "class": "filament"}
    nodes = list(Reader(parse_url(out))())
    assert [level.shape for level in nodes[0].data] == [(2, 700, 515), (2, 350, 258)]
    assert nodes[0].metadata["channel_names"] == ["background", "filament"]
    assert [level.shape for level in nodes[-1].data] == [(700, 515), (350, 258)]


def test_uncertainty_has_a_pyramid_of_its_own(image, model, tmp_path):
    out, settings = tmp_path / "noise.ome.zarr", SETTINGS.model_copy(update={"uncertainty": "entropy"})
    list(segment_to(image, model, out, settings=settings))
    _, expected = segment_with_uncertainty(image, model, settings=settings)
    group = zarr.open_group(out, mode="r")
    stored = group["uncertainty/0"][:].astype(float) / 255
    assert abs(stored - expected.compute(scheduler="synchronous")).max() <= 0.5 / 255 + 1e-6
    assert group["uncertainty/1"].shape == group["labels/segmentation/1"].shape
    assert group["probabilities/0"].shape[0] == 2
    OmeImage.from_zarr(group["uncertainty"])
    assert group["uncertainty"].attrs["napari_cellseg"]["measure"] == "entropy"


def test_an_ensemble_is_known_again(image, model, local_model, tmp_path):
    out, both = tmp_path / "noise.ome.zarr", [model, local_model(4)]
    list(segment_to(image, both, out, settings=SETTINGS))
    assert list(segment_to(image, both, out, settings=SETTINGS, resume=True)) == []
    with pytest.raises(CellsegError, match="by another model"):
        next(segment_to(image, model, out, settings=SETTINGS, resume=True))


def test_a_block_holds_whole_chunks(model, tmp_path):
    image = Image.from_array(np.random.default_rng(0).integers(0, 9, (300, 4000), np.uint8), "wide")
    out = tmp_path / "wide.ome.zarr"
    list(segment_to(image, model, out, settings=SETTINGS.model_copy(update={"block_px": 1984})))
    group = zarr.open_group(out, mode="r")
    assert group["probabilities/0"].chunks == (1, 300, 992)
    assert group["labels/segmentation/0"].chunks == (300, 992)


@pytest.mark.parametrize("shape", [(1, 1), (1, 600), (513, 2)])
def test_narrow_images(shape, model, tmp_path):
    out = tmp_path / "a.ome.zarr"
    list(segment_to(Image.from_array(np.ones(shape), "a"), model, out, settings=SETTINGS))
    group = zarr.open_group(out, mode="r")
    OmeImage.from_zarr(group)
    assert group["labels/segmentation/0"].shape == shape


def contents(out) -> dict[str, bytes]:
    files = (file for file in out.rglob("*") if file.is_file())
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def test_stopping_and_going_on_gives_the_same_result(image, model, tmp_path):
    whole, parts = tmp_path / "whole.ome.zarr", tmp_path / "noise.ome.zarr"
    list(segment_to(image, model, whole, settings=SETTINGS))
    steps = segment_to(image, model, parts, settings=SETTINGS)
    for _ in range(7):
        next(steps)
    steps.close()
    assert not parts.exists()
    with pytest.raises(CellsegError, match=r"unfinished result.*--resume"):
        next(segment_to(image, model, parts, settings=SETTINGS))
    with (part_path(parts) / LOG).open("a") as log:
        log.write('{"block": [3, 3], "pix')  # as after a kill
    rest = list(segment_to(image, model, parts, settings=SETTINGS, resume=True))
    assert [block.done for block in rest] == list(range(8, 31))
    ours, theirs = contents(parts), contents(whole)
    for name in ("zarr.json", "probabilities/zarr.json"):  # they hold the image's name
        assert json.loads(ours.pop(name))
        theirs.pop(name)
    assert ours == theirs
    assert not part_path(parts).exists()
    assert list(segment_to(image, model, parts, settings=SETTINGS, resume=True)) == []


def test_blocks_stay_as_they_were_when_going_on(image, small_net, tmp_path):
    """Free memory has changed in between: the result keeps its blocks."""
    model, out = small_net(), tmp_path / "noise.ome.zarr"
    chosen = SegmentSettings(device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_cellseg.predict.memory.window_px", lambda *_, **__: 160 * 160)
        steps = segment_to(image, model, out, settings=chosen)
        total = next(steps).total
    assert total > 4
    steps.close()
    assert len(list(segment_to(image, model, out, settings=chosen, resume=True))) == total - 1


def test_what_is_there_is_not_replaced_unasked(image, model, tmp_path):
    out = tmp_path / "noise.ome.zarr"
    list(segment_to(image, model, out, settings=SETTINGS))
    before = contents(out)
    with pytest.raises(CellsegError, match=r"exists.*--overwrite"):
        next(segment_to(image, model, out, settings=SETTINGS))
    other = Image.from_array(image.data.compute()[::-1] + 1, "noise")
    steps = segment_to(other, model, out, settings=SETTINGS, overwrite=True)
    next(steps)
    steps.close()
    assert contents(out) == before  # the former one stays until the new one is whole
    list(segment_to(other, model, out, settings=SETTINGS, overwrite=True))
    assert contents(out) != before


@pytest.mark.parametrize("finished", [True, False])
def test_going_on_with_something_else_is_an_error(finished, image, model, local_model, tmp_path):
    out = tmp_path / "noise.ome.zarr"
    steps = segment_to(image, model, out, settings=SETTINGS)
    next(steps)
    list(steps) if finished else steps.close()
    other = Image.from_array(image.data.compute() + 1, "noise", pixel_nm=0.25)
    coarser = SETTINGS.model_copy(update={"threshold": 0.7})
    for what, again in {
        "from another image": segment_to(other, model, out, settings=SETTINGS, resume=True),
        "by another model": segment_to(image, local_model(4), out, settings=SETTINGS, resume=True),
        "with other settings": segment_to(image, model, out, settings=coarser, resume=True),
    }.items():
        with pytest.raises(CellsegError, match=f"{what}.*--overwrite"):
            next(again)


def test_a_folder_that_is_something_else(image, model, tmp_path):
    out = tmp_path / "noise.ome.zarr"
    out.mkdir()
    (out / "diary.txt").write_text("dear diary")
    for arguments in ({}, {"resume": True}):
        with pytest.raises(CellsegError, match="--overwrite"):
            next(segment_to(image, model, out, settings=SETTINGS, **arguments))
    assert (out / "diary.txt").read_text() == "dear diary"


def test_a_threshold_for_many_classes(image, local_model, tmp_path):
    model = local_model(classes=Classes.of("a", "b"))
    with pytest.raises(CellsegError, match="two classes"):
        next(segment_to(image, model, tmp_path / "a.ome.zarr", settings=SegmentSettings(threshold=0.4)))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(image, model, tmp_path):
    out, write = tmp_path / "noise.ome.zarr", Result.write
    left = iter(range(3))

    def full(self, rows, cols, probabilities):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, rows, cols, probabilities)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Result, "write", full)
        with pytest.raises(CellsegError, match="disk is full"):
            list(segment_to(image, model, out, settings=SETTINGS))
    assert len(list(segment_to(image, model, out, settings=SETTINGS, resume=True))) == 27


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from conftest import local_forward
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.micrographs import Image
from napari_cellseg.nets import backends
from napari_cellseg.nets.model import Model, ModelSpec
from napari_cellseg.predict.stream import segment_to
from napari_cellseg.settings import SegmentSettings
backends.BACKENDS["numpy"] = backends.Backend(lambda *_: local_forward(8), str, "")
backends.pick_device = lambda device: "cpu"  # spares a second of importing torch
pixels = np.random.default_rng(0).normal(100, 20, (700, 515)).astype(np.float32)
model = Model(ModelSpec("unet", "resnet18", Classes.of("filament"), stride=8, halo_px=24), None, "model-8-1")
image = Image.from_array(pixels, "noise", pixel_nm=0.25)
settings = SegmentSettings(backend="numpy", block_px=128)
for block in segment_to(image, model, Path(sys.argv[1]), settings=settings):
    print(block.done, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no kill -9 elsewhere")
def test_a_kill_loses_no_finished_block(image, model, tmp_path):
    out = tmp_path / "noise.ome.zarr"
    command = [sys.executable, "-c", CHILD, str(out), os.path.dirname(__file__)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == "5":
                break
        time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    rest = list(segment_to(image, model, out, settings=SETTINGS, resume=True))
    assert rest[0].done > 5
    expected = labels_from(segment(image, model, settings=SETTINGS)).compute(scheduler="synchronous")
    np.testing.assert_array_equal(zarr.open_group(out, mode="r")["labels/segmentation/0"][:], expected)
