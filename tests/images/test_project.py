import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.label_planes import read_plane
from napari_cellseg.images.project import Project
from napari_cellseg.images.quick_hash import quick_hash
from napari_cellseg.settings import TrainSettings

CLASSES = Classes.of("filament", "carbon")
PLANE = np.array([[0, 1, 2], [2, 2, 0]], np.uint8)


def write_image(path, shape=(2, 3), value=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full(shape, value, np.uint16))
    return path


@pytest.fixture
def project(tmp_path):
    project = Project.create(tmp_path / "actin", CLASSES)
    project.add_image(write_image(tmp_path / "data" / "mic.tif"), pixel_nm=0.1)
    return project


def listing(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_empty_project(tmp_path):
    project = Project.create(tmp_path / "new" / "actin", CLASSES)
    assert project.path == tmp_path / "new" / "actin.cellseg"
    again = Project.open(tmp_path / "new" / "actin")
    assert (again.classes, again.images, again.annotations(), again.runs(), again.models()) == (
        CLASSES,
        (),
        [],
        (),
        (),
    )
    assert again.results.is_dir()
    with pytest.raises(CellsegError, match="no image is annotated"):
        again.new_run(TrainSettings())
    assert again.runs() == ()


def test_what_exists_is_not_overwritten(project):
    before = listing(project.path)
    with pytest.raises(CellsegError, match="exists already; expected a new name"):
        Project.create(project.path, CLASSES)
    assert listing(project.path) == before


def test_not_a_project(tmp_path):
    with pytest.raises(CellsegError, match="no such project folder"):
        Project.open(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CellsegError, match=r"not a project, it has no project\.json"):
        Project.open(tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_image_is_remembered(project, tmp_path):
    (image,) = Project.open(project.path).images
    assert (image.name, image.path, image.shape, image.pixel_nm) == (
        "mic",
        tmp_path / "data" / "mic.tif",
        (2, 3),
        0.1,
    )
    assert image.quick_hash == quick_hash(image.path)
    assert (image.missing, image.complaint()) == (False, "")
    with pytest.raises(CellsegError, match=r"no image 'other' in actin\.cellseg"):
        project.labels("other")


def test_the_same_file_is_added_once_and_the_same_stem_gets_a_number(project, tmp_path):
    again = project.add_image(tmp_path / "data" / "mic.tif", pixel_nm=0.2)
    assert (again.name, again.pixel_nm) == ("mic", 0.2)
    names = [project.add_image(write_image(tmp_path / d / "mic.tif")).name for d in "ab"]
    names.append(project.add_image(write_image(tmp_path / "c" / "MIC.tif")).name)
    assert names == ["mic-2", "mic-3", "MIC-4"]
    assert [image.name for image in project.images] == ["mic", *names]


def test_unreadable_image_is_not_added(project, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"")
    with pytest.raises(CellsegError):
        project.add_image(tmp_path / "bad.tif")
    assert len(Project.open(project.path).images) == 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_labels_come_back(project, kind):
    assert (project.labels("mic") == 0).all()
    assert project.annotations() == []
    project.save_labels("mic", PLANE.astype(kind))
    again = Project.open(project.path)
    assert again.labels("mic").dtype == np.uint16
    assert (again.labels("mic") == PLANE).all()
    (annotation,) = again.annotations()
    assert (annotation.image.name, annotation.image.pixel_nm, annotation.dense) == ("mic", 0.1, False)
    assert annotation.counts() == {"not annotated": 2, "background": 1, "filament": 3, "carbon": 0}


def test_dense_is_remembered(project):
    project.save_labels("mic", np.ones((2, 3), np.uint8), dense=True)
    assert project.annotation("mic").dense
    project.save_labels("mic", PLANE)
    assert not project.annotation("mic").dense


def test_labels_of_another_size_leave_the_former_ones(project):
    project.save_labels("mic", PLANE)
    with pytest.raises(CellsegError, match=r"labels of shape \(3, 2\); expected \(2, 3\) like 'mic'"):
        project.save_labels("mic", PLANE.T)
    assert (project.labels("mic") == PLANE).all()


def test_index_without_a_class_is_saved_and_told_when_it_matters(project):
    project.save_labels("mic", PLANE * 5)
    assert (project.labels("mic") == PLANE * 5).all()
    with pytest.raises(
        CellsegError, match=r"labels of 'mic' hold the index 10; .* add the missing class or erase"
    ):
        project.annotation("mic")


def test_missing_image_keeps_its_labels(project, tmp_path):
    project.save_labels("mic", PLANE)
    moved = shutil.move(tmp_path / "data" / "mic.tif", tmp_path / "elsewhere.tif")
    project = Project.open(project.path)
    (image,) = project.images
    assert image.missing
    assert image.complaint() == f"'mic' is missing: {image.path}"
    assert (project.labels("mic") == PLANE).all()
    with pytest.raises(CellsegError, match=r"the image 'mic' is missing: .* relocate it"):
        project.annotations()
    with pytest.raises(CellsegError, match="is 5 x 5; expected 2 x 3"):
        project.relocate_image("mic", write_image(tmp_path / "other.tif", (5, 5)))
    project.relocate_image("mic", moved)
    assert Project.open(project.path).annotation("mic").image.path == Path(moved)


def test_changed_image_is_told(project, tmp_path):
    write_image(tmp_path / "data" / "mic.tif", value=8)
    assert "'mic' has changed since it was added" in project.images[0].complaint()
    write_image(tmp_path / "data" / "mic.tif", (4, 4))
    with pytest.raises(CellsegError, match="is now 4 x 4; expected 2 x 3 as when it was added"):
        project.add_image(tmp_path / "data" / "mic.tif")


def test_project_moved_with_or_without_its_images(project, tmp_path):
    alone = shutil.copytree(project.path, tmp_path / "far" / "away" / "a.cellseg")
    assert Project.open(alone).images[0].path == tmp_path / "data" / "mic.tif"
    both = tmp_path / "disk"
    shutil.copytree(project.path, both / "actin.cellseg")
    shutil.move(tmp_path / "data", both / "data")
    assert Project.open(both / "actin.cellseg").images[0].path == both / "data" / "mic.tif"
    write_image(tmp_path / "data" / "mic.tif", value=99)  # another image where the first one was
    assert Project.open(both / "actin.cellseg").images[0].path == both / "data" / "mic.tif"
    shutil.move(project.path, both / "deep.cellseg")
    write_image(both / "data" / "mic.tif", value=99)
    write_image(tmp_path / "data" / "mic.tif")  # and the annotated one back where it was
    assert Project.open(both / "actin.cellseg").images[0].path == tmp_path / "data" / "mic.tif"


def test_removed_image_gets_its_labels_back_and_another_one_does_not(project, tmp_path):
    project.save_labels("mic", PLANE)
    project.remove_image("mic")
    assert Project.open(project.path).images == ()
    assert project.add_image(write_image(tmp_path / "other" / "mic.tif", value=8)).name == "mic-2"
    assert project.add_image(tmp_path / "data" / "mic.tif").name == "mic"
    assert (project.labels("mic") == PLANE).all()
    assert (project.labels("mic-2") == 0).all()


def test_classes_are_renamed_added_and_not_taken_from_what_is_painted(project):
    project.save_labels("mic", PLANE)
    renamed = Classes.of("fibre", "carbon", "ice")
    project.set_classes(renamed)
    assert Project.open(project.path).classes == renamed
    project.set_classes(Classes.of("fibre"))
    with pytest.raises(CellsegError, match="class 'fibre' is painted in 'mic'; erase it there"):
        project.set_classes(Classes.of())
    assert Project.open(project.path).classes == Classes.of("fibre")


def test_two_programs_with_one_project_lose_nothing(project, tmp_path):
    other = Project.open(project.path)
    project.add_image(write_image(tmp_path / "a.tif"))
    other.add_image(write_image(tmp_path / "b.tif"))
    project.set_classes(CLASSES.added("ice"))
    other.add_image(write_image(tmp_path / "c.tif"))
    again = Project.open(project.path)
    assert [image.name for image in again.images] == ["mic", "a", "b", "c"]
    assert again.classes == CLASSES.added("ice")


def test_project_of_a_later_version(project):
    file = project.path / "project.json"
    file.write_text(json.dumps({"version": 2, "what": "ever"}))
    before = listing(project.path)
    with pytest.raises(CellsegError, match="of version 2; expected 1 or less; update napari-cellseg"):
        Project.open(project.path)
    with pytest.raises(CellsegError, match="of version 2"):
        project.set_classes(CLASSES)
    assert listing(project.path) == before


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\x00",
        b"[]",
        b"{}",
        b'{"version": 1}',
        b'{"version": 1, "classes": {}, "images": [{}]}',
        None,
    ],
)
def test_damaged_project_file(project, damage):
    project.save_labels("mic", PLANE)
    project.set_classes(CLASSES)
    file = project.path / "project.json"
    file.unlink() if damage is None else file.write_bytes(damage)
    before = listing(project.path)
    with pytest.raises(
        CellsegError, match=r"project\.json: .*its former version is whole: rename project\.json\.bak"
    ):
        Project.open(project.path)
    with pytest.raises(CellsegError):
        project.set_classes(CLASSES)
    assert listing(project.path) == before  # nothing is overwritten unasked
    saved = Project.open(project.path, use_backup=True)
    assert (saved.labels("mic") == PLANE).all()
    kept = project.path / "project.json.damaged"
    assert (kept.read_bytes() if kept.exists() else None) == damage
    assert Project.open(project.path).images == saved.images


def test_damaged_project_file_and_backup(project):
    for name in ("project.json", "project.json.bak"):
        (project.path / name).write_text("{")
    with pytest.raises(CellsegError, match=r"damaged .* restore it; the labels are untouched"):
        Project.open(project.path)
    with pytest.raises(CellsegError, match=r"project\.json\.bak: damaged .*; expected a whole backup"):
        Project.open(project.path, use_backup=True)


def test_whole_project_file_stays_when_the_backup_is_offered(project):
    before = listing(project.path)
    Project.open(project.path, use_backup=True)
    assert listing(project.path) == before


def test_run_is_a_snapshot(project, tmp_path):
    project.add_image(write_image(tmp_path / "data" / "unpainted.tif"))
    project.save_labels("mic", PLANE)
    run = project.new_run(TrainSettings(epochs=3))
    project.save_labels("mic", np.zeros((2, 3), np.uint8))
    assert TrainSettings.model_validate_json((run / "settings.json").read_text()) == TrainSettings(epochs=3)
    data = json.loads((run / "data.json").read_text())
    assert Classes.from_json(data["classes"]) == CLASSES
    (entry,) = data["images"]
    assert (entry["name"], entry["path"]) == ("mic", str(tmp_path / "data" / "mic.tif"))
    assert (entry["pixel_nm"], entry["polarity"], entry["labels"]) == (0.1, None, "labels/mic.zarr")
    assert (read_plane(run / entry["labels"])[0] == PLANE).all()
    assert project.runs() == (run,)
    project.save_labels("mic", PLANE)
    assert len({project.new_run(TrainSettings()) for _ in range(3)} | {run}) == 4
    assert len(Project.open(project.path).runs()) == 4


def test_run_needs_two_classes(project):
    project.save_labels("mic", np.where(PLANE == 2, 2, 0))
    with pytest.raises(CellsegError, match=r"only 'filament' is annotated; .* paint some background strokes"):
        project.new_run(TrainSettings())
    assert os.listdir(project.path / "runs") == []


def test_models_of_the_folder_and_of_runs_newest_first(project):
    files = [project.path / "models" / "a.safetensors", project.path / "runs" / "r" / "best.safetensors"]
    for age, file in enumerate(files):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
        os.utime(file, (100 + age, 100 + age))
    assert project.models() == tuple(reversed(files))


def test_full_disk_keeps_the_former_labels(project, monkeypatch):
    project.save_labels("mic", PLANE)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for change in (
        lambda: project.save_labels("mic", PLANE * 0),
        lambda: project.set_classes(Classes.of("x", "y")),
        lambda: project.new_run(TrainSettings()),
    ):
        with pytest.raises(CellsegError, match="the disk is full"):
            change()
    for again in (project, Project.open(project.path)):
        assert (again.labels("mic") == PLANE).all()
        assert again.classes == CLASSES
        assert again.runs() == ()
    assert not list(project.path.rglob(".part-*"))


def test_zarr_image(project, tmp_path):
    for value, name in ((1, "a"), (2, "b")):
        array = zarr.create_array(
            tmp_path / f"{name}.zarr", shape=(4, 5), dtype=np.uint8, attributes={"v": value}
        )
        array[...] = value
    image = project.add_image(tmp_path / "a.zarr")
    assert (image.shape, image.complaint()) == ((4, 5), "")
    assert image.quick_hash != quick_hash(tmp_path / "b.zarr")


def test_quick_hash_sees_size_and_both_ends(tmp_path):
    content = bytearray(3_000_000)
    seen = set()
    for place in (None, 0, 1_500_000, 2_999_999):
        changed = bytearray(content)
        if place is not None:
            changed[place] = 1
        (tmp_path / "a").write_bytes(changed)
        seen.add(quick_hash(tmp_path / "a"))
    (tmp_path / "a").write_bytes(content[:-1])
    seen.add(quick_hash(tmp_path / "a"))
    assert len(seen) == 4  # the change in the middle goes unseen, as documented
